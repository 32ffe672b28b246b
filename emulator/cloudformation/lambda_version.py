"""AWS::Lambda::Version."""

import copy
from typing import Self

from moto.awslambda.models import LambdaFunction, LambdaStorage

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Version(Resource):
    """An immutable copy of a function; every change of one is a replacement."""

    TYPE = "AWS::Lambda::Version"
    ATTRIBUTES = frozenset({"Version", "FunctionArn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:  # noqa: ARG003 - has no name
        """PublishVersion, of a function that changed since the last one."""
        lambda_ = client("lambda", region)
        function, description = properties["FunctionName"], properties.get("Description", "")
        existing = {
            version["Version"]
            for version in lambda_.list_versions_by_function(FunctionName=function)["Versions"]
        }
        published = lambda_.publish_version(FunctionName=function, Description=description)
        number = published["Version"]
        if number in existing:
            raise ValueError(
                f"A version for this Lambda function exists ( {number} ). "
                "Modify the function to create a new version."
            )
        arn = published["FunctionArn"]
        return cls(arn, region, properties, {"Version": number, "FunctionArn": arn})

    def remove(self) -> None:
        """DeleteFunction with the version as qualifier."""
        client("lambda", self.region).delete_function(
            FunctionName=self.properties["FunctionName"], Qualifier=self.attributes["Version"]
        )


def _publish_version(self: LambdaStorage, name_or_arn: str, description: str = "") -> LambdaFunction | None:
    """In place of moto's, which reuses a deleted version's number and shares code between versions."""
    latest = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
    function = self._functions[latest.function_name]
    if function["versions"] and not latest.code_or_config_updated:
        last: LambdaFunction = function["versions"][-1]
        return last
    latest.code_or_config_updated = False
    function["published"] = function.get("published", 0) + 1
    version = copy.copy(latest)
    version.code = dict(latest.code)
    version.set_version(function["published"])
    version.description = description or latest.description
    function["versions"].append(version)
    self._arns[version.function_arn] = version
    return version


LambdaStorage.publish_version = _publish_version  # type: ignore[method-assign]
