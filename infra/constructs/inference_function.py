"""The container function that serves one bundle, its published version and the alias that clients reach."""

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import EndpointConfig, Model
from infra.constructs.image import Image
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.model_bucket import UPLOADS_PREFIX
from infra.constructs.nag import acknowledge, acknowledge_resource
from infra.constructs.service_role import ServiceRole

ALIAS = "live"


class InferenceFunction(Construct):
    """One generic image; which model it serves is said by the environment.

    A model version is a Lambda version: the digest stands in the environment and in the version's
    description, so another digest publishes another version, and moving the alias back is a rollback that
    takes effect at once. Old versions are kept for that.
    ``key`` encrypts the environment's variables, to which ``variables`` are added, and the log.

    The function's role is shared by all of its versions. It may therefore read every bundle of this model,
    not the deployed digest alone: else the version that still serves while a deployment runs, and the one
    that a rollback goes back to, could not load theirs. It also puts and reads the uploads of this model:
    what a client puts by a URL that the function signed is put in the role's name. It can read no other
    model's, list nothing, delete nothing and write nowhere else.
    """

    def __init__(  # noqa: PLR0913 - what may be the user's own
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.IBucket,
        config: EndpointConfig,
        image: Image,
        key: kms.IKey | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        model = config.model
        self.log_group = ServiceLogGroup(self, "Logs", retention_days=config.log_retention_days, key=key)
        self.role = self._build_role(bucket, model, key)
        self.function = lambda_.DockerImageFunction(
            self,
            "Function",
            description=f"coldpress: answers for the model {model.name}",
            code=image.code(),
            architecture=LAMBDA_ARCHITECTURES[config.architecture],
            memory_size=config.memory_mb,
            timeout=Duration.seconds(config.timeout_s),
            role=self.role,
            log_group=self.log_group,
            reserved_concurrent_executions=config.reserved_concurrency,
            environment_encryption=key,
            environment={
                **model_environment(config, bucket),
                **(variables or {}),
            },
            current_version_options=lambda_.VersionOptions(
                description=f"{model.name} version {model.version}, digest {model.digest}",
                removal_policy=RemovalPolicy.RETAIN,
            ),
        )
        acknowledge(
            self.function,
            "Serverless-LambdaDLQ",
            "It is invoked by an API that waits for the answer: there are no events to keep.",
        )
        acknowledge(
            self.function,
            "Serverless-LambdaTracing",
            "One function behind one API: the access log and its own metrics say where the time went, and a "
            "trace costs five times what the request does.",
        )
        self.alias = lambda_.Alias(self, "Alias", alias_name=ALIAS, version=self.function.current_version)

    def _build_role(self, bucket: s3.IBucket, model: Model, key: kms.IKey | None) -> ServiceRole:
        role = ServiceRole(
            self,
            "Role",
            service="lambda",
            description=f"coldpress: reads the bundles and uploads of {model.name}, writes its own log",
        )
        allow_bundles(role, bucket, model.name, uploads=["s3:GetObject", "s3:PutObject"], key=key)
        self.log_group.let_write(role)
        return role


def allow_bundles(
    role: ServiceRole, bucket: s3.IBucket, model: str, *, uploads: list[str], key: kms.IKey | None
) -> None:
    """Let ``role`` read a model's bundles, and do what ``uploads`` says with its uploads."""
    bundles = bucket.arn_for_objects(f"models/{model}/*")
    objects = bucket.arn_for_objects(f"{UPLOADS_PREFIX}{model}/*")
    role.allow("s3:GetObject", on=[bundles])
    role.allow(*uploads, on=[objects])
    if key is not None:  # which encrypts its variables
        role.allow("kms:Decrypt", on=[key.key_arn])
    if bucket.encryption_key is not None:
        actions = ["kms:Decrypt", "kms:GenerateDataKey"] if "s3:PutObject" in uploads else ["kms:Decrypt"]
        role.allow(*actions, on=[bucket.encryption_key.key_arn])
    acknowledge_resource(
        role,
        bundles,
        "The objects of one model, for reading: all versions of the function share this role, and each "
        "loads its own digest.",
    )
    acknowledge_resource(
        role,
        objects,
        "The uploads of one model, under random keys: bodies of requests that are larger than Lambda "
        "carries.",
    )


def model_environment(config: EndpointConfig, bucket: s3.IBucket) -> dict[str, str]:
    """The variables by which the handlers know what to load (docs/architecture.md)."""
    return {
        "COLDPRESS_MODEL": config.model.name,
        "COLDPRESS_VERSION": str(config.model.version),
        "COLDPRESS_DIGEST": str(config.model.digest),
        "COLDPRESS_BUCKET": bucket.bucket_name,
        **({"COLDPRESS_TRANSFORM": config.transform} if config.transform else {}),
    }


LAMBDA_ARCHITECTURES = {"x86_64": lambda_.Architecture.X86_64, "arm64": lambda_.Architecture.ARM_64}
