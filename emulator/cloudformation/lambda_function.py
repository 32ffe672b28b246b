"""AWS::Lambda::Function."""

from typing import Any, Self

from moto.awslambda.models import LambdaBackend, LambdaFunction, lambda_backends
from moto.awslambda.utils import make_function_arn

from emulator import settings
from emulator.cloudformation.resource import Properties, Resource, tag_map

# moto declares methods abstract that it never writes.
_LambdaFunction: Any = LambdaFunction


class Function(Resource):
    """A function from a container image.

    moto's own type drops most properties (image configuration, storage, tags) and updates the code of old
    versions along with the function's. So this one goes to moto's backend, where a new configuration can take
    the place of the old one as a whole.
    """

    TYPE = "AWS::Lambda::Function"
    NAME_PROPERTY = "FunctionName"
    ATTRIBUTES = frozenset({"Arn"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateFunction."""
        _check(properties)
        _backend(region).create_function(_specification(name, properties))
        arn = make_function_arn(region, settings.ACCOUNT, name)
        return cls(name, region, properties, {"Arn": arn})

    def update(self, properties: Properties) -> bool:
        """UpdateFunctionCode and UpdateFunctionConfiguration at once; published versions stay as they are."""
        if properties.get("FunctionName") != self.properties.get("FunctionName"):
            return False
        _check(properties)
        backend = _backend(self.region)
        name = self.physical_resource_id
        old = backend.get_function(name)
        new = _LambdaFunction(
            account_id=settings.ACCOUNT,
            spec=_specification(name, properties),
            region=self.region,
            version=old.version,
        )
        new.policy = old.policy
        new.policy.parent = new
        new.url_config = old.url_config
        new.event_invoke_config = old.event_invoke_config
        new.code_or_config_updated = True
        backend._lambdas.put_function(new)
        return True

    def remove(self) -> None:
        """DeleteFunction, with all its versions and aliases."""
        _backend(self.region).delete_function(self.physical_resource_id)


def _backend(region: str) -> LambdaBackend:
    backend: LambdaBackend = lambda_backends[settings.ACCOUNT][region]
    return backend


def _check(properties: Properties) -> None:
    if "ImageUri" not in properties.get("Code", {}):
        raise NotImplementedError("The emulator runs container image functions only: no zip packages.")


def _specification(name: str, properties: Properties) -> Properties:
    return {
        **properties,
        "FunctionName": name,
        "Code": dict(properties["Code"]),
        "KMSKeyArn": properties.get("KmsKeyArn"),
        "Tags": tag_map(properties),
    }
