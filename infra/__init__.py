"""AWS for coldpress: the CDK app of this repository, and ``ModelEndpoint`` for any other CDK app."""

from infra.config import (
    Alarms,
    ApiConfig,
    Capture,
    Cors,
    Domain,
    EndpointConfig,
    InvalidConfig,
    Jwt,
    Model,
    Monitor,
    ProvisionedConcurrency,
    Quota,
    Rollout,
    Schedule,
    Shadow,
    Throttling,
)
from infra.constructs.api import build_api
from infra.constructs.image import PushedImage
from infra.endpoint import ModelEndpoint

__all__ = [
    "Alarms",
    "ApiConfig",
    "Capture",
    "Cors",
    "Domain",
    "EndpointConfig",
    "InvalidConfig",
    "Jwt",
    "Model",
    "ModelEndpoint",
    "Monitor",
    "ProvisionedConcurrency",
    "PushedImage",
    "Quota",
    "Rollout",
    "Schedule",
    "Shadow",
    "Throttling",
    "build_api",
]
