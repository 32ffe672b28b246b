"""Bringing a stack to a template: moto's CloudFormation with CloudFormation's order, failures and rollback.

moto creates resources when something first refers to them, publishes a new Lambda version before it updates
the function, and swallows what fails. Here every resource comes after all that it refers to, a failure ends
the deployment and undoes it, and what a template no longer names goes last.
"""

import copy
import re
from graphlib import TopologicalSorter
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import Event, Stack

from emulator.cloudformation.resource import Resource

Template = dict[str, Any]
_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9]+)(?:\.[^}]+)?\}")


class ResourceFailed(Exception):
    """A resource could not be created or updated; the deployment ends and is undone."""

    def __init__(self, logical_id: str, cause: Exception) -> None:
        super().__init__(f"{logical_id}: {type(cause).__name__}: {cause}")


def references(value: Any) -> set[str]:
    """The logical ids (and parameters) that a piece of a template refers to."""
    if isinstance(value, list):
        return set().union(*map(references, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, content in value.items():
        if key == "Ref":
            found.add(content)
        elif key == "Fn::GetAtt":
            found.add(content.split(".")[0] if isinstance(content, str) else content[0])
        else:
            if key == "Fn::Sub":
                found.update(_SUBSTITUTION.findall(content if isinstance(content, str) else content[0]))
            elif key == "DependsOn":
                found.update([content] if isinstance(content, str) else content)
            found |= references(content)
    return found


def creation_order(resources: Template) -> list[str]:
    """The logical ids, each after all that it refers to or depends on."""
    graph = {name: references(body) & resources.keys() - {name} for name, body in resources.items()}
    return list(TopologicalSorter(graph).static_order())


def check_types(resources: Template, conditions: dict[str, bool]) -> None:
    """Refuse a template with a resource type that nobody here can make.

    Raises:
        ValidationError: with CloudFormation's own words, naming the types.
    """
    known = parsing.get_model_map()
    unknown = sorted(
        {
            body["Type"]
            for body in resources.values()
            if body["Type"] not in known
            and not body["Type"].startswith("Custom::")
            and ("Condition" not in body or conditions[body["Condition"]])
        }
    )
    if unknown:
        raise ValidationError(
            message=f"Template format error: Unrecognized resource types: [{', '.join(unknown)}] "
            "(the emulator has no such type: see docs/emulator.md)"
        )


class Deployment:
    """One create or update of a stack."""

    def __init__(self, stack: Stack, old: Template) -> None:
        self._stack = stack
        self._map = stack.resource_map
        self._made: dict[str, Any] = self._map._parsed_resources
        self._old = old
        self._created: list[str] = []
        self._updated: list[str] = []
        self._replaced: dict[str, Any] = {}

    def apply(self, new: Template) -> None:
        """Create and update, in order.

        Raises:
            ResourceFailed: call ``roll_back`` then.
        """
        for name in creation_order(new):
            try:
                if name not in self._made:
                    self._create(name, new[name])
                elif new[name]["Type"] != self._old[name]["Type"]:
                    raise ValueError("Update of resource type is not permitted.")
                else:
                    self._update(name, new[name])
            except Exception as error:
                failure = ResourceFailed(name, error)
                self._event(name, new[name], self._verb(name) + "_FAILED", str(failure))
                raise failure from error

    def clean_up(self, new: Template) -> None:
        """Delete what the new template no longer names and what was replaced."""
        for name, resource in self._replaced.items():
            if new[name].get("UpdateReplacePolicy", "Delete") == "Delete":
                self._delete(name, self._old[name], resource)
        for name in reversed(creation_order(self._old)):
            if name not in new and name in self._made:
                resource = self._made.pop(name)
                if self._old[name].get("DeletionPolicy", "Delete") == "Delete":
                    self._delete(name, self._old[name], resource)

    def roll_back(self, new: Template) -> None:
        """Undo ``apply``: what was made goes, what was changed is as the old template says."""
        replacements = {name: self._made[name] for name in self._replaced}
        self._made.update(self._replaced)
        for name in list(self._updated):
            # Without its update policy: nobody knows better than the old version how it answers.
            self._update(name, {**self._old[name], "UpdatePolicy": {}})
        for name, resource in replacements.items():
            self._delete(name, new[name], resource)
        for name in reversed(self._created):
            resource = self._made.pop(name)
            if new[name].get("DeletionPolicy", "Delete") != "Retain":
                self._delete(name, new[name], resource)

    def _create(self, name: str, body: Template) -> None:
        resource: Any = parsing.parse_and_create_resource(
            name, body, self._map, account_id=self._stack.account_id, region_name=self._stack.region_name
        )
        if resource is None:  # its condition is false
            return
        self._keep(name, body, resource)
        self._created.append(name)
        self._event(name, body, "CREATE_COMPLETE")

    def _update(self, name: str, body: Template) -> None:
        properties = self._properties(body)
        resource = self._made[name]
        if properties == resource.deployed_properties:
            return
        if isinstance(resource, Resource):
            before = copy.copy(resource)
            resource.update_policy = parsing.clean_json(body.get("UpdatePolicy", {}), self._map)
            if not resource.update(properties):
                self._replace(name, body)
                return
            resource.properties = properties
            if resource.physical_resource_id != before.physical_resource_id:
                # A custom resource that answered an update with another id: the old one goes in the end.
                self._replaced[name] = before
        else:
            resource = parsing.parse_and_update_resource(
                name, body, self._map, account_id=self._stack.account_id, region_name=self._stack.region_name
            )
            if resource is None:
                raise NotImplementedError(f"The emulator cannot update {body['Type']}.")
        self._keep(name, body, resource)
        self._updated.append(name)
        self._event(name, body, "UPDATE_COMPLETE")

    def _replace(self, name: str, body: Template) -> None:
        replacement = parsing.parse_and_create_resource(
            name, body, self._map, account_id=self._stack.account_id, region_name=self._stack.region_name
        )
        self._replaced[name] = self._made[name]
        self._keep(name, body, replacement)
        self._event(name, body, "UPDATE_COMPLETE", "Requested update required the creation of a new resource")

    def _keep(self, name: str, body: Template, resource: Any) -> None:
        resource.deployed_properties = self._properties(body)
        self._made[name] = resource

    def _properties(self, body: Template) -> Template:
        properties: Template = parsing.clean_json(body, self._map).get("Properties", {})
        return properties

    def _delete(self, name: str, body: Template, resource: Any) -> None:
        delete_resource(self._stack, body, resource)
        self._event(name, body, "DELETE_COMPLETE")

    def _verb(self, name: str) -> str:
        return "UPDATE" if name in self._made else "CREATE"

    def _event(self, name: str, body: Template, status: str, reason: str | None = None) -> None:
        physical_id = getattr(self._made.get(name), "physical_resource_id", "")
        add_event(self._stack, name, physical_id, body["Type"], status, reason)


def delete_resource(stack: Stack, body: Template, resource: Any) -> None:
    """Delete one resource, of ours or of moto's."""
    stack.resource_map._delete_resource(resource, body)


def add_event(  # noqa: PLR0913,PLR0917 - an event's fields
    stack: Stack, name: str, physical_id: str, resource_type: str, status: str, reason: str | None = None
) -> None:
    """Record what happened to a resource, where DescribeStackEvents finds it."""
    stack.events.append(
        Event(
            stack_id=stack.stack_id,
            stack_name=stack.name,
            logical_resource_id=name,
            physical_resource_id=physical_id,
            resource_type=resource_type,
            resource_status=status,
            resource_status_reason=reason,
            resource_properties=None,
        )
    )
