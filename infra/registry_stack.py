"""The stack that every stage shares: the registry of models."""

from typing import Any

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.config import RegistryConfig
from infra.constructs.model_bucket import ModelBucket

STACK_NAME = "coldpress-registry"
BUCKET_NAME_EXPORT = f"{STACK_NAME}:BucketName"


class RegistryStack(Stack):
    """The models' bucket. It is deployed first and rarely changes.

    The bucket's name is generated, so that nobody can claim it first, and exported under a fixed name:
    endpoint stacks import it, and CloudFormation refuses to remove the registry from under them. The export
    does not depend on which stages an invocation synthesises, as one that CDK makes on demand would.
    """

    def __init__(self, scope: Construct, construct_id: str, *, config: RegistryConfig, **kwargs: Any) -> None:
        super().__init__(
            scope,
            construct_id,
            description="coldpress: the registry of model bundles",
            termination_protection=True,
            **kwargs,
        )
        models = ModelBucket(self, "Models", key=registry_key(self, config))
        CfnOutput(
            self,
            "BucketName",
            value=models.bucket.bucket_name,
            description="Where `coldpress push` puts bundles",
            export_name=BUCKET_NAME_EXPORT,
        )


def registry_key(stack: Stack, config: RegistryConfig) -> kms.IKey | None:
    """The key of the registry's bucket, as a stack that uses it knows it."""
    arn = config.kms_key_arn
    return None if arn is None else kms.Key.from_key_arn(stack, "RegistryKey", arn)
