"""Released versions: an alias for each, by which URLs reach it, and which old ones go.

A release is a Lambda version that the alias ``live`` was moved to. It gets the alias ``v<n>``, n being the
registry's number of its model. Where the same model is released again, with more memory for example, the
alias moves.
"""

import re
from collections.abc import Collection
from typing import Any

# Of the newest, so many stay in any case.
NEWEST = 10
_RELEASE = re.compile(r"v[0-9]+")


def alias_of(model_version: str) -> str:
    """What the alias of a release is called."""
    return f"v{model_version}"


def point(client: Any, function: str, alias: str, version: str) -> None:
    """Move the alias to the version, or make it."""
    request = {"FunctionName": function, "Name": alias, "FunctionVersion": version}
    try:
        client.update_alias(**request)
    except client.exceptions.ResourceNotFoundException:
        client.create_alias(**request)


def prune(client: Any, function: str, *, previous: str | None, kept: Collection[str]) -> list[str]:
    """Delete versions that nobody can want any more; which ones.

    These stay: the ten newest; what ``live``, or any other alias that is no release's, names, by weight too;
    the version that was live before (``previous``), to which a rollback goes; and the releases whose aliases
    are ``kept``, because URLs reach them.
    """
    numbers = sorted(
        int(version["Version"])
        for page in client.get_paginator("list_versions_by_function").paginate(FunctionName=function)
        for version in page["Versions"]
        if version["Version"] != "$LATEST"
    )
    aliases = [
        alias
        for page in client.get_paginator("list_aliases").paginate(FunctionName=function)
        for alias in page["Aliases"]
    ]
    staying = {str(number) for number in numbers[-NEWEST:]} | ({previous} if previous else set())
    for alias in aliases:
        if alias["Name"] in kept or not _RELEASE.fullmatch(alias["Name"]):
            weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
            staying |= {alias["FunctionVersion"], *weights}
    for alias in aliases:
        if alias["FunctionVersion"] not in staying:
            client.delete_alias(FunctionName=function, Name=alias["Name"])
    going = [str(number) for number in numbers if str(number) not in staying]
    for version in going:
        client.delete_function(FunctionName=function, Qualifier=version)
    return going
