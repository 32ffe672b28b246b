"""The configuration: one object per stage under ``coldpress`` in cdk.json, validated before synthesis.

The types below are the reference: each field's bounds and its description make the sentence that a wrong
value gets, so the two cannot drift apart. docs/deployment.md explains the fields to users.
"""

import difflib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from bundle.manifest import ModelName

Architecture = Literal["x86_64", "arm64"]
Authorization = Literal["iam", "none"]
_TAG_TEXT = r"[\w .:/=+@-]"  # what every AWS service takes in a tag


class InvalidConfig(Exception):
    """The configuration cannot be deployed; the message is one sentence: the key, and what is right."""


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The settings that all parts of the configuration share."""


class Model(_Section, frozen=True, kw_only=True):
    """What is served: a bundle, by its digest and never by a pointer that can move."""

    name: Annotated[
        ModelName,
        Meta(description="a model's name has 1 to 63 lower-case letters, digits and inner hyphens"),
    ]
    version: Annotated[
        int, Meta(ge=1, le=2**31, description="a version is the whole number that `coldpress push` printed")
    ] = 1
    digest: (
        Annotated[
            str,
            Meta(
                pattern=r"^[0-9a-f]{64}\Z",
                description="a digest is the 64 hex digits that `coldpress push` printed",
            ),
        ]
        | None
    ) = None


class ProvisionedConcurrency(_Section, frozen=True, kw_only=True):
    """How many environments stay initialised, and the share of them in use that target tracking aims for."""

    min: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="the smallest number is 1 (for none, leave provisioned_concurrency out)",
        ),
    ] = 1
    max: Annotated[
        int, Meta(ge=1, le=10_000, description="it takes a whole number of environments from 1 to 10000")
    ] = 10
    target_utilization: Annotated[
        float, Meta(ge=0.1, le=0.9, description="Application Auto Scaling takes a share from 0.1 to 0.9")
    ] = 0.7


class Throttling(_Section, frozen=True, kw_only=True):
    """Requests that the API lets through: a steady rate per second, and a burst above it."""

    rate: Annotated[
        float, Meta(gt=0, le=10_000, description="it takes requests per second, above 0 and up to 10000")
    ] = 50
    burst: Annotated[
        int, Meta(ge=1, le=5_000, description="it takes a whole number of requests from 1 to 5000")
    ] = 100


class Alarms(_Section, frozen=True, kw_only=True):
    """What raises an alarm within one minute, and who is told."""

    p99_latency_ms: Annotated[
        int,
        Meta(
            ge=1, le=30_000, description="it takes whole milliseconds from 1 to 30000, the API's own timeout"
        ),
    ] = 1_000
    errors: Annotated[int, Meta(ge=1, description="it takes a whole number of failed invocations from 1")] = 1
    throttles: Annotated[
        int, Meta(ge=1, description="it takes a whole number of refused invocations from 1")
    ] = 1
    email: (
        Annotated[
            str, Meta(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+\Z", description="it takes one e-mail address")
        ]
        | None
    ) = None


class EndpointConfig(_Section, frozen=True, kw_only=True):
    """One endpoint: what it serves and how. The shortest is ``EndpointConfig(model=Model(name="ocr"))``.

    ``memory_mb`` also buys CPU: 1769 MB is one vCPU, all that one inference thread uses. ``timeout_s``
    stays a second below the HTTP API's fixed 30 s, so that the client gets the function's own 504, which is
    counted. ``architecture`` is the bundle's target. Without ``provisioned_concurrency`` it serves from
    zero. ``authorization`` is ``iam`` (requests signed with AWS credentials) or ``none`` (open to
    everyone). ``transform`` is the user's own code at ``:transform``, from the image's folder transforms/.
    """

    model: Annotated[Model, Meta(description='a stage needs one: {"name": "ocr"}')]
    memory_mb: Annotated[
        int, Meta(ge=128, le=10_240, description="Lambda takes whole MB from 128 to 10240")
    ] = 1_769
    timeout_s: Annotated[
        int,
        Meta(
            ge=1,
            le=29,
            description="it takes whole seconds from 1 to 29, because the HTTP API gives up at 30",
        ),
    ] = 29
    architecture: Annotated[Architecture, Meta(description='Lambda has "x86_64" and "arm64"')] = "x86_64"
    provisioned_concurrency: ProvisionedConcurrency | None = None
    authorization: Annotated[
        Authorization, Meta(description='it takes "iam" (signed requests) or "none" (open to everyone)')
    ] = "iam"
    transform: (
        Annotated[
            str,
            Meta(
                pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*\Z",
                description='it takes the class of your own code, like "transforms.ocr:Transform"',
            ),
        ]
        | None
    ) = None
    throttling: Throttling = Throttling()
    alarms: Alarms = Alarms()


class StageConfig(EndpointConfig, frozen=True, kw_only=True):
    """One stage in cdk.json: an endpoint, and the tags of its stack."""

    tags: Annotated[
        dict[str, str], Meta(description='it takes an object of strings like {"team": "search"}')
    ] = {}


StageName = Annotated[
    str,
    Meta(
        pattern=r"^(?!registry\Z)[a-z][a-z0-9-]{0,30}[a-z0-9]\Z",
        description=(
            "a stage's name has 2 to 32 lower-case letters, digits and hyphens, begins with a letter "
            "and is not 'registry', the stack that all stages share"
        ),
    ),
]


def check_config(config: EndpointConfig, where: str) -> None:
    """Check a configuration made in Python: its constructor does not look at values, this does.

    Raises:
        InvalidConfig: a value cannot be deployed; ``where`` begins the key's path in the message.
    """
    _convert(msgspec.to_builtins(config), where)


def load_stages(context: Mapping[str, Any]) -> dict[str, StageConfig]:
    """The stages to synthesise, by name.

    Args:
        context: the CDK context: ``coldpress`` from cdk.json, and from ``-c`` (always strings) ``stage``,
        which
            selects one stage, and ``digest`` and ``version``, which override its pinned model.

    Raises:
        InvalidConfig: something is wrong; nothing may be synthesised then.
    """
    raw = context.get("coldpress")
    if not isinstance(raw, Mapping) or not raw:
        raise InvalidConfig(
            "cdk.json: the context has no object coldpress with a stage in it: "
            'add "coldpress": {"dev": {"model": {"name": "ocr"}}}.'
        )
    stages = {
        _convert_name(name): _convert(value, f"cdk.json: coldpress.{name}") for name, value in raw.items()
    }
    selected = context.get("stage")
    if selected is None:
        for key in ("digest", "version"):
            if context.get(key) is not None:
                raise InvalidConfig(f"-c {key}=… says nothing of which stage it is for: add -c stage=NAME.")
        return stages
    if selected not in stages:
        raise InvalidConfig(
            f"-c stage={selected} names no stage in cdk.json{_hint(str(selected), stages)}: "
            f"it has {', '.join(stages)}."
        )
    return {selected: _override(stages[selected], context)}


def _override(stage: StageConfig, context: Mapping[str, Any]) -> StageConfig:
    """The stage with the model's digest and version from the command line, where they are given."""
    model = msgspec.to_builtins(stage.model)
    model |= {key: context[key] for key in ("digest", "version") if context.get(key) is not None}
    if isinstance(model.get("version"), str) and re.fullmatch("[0-9]{1,10}", model["version"]):
        model["version"] = int(model["version"])
    try:
        return msgspec.structs.replace(stage, model=msgspec.convert(model, Model))
    except msgspec.ValidationError as error:
        key, _ = _split(str(error))
        raise InvalidConfig(_sentence(f"-c {key}", model[key], _description(Model, [key]))) from None


def _convert_name(name: str) -> str:
    try:
        return msgspec.convert(name, StageName)
    except msgspec.ValidationError:
        raise InvalidConfig(
            f"cdk.json: coldpress.{json.dumps(name)[1:-1]} is no stage's name: {_description_of(StageName)}."
        ) from None


def _convert(raw: object, where: str) -> StageConfig:
    try:
        stage = msgspec.convert(raw, StageConfig)
    except msgspec.ValidationError as error:
        raise InvalidConfig(_explain(raw, str(error), where)) from None
    limits = stage.provisioned_concurrency
    if limits is not None and limits.min > limits.max:
        raise InvalidConfig(
            f"{where}.provisioned_concurrency.min is {limits.min}, but max is {limits.max}: "
            "raise max or lower min."
        )
    for key, value in stage.tags.items():
        _check_tag(key, value, f"{where}.tags")
    return stage


def _check_tag(key: str, value: str, where: str) -> None:
    if not re.fullmatch(rf"(?!(?i:aws:)){_TAG_TEXT}{{1,128}}", key):
        raise InvalidConfig(
            f"{where} has the key {json.dumps(key)}, but a tag's key has 1 to 128 letters, "
            "digits, spaces and _.:/=+-@, and does not begin with aws:."
        )
    if not re.fullmatch(f"{_TAG_TEXT}{{0,256}}", value):
        raise InvalidConfig(
            f"{where}.{key} is {json.dumps(value)}, but a tag's value has up to 256 letters, "
            "digits, spaces and _.:/=+-@."
        )


def _explain(raw: object, message: str, where: str) -> str:
    """Turn msgspec's message into a sentence with the key's full path, its value and what would be right."""
    path, problem = _split(message)
    keys = [key for key in path.split(".") if key]
    named = ".".join([where, *keys])
    if unknown := re.search("unknown field `(.*)`", problem, re.DOTALL):
        key = json.dumps(unknown[1])[1:-1]  # a control character must not break the sentence's line
        known = list(get_type_hints(_type_at(StageConfig, keys)))
        return f"{named}.{key} is no key{_hint(key, known)}: known are {', '.join(known)}."
    if missing := re.search("missing required field `(.+)`", problem):
        return f"{named}.{missing[1]} is missing: {_description(StageConfig, [*keys, missing[1]])}."
    value: Any = raw
    for key in keys:
        value = value[key]
    return _sentence(named, value, _description(StageConfig, keys))


def _sentence(path: str, value: object, right: str) -> str:
    return f"{path} is {json.dumps(value)}, but {right}."


def _hint(wrong: str, known: Mapping[str, Any] | list[str]) -> str:
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _split(message: str) -> tuple[str, str]:
    """Split msgspec's ``Expected … - at `$.a.b``` into the path without ``$.`` and the problem."""
    problem, _, path = message.partition(" - at `")
    return path.removesuffix("`").removeprefix("$").removeprefix(".").removesuffix("[...]"), problem


def _type_at(root: Any, keys: list[str]) -> Any:
    for key in keys:
        root = _struct_in(get_type_hints(root)[key])
    return root


def _struct_in(hint: Any) -> Any:
    """The struct in ``Struct | None`` or ``Annotated[Struct, …]``."""
    for part in (hint, *get_args(hint)):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return part
    return hint


def _description(root: Any, keys: list[str]) -> str:
    """What the field's ``Meta`` says would be right."""
    if not keys:
        return "it takes an object"
    hint = get_type_hints(_type_at(root, keys[:-1]), include_extras=True)[keys[-1]]
    return _description_of(hint)


def _description_of(hint: Any) -> str:
    for part in (hint, *get_args(hint)):
        if get_origin(part) is Annotated:
            for meta in reversed(part.__metadata__):
                if isinstance(meta, Meta) and meta.description:
                    return meta.description
    return "it takes an object"
