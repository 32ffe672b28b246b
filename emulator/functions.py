"""Which function version answers a request: names, ARNs, qualifiers and aliases resolved in moto's Lambda."""

import random
from dataclasses import dataclass, field
from typing import Any

from moto.awslambda.models import LambdaFunction, lambda_backends

from emulator import settings

_CHOICE = random.SystemRandom()


class FunctionNotFound(Exception):
    """No such function, version or alias."""


@dataclass(frozen=True)
class FunctionVersion:
    """What an environment needs to know; equal versions can share environments."""

    name: str
    version: str
    region: str
    image_uri: str
    memory_mb: int
    timeout_seconds: int
    variables: tuple[tuple[str, str], ...]
    entry_point: tuple[str, ...]
    command: tuple[str, ...]
    working_directory: str
    # These change without a new version, and make no other environment.
    reserved: int | None = field(compare=False)  # concurrency; None shares the account's
    asked_for: str = field(compare=False)  # the qualifier that led here: an alias, a version or nothing


def resolve(name: str, qualifier: str | None, region: str) -> FunctionVersion:
    """The version that ``name`` means: a name or an ARN, with the qualifier in it or beside it.

    An alias with weights gives each of its versions its share of the calls.

    Raises:
        FunctionNotFound: there is none.
    """
    if name.startswith("arn:"):
        region, name = name.split(":")[3], name.split(":", 6)[6]
    name, _, in_name = name.partition(":")
    asked_for = in_name or qualifier or ""
    qualifier = asked_for or "$LATEST"
    storage = lambda_backends[settings.ACCOUNT][region]._lambdas
    if name not in storage._functions:
        raise FunctionNotFound(f"Function not found: {_arn(region, name, qualifier)}")
    aliases = storage._get_function_aliases(name)
    alias = aliases.get(qualifier)
    if alias is not None:
        qualifier = _weighted(alias)
    version = storage._get_latest(name) if qualifier == "$LATEST" else storage._get_version(name, qualifier)
    if version is None:
        raise FunctionNotFound(f"Function not found: {_arn(region, name, qualifier)}")
    reserved = storage._get_latest(name).reserved_concurrency
    return _version(version, qualifier, region, None if reserved is None else int(reserved), asked_for)


def _arn(region: str, name: str, qualifier: str) -> str:
    return f"arn:aws:lambda:{region}:{settings.ACCOUNT}:function:{name}:{qualifier}"


def _weighted(alias: Any) -> str:
    drawn = _CHOICE.random()
    for version, weight in _weights(alias).items():
        drawn -= weight
        if drawn < 0:
            return version
    return str(alias.function_version)


def _weights(alias: Any) -> dict[str, float]:
    """The share of the calls that an alias gives to other versions than its own."""
    return (alias.routing_config or {}).get("AdditionalVersionWeights") or {}


def _version(
    function: LambdaFunction, qualifier: str, region: str, reserved: int | None, asked_for: str
) -> FunctionVersion:
    image = function.image_config
    return FunctionVersion(
        name=function.function_name,
        version=qualifier,
        region=region,
        image_uri=function.code.get("ImageUri", ""),
        memory_mb=int(function.memory_size),
        timeout_seconds=int(function.timeout),
        variables=tuple(sorted(function.environment_vars.items())),
        entry_point=tuple(image.entry_point or ()),
        command=tuple(image.cmd or ()),
        working_directory=image.working_directory or "",
        reserved=reserved,
        asked_for=asked_for,
    )


def has_weights(name: str, qualifier: str, region: str) -> bool:
    """Whether ``qualifier`` is an alias that gives some of its calls to another version."""
    alias = lambda_backends[settings.ACCOUNT][region]._lambdas._get_function_aliases(name).get(qualifier)
    return alias is not None and bool(_weights(alias))


def current_versions() -> set[FunctionVersion]:
    """Every version that a request can still reach by a name that moves: aliases' versions and $LATEST."""
    current = set()
    for region, backend in lambda_backends[settings.ACCOUNT].items():
        storage = backend._lambdas
        for name in list(storage._functions):
            qualifiers = {"$LATEST"}
            for alias in storage._get_function_aliases(name).values():
                qualifiers |= {str(alias.function_version), *_weights(alias)}
            current |= {resolve(name, qualifier, region) for qualifier in qualifiers}
    return current
