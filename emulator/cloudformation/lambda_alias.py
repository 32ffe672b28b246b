"""AWS::Lambda::Alias."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource

_KEPT = ("FunctionName", "FunctionVersion", "Name", "Description", "RoutingConfig")


class Alias(Resource):
    """An alias: what the API integrates, and what a deployment moves to the next version."""

    TYPE = "AWS::Lambda::Alias"
    ATTRIBUTES = frozenset({"AliasArn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - Name is required
        """CreateAlias."""
        arn: str = client("lambda", region).create_alias(**_request(properties))["AliasArn"]
        return cls(arn, region, properties, {"AliasArn": arn})

    def update(self, properties: Properties) -> bool:
        """UpdateAlias: from now on requests go to the other version."""
        same = ("FunctionName", "Name")
        if any(properties[key] != self.properties[key] for key in same):
            return False
        client("lambda", self.region).update_alias(**_request(properties))
        return True

    def remove(self) -> None:
        """DeleteAlias."""
        client("lambda", self.region).delete_alias(
            FunctionName=self.properties["FunctionName"], Name=self.properties["Name"]
        )


def _request(properties: Properties) -> Properties:
    request = {key: properties[key] for key in _KEPT if key in properties}
    weights = request.pop("RoutingConfig", {}).get("AdditionalVersionWeights", [])
    # CloudFormation lists the weights, the API maps them. Sent even if empty: that ends a canary.
    request["RoutingConfig"] = {
        "AdditionalVersionWeights": {
            weight["FunctionVersion"]: weight["FunctionWeight"] for weight in weights
        }
    }
    return request
