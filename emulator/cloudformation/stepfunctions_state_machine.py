"""AWS::StepFunctions::StateMachine."""

from typing import Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource, lower_camel

_LONGEST_NAME = 80


class StateMachine(Resource):
    """A state machine; moto's own type makes it in a backend that does not run it."""

    TYPE = "AWS::StepFunctions::StateMachine"
    NAME_PROPERTY = "StateMachineName"
    ATTRIBUTES = frozenset({"Arn", "Name"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateStateMachine; of a longer name its end, which is one of a kind."""
        name = name[-_LONGEST_NAME:]
        arn = client("stepfunctions", region).create_state_machine(
            name=name,
            definition=properties["DefinitionString"],
            roleArn=properties["RoleArn"],
            type=properties.get("StateMachineType", "STANDARD"),
            tags=lower_camel(properties.get("Tags", [])),
        )["stateMachineArn"]
        return cls(arn, region, properties, {"Arn": arn, "Name": name})

    def update(self, properties: Properties) -> bool:
        """UpdateStateMachine; another name or type makes another one."""
        for key in ("StateMachineName", "StateMachineType"):
            if properties.get(key) != self.properties.get(key):
                return False
        machine, arn = client("stepfunctions", self.region), self.physical_resource_id
        machine.update_state_machine(
            stateMachineArn=arn, definition=properties["DefinitionString"], roleArn=properties["RoleArn"]
        )
        if properties.get("Tags"):
            machine.tag_resource(resourceArn=arn, tags=lower_camel(properties["Tags"]))
        return True

    def remove(self) -> None:
        """DeleteStateMachine."""
        client("stepfunctions", self.region).delete_state_machine(stateMachineArn=self.physical_resource_id)
