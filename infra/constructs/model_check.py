"""What asks a new version before any client does."""

from aws_cdk import CustomResource, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import EndpointConfig
from infra.constructs.companion_function import build_companion_function
from infra.constructs.image import Image
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.nag import acknowledge_resource
from infra.constructs.service_role import ServiceRole

# The longest that Lambda offers; most of it would be spent waiting for provisioned concurrency.
_TIMEOUT = Duration.minutes(15)
_MB_PER_VCPU = 1769
_STABLE = (
    "If the policy named one deployment's, it would change moments before it is needed, and IAM takes longer "
    "than that to tell everybody: checks would fail by chance."
)


class Checker(Construct):
    """Whose name the checks of one or several models act in, and where they write.

    ``key`` encrypts their variables and the log.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, retention_days: int, key: kms.IKey | None = None
    ) -> None:
        super().__init__(scope, construct_id)
        self.key = key
        self.log_group = ServiceLogGroup(self, "Logs", retention_days=retention_days, key=key)
        self.role = ServiceRole(
            self,
            "Role",
            service="lambda",
            description="coldpress: reads bundles, invokes new versions, writes its own log",
        )
        self.log_group.let_write(self.role)
        if key is not None:
            self.role.allow("kms:Decrypt", on=[key.key_arn])


class ModelCheck(Construct):
    """A function that replays the bundle's golden samples through a version (handlers/pretraffic).

    CodeDeploy runs it before it shifts traffic. The first version has no predecessor, so CodeDeploy has
    nothing to shift and runs no hook; a custom resource asks in its place, once: ``first``. It never fails an
    update or a deletion, because a rollback has to pass it, and a stack whose rollback fails is stuck.

    The function is told by its environment which version to ask, so it is deployed with each one.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        checker: Checker,
        endpoint: lambda_.Function,
        bucket: s3.IBucket,
        config: EndpointConfig,
        image: Image,
    ) -> None:
        super().__init__(scope, construct_id)
        self.policy = self._build_policy(checker, endpoint, bucket, config.model.name)
        self.function = build_companion_function(
            self,
            handler="handlers.pretraffic.app.handler",
            description=f"coldpress: checks new versions of the model {config.model.name}",
            image=image,
            architecture=config.architecture,
            timeout=_TIMEOUT,
            role=checker.role,
            log_group=checker.log_group,
            key=checker.key,
            environment={
                "COLDPRESS_FUNCTION": endpoint.function_name,
                "COLDPRESS_FUNCTION_VERSION": endpoint.current_version.version,
                "COLDPRESS_MODEL": config.model.name,
                "COLDPRESS_DIGEST": str(config.model.digest),
                "COLDPRESS_BUCKET": bucket.bucket_name,
                "COLDPRESS_LATENCY_FACTOR": str(_latency_factor(config)),
                "COLDPRESS_PROVISIONED": "1" if config.provisioned_concurrency else "0",
            },
            why_no_dead_letters=(
                "Who invokes it waits for its answer: CodeDeploy and CloudFormation, which say what failed."
            ),
            why_no_tracing="It runs once a deployment, and its log has one line with all that it saw.",
        )
        self.function.node.add_dependency(self.policy)
        self.first = CustomResource(
            self,
            "First",
            resource_type="Custom::ModelCheck",
            service_token=self.function.function_arn,
            service_timeout=Duration.minutes(16),
        )

    def _build_policy(
        self, checker: Checker, endpoint: lambda_.Function, bucket: s3.IBucket, model: str
    ) -> iam.Policy:
        """What this model's check may do.

        A policy of its own: when the model goes, it goes after what it is still needed for.
        """
        bundles = bucket.arn_for_objects(f"models/{model}/*")
        versions = f"{endpoint.function_arn}:*"
        key = bucket.encryption_key
        policy = iam.Policy(
            self,
            "Policy",
            roles=[checker.role],
            statements=[
                *(
                    []
                    if key is None
                    else [iam.PolicyStatement(actions=["kms:Decrypt"], resources=[key.key_arn])]
                ),
                iam.PolicyStatement(actions=["s3:GetObject"], resources=[bundles]),
                iam.PolicyStatement(
                    actions=[
                        "lambda:InvokeFunction",
                        "lambda:GetProvisionedConcurrencyConfig",
                        # Also where there is none now: it is what removes that of the time before.
                        "lambda:DeleteProvisionedConcurrencyConfig",
                    ],
                    resources=[versions],
                ),
            ],
        )
        acknowledge_resource(policy, bundles, f"The bundles of one model, for reading. {_STABLE}")
        acknowledge_resource(policy, versions, f"The versions of one function. {_STABLE}")
        return policy


def _latency_factor(config: EndpointConfig) -> float:
    """The configured one, for a function that has less than a whole CPU as many times more."""
    return round(float(config.rollout.latency_factor) * max(1.0, _MB_PER_VCPU / config.memory_mb), 3)
