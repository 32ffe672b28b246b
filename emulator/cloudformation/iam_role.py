"""AWS::IAM::Role."""

import json
from typing import Any, Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource


class Role(Resource):
    """A role; it limits nothing here. moto's own type keeps rights, boundary and tags as they were made."""

    TYPE = "AWS::IAM::Role"
    NAME_PROPERTY = "RoleName"
    ATTRIBUTES = frozenset({"Arn", "RoleId"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateRole, with its policies."""
        boundary = properties.get("PermissionsBoundary")
        made = client("iam", region).create_role(
            RoleName=name,
            AssumeRolePolicyDocument=_text(properties["AssumeRolePolicyDocument"]),
            Path=properties.get("Path", "/"),
            Description=properties.get("Description", ""),
            MaxSessionDuration=properties.get("MaxSessionDuration", 3600),
            Tags=properties.get("Tags", []),
            **({"PermissionsBoundary": boundary} if boundary else {}),
        )["Role"]
        role = cls(name, region, properties, {"Arn": made["Arn"], "RoleId": made["RoleId"]})
        role._grant({}, properties)
        return role

    def update(self, properties: Properties) -> bool:
        """UpdateRole and its like, unless it has another name or path now."""
        old, iam, name = self.properties, client("iam", self.region), self.physical_resource_id
        if any(properties.get(key) != old.get(key) for key in ("RoleName", "Path")):
            return False
        iam.update_assume_role_policy(
            RoleName=name, PolicyDocument=_text(properties["AssumeRolePolicyDocument"])
        )
        iam.update_role(
            RoleName=name,
            Description=properties.get("Description", ""),
            MaxSessionDuration=properties.get("MaxSessionDuration", 3600),
        )
        if boundary := properties.get("PermissionsBoundary"):
            iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
        elif "PermissionsBoundary" in old:
            iam.delete_role_permissions_boundary(RoleName=name)
        iam.untag_role(RoleName=name, TagKeys=[tag["Key"] for tag in old.get("Tags", [])])
        iam.tag_role(RoleName=name, Tags=properties.get("Tags", []))
        self._grant(old, properties)
        return True

    def remove(self) -> None:
        """DeleteRole, after its policies."""
        self._grant(self.properties, {})
        client("iam", self.region).delete_role(RoleName=self.physical_resource_id)

    def _grant(self, old: Properties, new: Properties) -> None:
        """Bring the role's policies, its own and the managed ones, from ``old`` to ``new``."""
        iam, role = client("iam", self.region), self.physical_resource_id
        managed, before = _managed(new), _managed(old)
        for arn in before - managed:
            iam.detach_role_policy(RoleName=role, PolicyArn=arn)
        for arn in managed - before:
            iam.attach_role_policy(RoleName=role, PolicyArn=arn)
        own = {policy["PolicyName"]: policy["PolicyDocument"] for policy in new.get("Policies", [])}
        for policy in old.get("Policies", []):
            if policy["PolicyName"] not in own:
                iam.delete_role_policy(RoleName=role, PolicyName=policy["PolicyName"])
        for name, document in own.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=_text(document))


def _managed(properties: Properties) -> set[str]:
    """The account's own policies; AWS's, which moto does not hold, go without saying."""
    return {arn for arn in properties.get("ManagedPolicyArns", []) if ":iam::aws:" not in arn}


def _text(document: Any) -> str:
    return document if isinstance(document, str) else json.dumps(document)
