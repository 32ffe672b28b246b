"""What all resource types here have in common."""

from typing import Any, ClassVar, Self

from botocore.exceptions import ClientError
from moto.core.common_models import CloudFormationModel

Properties = dict[str, Any]


class Resource(CloudFormationModel):
    """A resource type that moto's CloudFormation lacks or gets wrong, in moto's own way.

    Like CloudFormation itself, a subclass calls the service's API (through ``emulator.clients``), so that
    whatever is wrong in a template is refused by the API's own validation. It sets ``TYPE`` and
    ``ATTRIBUTES`` and writes ``create`` and ``remove``, and ``update`` where the type can be updated in
    place; without it an update is a replacement.

    ``physical_resource_id`` is what Ref gives, ``attributes`` what Fn::GetAtt gives.
    """

    TYPE: ClassVar[str]
    NAME_PROPERTY: ClassVar[str | None] = None
    ATTRIBUTES: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self, physical_id: str, region: str, properties: Properties, attributes: dict[str, str] | None = None
    ) -> None:
        self.physical_resource_id = physical_id
        self.region = region
        self.properties = properties
        self.attributes = attributes or {}
        # Of the template's UpdatePolicy, what is to be kept in the update under way; none in a rollback.
        self.update_policy: Properties = {}

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """Make the resource; ``name`` is generated, for types that must have one."""
        raise NotImplementedError(f"{cls.TYPE} cannot be created.")

    def update(self, properties: Properties) -> bool:  # noqa: ARG002 - for subclasses
        """Bring the resource to ``properties`` in place; False if it must be replaced instead."""
        return False

    def remove(self) -> None:
        """Delete the resource."""
        raise NotImplementedError(f"{self.TYPE} cannot be deleted.")

    # From here on: moto's interface.

    @classmethod
    def cloudformation_type(cls) -> str:
        """The type's name in templates."""
        return cls.TYPE

    @classmethod
    def cloudformation_name_type(cls) -> str:
        """The property that holds the resource's name, or an empty string."""
        return cls.NAME_PROPERTY or ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        """Whether Fn::GetAtt knows ``attr``."""
        return attr in cls.ATTRIBUTES

    def get_cfn_attribute(self, attribute_name: str) -> str:
        """The value of Fn::GetAtt."""
        return self.attributes[attribute_name]

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,  # noqa: ARG003 - there is one account
        region_name: str,
        **kwargs: Any,  # noqa: ARG003 - moto passes ids that nothing here needs
    ) -> Self:
        """Make the resource as a template says."""
        return cls.create(resource_name, cloudformation_json["Properties"], region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Self,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> Self:
        """Not used: ``emulator.cloudformation.deployment`` calls ``update``."""
        raise NotImplementedError

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        """Not used: moto calls ``delete``."""
        raise NotImplementedError

    def is_created(self) -> bool:
        """Everything here is made at once."""
        return True

    def delete(self, account_id: str, region: str) -> None:  # noqa: ARG002 - the resource knows
        """Delete the resource; one that is gone already is deleted, as for CloudFormation."""
        try:
            self.remove()
        except ClientError as error:
            if "NotFound" not in error.response["Error"]["Code"]:
                raise


def lower_camel(value: Any) -> Any:
    """A template's properties as some APIs write their keys: ``DeploymentStyle`` is ``deploymentStyle``."""
    if isinstance(value, dict):
        return {f"{key[0].lower()}{key[1:]}": lower_camel(item) for key, item in value.items()}
    return [lower_camel(item) for item in value] if isinstance(value, list) else value


def upper_camel(value: Any) -> Any:
    """The other way round: an answer of these APIs in a template's words."""
    if isinstance(value, dict):
        return {f"{key[0].upper()}{key[1:]}": upper_camel(item) for key, item in value.items()}
    return [upper_camel(item) for item in value] if isinstance(value, list) else value


def tag_map(properties: Properties) -> dict[str, str]:
    """The tags of a template, which lists them, as APIs take them that map them."""
    return {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
