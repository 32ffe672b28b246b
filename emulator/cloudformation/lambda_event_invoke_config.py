"""AWS::Lambda::EventInvokeConfig."""

from typing import Any, Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class EventInvokeConfig(Resource):
    """How asynchronous invocations are tried again (``emulator.async_invocations``); of ``$LATEST`` only."""

    TYPE = "AWS::Lambda::EventInvokeConfig"

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """PutFunctionEventInvokeConfig."""
        if properties["Qualifier"] != "$LATEST":
            raise NotImplementedError(f"The emulator has one {cls.TYPE} a function, that of $LATEST.")
        _put(properties, region)
        return cls(name, region, properties)

    def update(self, properties: Properties) -> bool:
        """PutFunctionEventInvokeConfig."""
        if properties["FunctionName"] != self.properties["FunctionName"]:
            return False
        self.remove()  # moto keeps the first that it was given
        _put(properties, self.region)
        return True

    def remove(self) -> None:
        """DeleteFunctionEventInvokeConfig."""
        _lambda(self.region).delete_function_event_invoke_config(FunctionName=self.properties["FunctionName"])


def _put(properties: Properties, region: str) -> None:
    request = {name: value for name, value in properties.items() if name != "Qualifier"}
    _lambda(region).put_function_event_invoke_config(**request)


def _lambda(region: str) -> Any:
    return client("lambda", region)
