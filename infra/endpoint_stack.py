"""One stage's stack: an endpoint, and what a user needs to know of it."""

from typing import Any

from aws_cdk import CfnOutput, Fn, Stack, Tags
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import StageConfig
from infra.endpoint import ModelEndpoint
from infra.registry_stack import BUCKET_NAME_EXPORT


class EndpointStack(Stack):
    """``coldpress-<stage>``: a ``ModelEndpoint`` on the registry's bucket."""

    def __init__(self, scope: Construct, construct_id: str, *, config: StageConfig, **kwargs: Any) -> None:
        super().__init__(
            scope, construct_id, description=f"coldpress: serves the model {config.model.name}", **kwargs
        )
        bucket = s3.Bucket.from_bucket_name(self, "Models", Fn.import_value(BUCKET_NAME_EXPORT))
        self.endpoint = ModelEndpoint(self, "Endpoint", bucket=bucket, config=config)
        for key, value in config.tags.items():
            Tags.of(self).add(key, value)
        self._build_outputs(config)

    def _build_outputs(self, config: StageConfig) -> None:
        outputs = {
            "EndpointUrl": (self.endpoint.api.api_endpoint, "Where clients send requests"),
            "FunctionName": (self.endpoint.function.function_name, "The function behind it"),
            "AliasArn": (self.endpoint.alias.function_arn, "What the endpoint invokes"),
            "ModelDigest": (config.model.digest or "", "The bundle that this stack deployed"),
        }
        for name, (value, description) in outputs.items():
            CfnOutput(self, name, value=value, description=description)
