"""AWS::ApiGateway::UsagePlan."""

from typing import Any, Self

from moto.apigateway.models import apigateway_backends

from emulator import settings
from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, lower_camel


class UsagePlan(Resource):
    """What the keys of a plan may ask for; the gateway holds them to it (``emulator.throttles``)."""

    TYPE = "AWS::ApiGateway::UsagePlan"
    NAME_PROPERTY = "UsagePlanName"
    ATTRIBUTES = frozenset({"Id"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateUsagePlan."""
        _check(properties)
        plan_id: str = client("apigateway", region).create_usage_plan(name=name, **_request(properties))["id"]
        return cls(plan_id, region, properties, {"Id": plan_id})

    def update(self, properties: Properties) -> bool:
        """In moto's backend: its UpdateUsagePlan takes whole numbers only."""
        _check(properties)
        backend = apigateway_backends[settings.ACCOUNT][self.region]
        plan: Any = backend.get_usage_plan(self.physical_resource_id)
        request = _request(properties)
        plan.name = properties.get("UsagePlanName", plan.name)
        plan.throttle = request.get("throttle", {})
        plan.quota = request.get("quota", {})
        plan.api_stages = request.get("apiStages", [])
        return True

    def remove(self) -> None:
        """DeleteUsagePlan."""
        client("apigateway", self.region).delete_usage_plan(usagePlanId=self.physical_resource_id)


def _request(properties: Properties) -> Properties:
    kept: Properties = {key: properties[key] for key in ("Quota", "Throttle") if key in properties}
    kept["ApiStages"] = [
        {key: stage[key] for key in ("ApiId", "Stage")} for stage in properties.get("ApiStages", [])
    ]
    request: Properties = lower_camel(kept)
    return request


def _check(properties: Properties) -> None:
    if any(stage.get("Throttle") for stage in properties.get("ApiStages", [])):
        raise NotImplementedError("The emulator has no limits of a usage plan for single methods.")
