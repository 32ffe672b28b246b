"""AWS::Lambda::Alias."""

import json
from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource
from emulator.rollout import ROLLOUTS

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
        """UpdateAlias, or a deployment of CodeDeploy's where the template's UpdatePolicy asks for one."""
        same = ("FunctionName", "Name")
        if any(properties[key] != self.properties[key] for key in same):
            return False
        policy = self.update_policy.get("CodeDeployLambdaAliasUpdate")
        if policy and properties["FunctionVersion"] != self.properties["FunctionVersion"]:
            self._roll_out(policy, properties)
        client("lambda", self.region).update_alias(**_request(properties))
        return True

    def _roll_out(self, policy: Properties, properties: Properties) -> None:
        """Let CodeDeploy shift the traffic, and wait for it."""
        codedeploy = client("codedeploy", self.region)
        lambda_ = client("lambda", self.region)
        # Not the old template's version: somebody may have moved the alias since.
        current = lambda_.get_alias(FunctionName=properties["FunctionName"], Name=properties["Name"])
        content = _app_spec(policy, properties, current["FunctionVersion"])
        deployment_id = codedeploy.create_deployment(
            applicationName=policy["ApplicationName"],
            deploymentGroupName=policy["DeploymentGroupName"],
            revision={"revisionType": "AppSpecContent", "appSpecContent": {"content": json.dumps(content)}},
        )["deploymentId"]
        ROLLOUTS[deployment_id].wait()
        deployment = codedeploy.get_deployment(deploymentId=deployment_id)["deploymentInfo"]
        if deployment["status"] != "Succeeded":
            # Whether or not CodeDeploy has done so: the stack is going back.
            lambda_.update_alias(
                **_request({**self.properties, "FunctionVersion": current["FunctionVersion"]})
            )
            raise RolloutFailed(
                f"CodeDeploy's deployment {deployment_id} is {deployment['status']}: "
                f"{deployment['errorInformation']['message']}"
            )

    def remove(self) -> None:
        """DeleteAlias."""
        client("lambda", self.region).delete_alias(
            FunctionName=self.properties["FunctionName"], Name=self.properties["Name"]
        )


class RolloutFailed(Exception):
    """CodeDeploy did not move the alias; the traffic is on the old version."""


def _app_spec(policy: Properties, properties: Properties, current_version: str) -> Properties:
    """What CloudFormation asks CodeDeploy for."""
    moved = {
        "Name": properties["FunctionName"],
        "Alias": properties["Name"],
        "CurrentVersion": current_version,
        "TargetVersion": properties["FunctionVersion"],
    }
    hooks = {name.removesuffix("Hook"): policy[name] for name in policy if name.endswith("TrafficHook")}
    return {
        "version": 0.0,
        "Resources": [{"Function": {"Type": "AWS::Lambda::Function", "Properties": moved}}],
        "Hooks": [{name: function} for name, function in hooks.items()],
    }


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
