"""AWS for coldpress: the CDK app of this repository, and ``ModelEndpoint`` for any other CDK app."""

from infra.config import Alarms, EndpointConfig, InvalidConfig, Model, ProvisionedConcurrency, Throttling
from infra.endpoint import ModelEndpoint

__all__ = [
    "Alarms",
    "EndpointConfig",
    "InvalidConfig",
    "Model",
    "ModelEndpoint",
    "ProvisionedConcurrency",
    "Throttling",
]
