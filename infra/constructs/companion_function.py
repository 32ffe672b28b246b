"""A function beside the endpoint's, for what is done to it and not by it."""

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.config import Architecture
from infra.constructs.image import Image
from infra.constructs.inference_function import LAMBDA_ARCHITECTURES
from infra.constructs.nag import acknowledge


def build_companion_function(  # noqa: PLR0913 - keyword-only
    scope: Construct,
    *,
    handler: str,
    description: str,
    image: Image,
    architecture: Architecture,
    timeout: Duration,
    role: iam.IRole,
    log_group: logs.ILogGroup,
    key: kms.IKey | None,
    environment: dict[str, str],
    memory_mb: int = 512,
    reserved_concurrency: int | None = None,
    why_no_dead_letters: str,
    why_no_tracing: str,
) -> lambda_.DockerImageFunction:
    """``Function`` in ``scope``: the endpoint's image, by AWS's runtime client and with boto3 of its base."""
    function = lambda_.DockerImageFunction(
        scope,
        "Function",
        description=description,
        code=image.code(entrypoint=["/lambda-entrypoint.sh"], cmd=[handler]),
        architecture=LAMBDA_ARCHITECTURES[architecture],
        memory_size=memory_mb,
        timeout=timeout,
        role=role,
        log_group=log_group,
        reserved_concurrent_executions=reserved_concurrency,
        environment_encryption=key,
        environment=environment,
    )
    acknowledge(function, "Serverless-LambdaDLQ", why_no_dead_letters)
    acknowledge(function, "Serverless-LambdaTracing", why_no_tracing)
    return function
