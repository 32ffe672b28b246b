"""moto's CloudFormation backend with ``Deployment`` in place of moto's way to create, update and delete.

The functions here replace methods of moto's classes (``install``), which is why they take ``self``.
"""

import threading
from collections.abc import Callable
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Stack
from moto.cloudformation.parsing import OutputMap, ResourceMap
from moto.cloudformation.utils import generate_stack_id

from emulator.addresses import localise
from emulator.cloudformation.custom_resource import CustomResource
from emulator.cloudformation.deployment import (
    Deployment,
    ResourceFailed,
    add_event,
    check_types,
    creation_order,
    delete_resource,
)
from emulator.cloudformation.resource import Resource

# moto declares methods abstract that it never writes.
_Stack: Any = Stack
# One deployment at a time: stacks share buckets, roles and moto's dictionaries.
_DEPLOYING = threading.Lock()
_AFTER_DEPLOYMENT: list[Callable[[], None]] = []


def create_stack(
    self: CloudFormationBackend,
    name: str,
    template: str,
    parameters: dict[str, Any],
    **options: Any,
) -> Stack:
    """CreateStack: the stack exists afterwards, complete or rolled back."""
    if any(stack.name == name for stack in self.stacks.values()):
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    options.pop("stack_policy_body", None)
    stack: Stack = _Stack(
        stack_id=generate_stack_id(name, self.region_name, self.account_id),
        name=name,
        template=template,
        parameters=parameters,
        account_id=self.account_id,
        region_name=self.region_name,
        cross_stack_resources=self.exports,
        **options,
    )
    self.stacks[stack.stack_id] = stack
    _create(self, stack)
    return stack


def update_stack(  # noqa: PLR0913,PLR0917 - moto's own signature
    self: CloudFormationBackend,
    name: str,
    template: str,
    role_arn: str | None,
    parameters: list[dict[str, Any]],
    tags: dict[str, str] | None,
) -> Stack:
    """UpdateStack: the stack is as the template says afterwards, or as it was."""
    stack = self.get_stack(name)
    stack.role_arn = role_arn
    if tags is not None:
        stack.tags = tags
    given = {
        parameter["ParameterKey"]: parameter["ParameterValue"]
        for parameter in parameters
        if not parameter.get("UsePreviousValue")
    }
    previous = {parameter["ParameterKey"] for parameter in parameters} - given.keys()
    _update(self, stack, template, _parameters(stack, given, previous))
    return stack


def execute_change_set(
    self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
) -> None:
    """ExecuteChangeSet: the same as CreateStack or UpdateStack."""
    change_set = describe_change_set(self, change_set_name)
    if change_set.stack_id not in self.stacks:
        raise ValidationError(stack_name)
    stack = self.stacks[change_set.stack_id]
    if change_set.tags is not None:
        stack.tags = change_set.tags
    if change_set.change_set_type == "CREATE":
        stack.template = change_set.template
        stack._parse_template()
        stack.cross_stack_resources = self.exports
        stack.resource_map = stack._create_resource_map()
        _create(self, stack)
    else:
        given = change_set.parameters
        # moto has put the resolved value where the caller asked for the previous one.
        previous = {key for key, value in given.items() if stack.stack_parameters.get(key) == value}
        _update(self, stack, change_set.template, _parameters(stack, given, previous))
    change_set.execution_status = "EXECUTE_COMPLETE"


class ChangeSetNotFound(CloudFormationError):
    """The error that the CDK waits for after it deleted a change set; moto's has another code."""

    code = "ChangeSetNotFound"


def describe_change_set(self: CloudFormationBackend, change_set_name: str) -> ChangeSet:
    """DescribeChangeSet, of the newest one of that name."""
    for change_set_id, change_set in reversed(self.change_sets.items()):
        if change_set_name in (change_set_id, change_set.change_set_name):
            return change_set
    raise ChangeSetNotFound(f"ChangeSet [{change_set_name}] does not exist")


def delete_change_set(self: CloudFormationBackend, change_set_name: str) -> None:
    """DeleteChangeSet: as in AWS, no error if there is none (moto dies of it)."""
    for change_set_id, change_set in list(self.change_sets.items()):
        if change_set_name in (change_set_id, change_set.change_set_name):
            del self.change_sets[change_set_id]


def delete_stack(self: CloudFormationBackend, name_or_stack_id: str) -> None:
    """DeleteStack: resources go in reverse order, those to be retained stay."""
    stack = next(
        (stack for stack in self.stacks.values() if name_or_stack_id in (stack.name, stack.stack_id)), None
    )
    if stack is None:
        return
    with _DEPLOYING:
        _forget_exports(self, stack)
        stack._add_stack_event("DELETE_IN_PROGRESS", resource_status_reason="User Initiated")
        made = stack.resource_map._parsed_resources
        resources = stack.template_dict.get("Resources", {})
        for name in reversed(creation_order(resources)):
            if name not in made:
                continue
            body, resource = resources[name], made[name]
            kept = body.get("DeletionPolicy", "Delete") != "Delete"
            try:
                if not kept:
                    delete_resource(stack, body, resource)
            except Exception as error:  # noqa: BLE001 - whatever it is, the deletion fails and says so
                add_event(stack, name, _physical_id(resource), body["Type"], "DELETE_FAILED", str(error))
                _finish(stack, "DELETE_FAILED", f"{name}: {error}")
                return
            del made[name]
            status = "DELETE_SKIPPED" if kept else "DELETE_COMPLETE"
            add_event(stack, name, _physical_id(resource), body["Type"], status)
        _finish(stack, "DELETE_COMPLETE")
        self.deleted_stacks[stack.stack_id] = self.stacks.pop(stack.stack_id)


def _create(backend: CloudFormationBackend, stack: Stack) -> None:
    with _DEPLOYING:
        stack.status = "CREATE_IN_PROGRESS"
        stack._add_stack_event("CREATE_IN_PROGRESS", resource_status_reason="User Initiated")
        resources = stack.template_dict["Resources"]
        deployment = Deployment(stack, old={})
        try:
            deployment.apply(resources)
        except ResourceFailed as failure:
            stack._add_stack_event("ROLLBACK_IN_PROGRESS", resource_status_reason=str(failure))
            deployment.roll_back(resources)
            stack.output_map = OutputMap(stack.resource_map, {}, stack.stack_id)
            _finish(stack, "ROLLBACK_COMPLETE", str(failure))
            return
        _complete(backend, stack, "CREATE_COMPLETE")


def _update(
    backend: CloudFormationBackend, stack: Stack, template: str, parameters: dict[str, Any] | None
) -> None:
    with _DEPLOYING:
        old_template, old_dict, old_parameters = stack.template, stack.template_dict, stack.parameters
        stack._add_stack_event("UPDATE_IN_PROGRESS", resource_status_reason="User Initiated")
        deployment = Deployment(stack, old=old_dict["Resources"])
        try:
            _load(stack, template, parameters)
            deployment.apply(stack.template_dict["Resources"])
        except ResourceFailed as failure:
            stack._add_stack_event("UPDATE_ROLLBACK_IN_PROGRESS", resource_status_reason=str(failure))
            failed = stack.template_dict["Resources"]
            _load(stack, old_template, old_parameters)
            deployment.roll_back(failed)
            _complete(backend, stack, "UPDATE_ROLLBACK_COMPLETE", str(failure))
            return
        except Exception:
            _load(stack, old_template, old_parameters)
            raise
        deployment.clean_up(stack.template_dict["Resources"])
        _complete(backend, stack, "UPDATE_COMPLETE")


def _parameters(stack: Stack, given: dict[str, Any], previous: set[str]) -> dict[str, Any]:
    """The parameters as a caller wrote them; one that was left to its default stays with the default.

    So the path of an SSM parameter is looked up anew, which moto does only when a stack is created.
    """
    kept = {key: stack.parameters[key] for key in previous if key in stack.parameters}
    return kept | {key: value for key, value in given.items() if key not in previous}


def _load(stack: Stack, template: Any, parameters: dict[str, Any] | None) -> None:
    stack.template = template
    stack._parse_template()
    stack.description = stack.template_dict.get("Description")
    resource_map = stack.resource_map
    if parameters is not None:
        stack.parameters = resource_map.input_parameters = parameters
    resource_map._template = stack.template_dict
    resource_map._resource_json_map = stack.template_dict["Resources"]
    resource_map.resolved_parameters = {}
    resource_map.load()


def _complete(backend: CloudFormationBackend, stack: Stack, status: str, reason: str | None = None) -> None:
    _forget_exports(backend, stack)
    stack.output_map = stack._create_output_map()
    for export in stack.exports:
        backend.exports[export.name] = export
    localise(stack)  # outputs are resolved when first read: a wrong one fails here
    for notify in _AFTER_DEPLOYMENT:
        notify()
    _finish(stack, status, reason)


def _finish(stack: Stack, status: str, reason: str | None = None) -> None:
    stack.status = status
    stack._add_stack_event(status, resource_status_reason=reason)


def _forget_exports(backend: CloudFormationBackend, stack: Stack) -> None:
    for name in [
        name for name, export in backend.exports.items() if export.exporting_stack_id == stack.stack_id
    ]:
        del backend.exports[name]


def _physical_id(resource: Any) -> str:
    return getattr(resource, "physical_resource_id", "")


def _validate(self: ResourceMap) -> None:
    check_types(self._resource_json_map, self.lazy_condition_map)
    _validate_outputs(self)


def _get(self: ResourceMap, key: str) -> Any:
    """Only what exists: a description of a stack must not create what a deployment has not come to."""
    if key in self._parsed_resources:
        return self._parsed_resources[key]
    if key in self._resource_json_map:
        return None  # its condition is false
    raise KeyError(key)


def _stack_resources(self: Stack) -> list[Any]:
    made = self.resource_map._parsed_resources
    return [made[name] for name in self.template_dict.get("Resources", {}) if name in made]


_validate_outputs = ResourceMap.validate_outputs


def install(resource_types: list[Any], after_deployment: Callable[[], None]) -> None:
    """Put the functions above into moto's classes, and ``resource_types`` among or in place of its types.

    ``after_deployment`` is called whenever a stack is complete.
    """
    _AFTER_DEPLOYMENT[:] = [after_deployment]
    ours = {resource_type.TYPE for resource_type in resource_types}
    others = [
        model
        for model in parsing.get_model_list()
        if model is not Resource and model.cloudformation_type() not in ours
    ]
    all_types = [*resource_types, *others]
    _parsing: Any = parsing
    _parsing.CustomModel = CustomResource
    parsing.get_model_list = lambda: all_types  # type: ignore[assignment]
    parsing.get_model_map.cache_clear()
    parsing.get_name_type_map.cache_clear()
    for name, function in {
        "create_stack": create_stack,
        "update_stack": update_stack,
        "execute_change_set": execute_change_set,
        "describe_change_set": describe_change_set,
        "delete_change_set": delete_change_set,
        "delete_stack": delete_stack,
    }.items():
        setattr(CloudFormationBackend, name, function)
    ResourceMap.validate_outputs = _validate  # type: ignore[method-assign]
    ResourceMap.__getitem__ = _get  # type: ignore[method-assign]
    Stack.stack_resources = property(_stack_resources)  # type: ignore[method-assign,assignment]
