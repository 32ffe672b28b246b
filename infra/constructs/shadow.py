"""A second version that gets some of the requests as well, and whose answers nobody gets."""

import math

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.config import EndpointConfig, Shadow
from infra.constructs.companion_function import build_companion_function
from infra.constructs.image import Image
from infra.constructs.inference_function import allow_bundles, model_environment
from infra.constructs.logs import ServiceLogGroup
from infra.constructs.nag import acknowledge
from infra.constructs.service_role import ServiceRole

# Lambda's least: what waited longer for an environment is not compared.
_OLDEST = Duration.seconds(60)


class ModelShadow(Construct):
    """A function with another bundle, beside the endpoint's and with its settings.

    The endpoint's function invokes it asynchronously, after it has answered. Lambda queues what this one has
    no environment for, and drops what is a minute old: so a shadow that is throttled, slow or broken costs
    the endpoint nothing. Nothing is tried again after an error, and it has neither route nor version nor
    provisioned concurrency.

    Without ``reserved_concurrency`` both take their environments from the account's. With it the endpoint has
    its own, and the shadow at most its share of as many.

    Attributes:
        function: the function.
    """

    def __init__(  # noqa: PLR0913 - keyword-only
        self,
        scope: Construct,
        construct_id: str,
        *,
        bucket: s3.IBucket,
        config: EndpointConfig,
        shadow: Shadow,
        image: Image,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        self._shadow = shadow
        model = config.model
        log_group = ServiceLogGroup(self, "Logs", retention_days=config.log_retention_days, key=key)
        role = ServiceRole(
            self,
            "Role",
            service="lambda",
            description=f"coldpress: reads bundles and uploads for {model.name}'s shadow, writes its own log",
        )
        log_group.let_write(role)
        allow_bundles(role, bucket, model.name, uploads=["s3:GetObject"], key=key)
        self.function = build_companion_function(
            self,
            handler="handlers.shadow.app.handler",
            description=f"coldpress: answers as version {shadow.version} of {model.name}, for nobody",
            image=image,
            architecture=config.architecture,
            memory_mb=config.memory_mb,
            timeout=Duration.seconds(config.timeout_s),
            role=role,
            log_group=log_group,
            key=key,
            environment={
                **model_environment(config, bucket),
                "COLDPRESS_VERSION": str(shadow.version),
                "COLDPRESS_DIGEST": shadow.digest,
            },
            reserved_concurrency=None
            if config.reserved_concurrency is None
            else math.ceil(config.reserved_concurrency * shadow.share),
            why_no_dead_letters="A request that is not compared is one of many, and no payload is kept.",
            why_no_tracing="Nobody waits for it; its own metrics say how long it took.",
        )
        self.function.configure_async_invoke(max_event_age=_OLDEST, retry_attempts=0)
        acknowledge(
            self.function,
            "Serverless-LambdaAsyncFailureDestination",
            "A request that is not compared is one of many, and nobody would look at it.",
        )

    @property
    def variables(self) -> dict[str, str]:
        """What the endpoint's function must know."""
        return {
            "COLDPRESS_SHADOW_FUNCTION": self.function.function_name,
            "COLDPRESS_SHADOW_SHARE": str(self._shadow.share),
        }

    def allow(self, role: ServiceRole) -> None:
        """Let ``role`` invoke it."""
        role.allow("lambda:InvokeFunction", on=[self.function.function_arn])
