"""cdk.json's stages: read, checked and put together, before anything is synthesised.

What cannot be deployed is refused in one sentence that names the key and says what is right; so is what
would only fail during a deployment, or wedge the next one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec
from msgspec import Meta

from infra.config import (
    OWN_LIMITS,
    ApiConfig,
    EndpointConfig,
    InvalidConfig,
    Model,
    RegistryConfig,
    Rollout,
    StageConfig,
)
from infra.explain import description_of, explain, hint, sentence, unknown_key

_REGISTRY = "registry"  # not a stage, but what all of them share
_TAG_TEXT = r"[\w .:/=+@-]"  # what every AWS service takes in a tag

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
_ENDPOINT_KEYS = set(EndpointConfig.__struct_fields__)
_API_KEYS = set(ApiConfig.__struct_fields__)
# What a model's own object takes: what an endpoint takes, without what the API decides for all of its models.
_PINS = ("version", "digest", "labels", "versions", "shadow")
_MODEL_KEYS = _ENDPOINT_KEYS - _API_KEYS - {"model"} | {*_PINS, "throttling"}
_LONGEST_SHIFT = 2_880  # minutes
_OFTEN = 5  # minutes between a monitor's runs, soon enough for a canary that nobody waits an hour for
_Kind = TypeVar("_Kind")


def check_config(config: EndpointConfig, where: str) -> None:
    """Check a configuration made in Python: its constructor does not look at values, this does.

    Raises:
        InvalidConfig: a value cannot be deployed; ``where`` begins the key's path in the message.
    """
    _check_endpoint(_convert(msgspec.to_builtins(config), EndpointConfig, where), where)
    _check_api(config, where)


def endpoints(stage: StageConfig) -> list[EndpointConfig]:
    """The stage's models, each with all of its settings; the first takes what no other's routes take."""
    return [endpoint for _, endpoint in _endpoints(stage, "")]


def output_prefix(model: str) -> str:
    """A model's name as its stack's outputs begin: ``text-direction`` becomes ``TextDirection``."""
    return "".join(word.capitalize() for word in model.split("-"))


def load_stages(context: Mapping[str, Any]) -> dict[str, StageConfig]:
    """The stages to synthesise, by name.

    Args:
        context: the CDK context: ``coldpress`` from cdk.json, and from ``-c`` (always strings) ``stage``,
            which selects one stage, and ``digest`` and ``version``, which override its pinned model
            (``model`` says which, where the stage has several).

    Raises:
        InvalidConfig: something is wrong; nothing may be synthesised then.
    """
    raw = context.get("coldpress")
    raw = {key: raw[key] for key in raw if key != _REGISTRY} if isinstance(raw, Mapping) else None
    if not raw:
        raise InvalidConfig(
            "cdk.json: the context has no object coldpress with a stage in it: "
            'add "coldpress": {"dev": {"model": {"name": "ocr"}}}.'
        )
    stages = {_stage_name(name): _stage(value, f"cdk.json: coldpress.{name}") for name, value in raw.items()}
    selected = context.get("stage")
    if selected is None:
        for key in ("model", "digest", "version"):
            if context.get(key) is not None:
                raise InvalidConfig(f"-c {key}=… says nothing of which stage it is for: add -c stage=NAME.")
        return stages
    if selected not in stages:
        raise InvalidConfig(
            f"-c stage={selected} names no stage in cdk.json{hint(str(selected), stages)}: "
            f"it has {', '.join(stages)}."
        )
    stage = _override(stages[selected], context)
    for where, endpoint in _endpoints(stage, f"cdk.json: coldpress.{selected}"):
        _check_endpoint(endpoint, where)
    return {selected: stage}


def load_registry(context: Mapping[str, Any]) -> RegistryConfig:
    """What stands at ``registry``, beside the stages that ``load_stages`` has read.

    Raises:
        InvalidConfig: something is wrong; nothing may be synthesised then.
    """
    raw = context["coldpress"].get(_REGISTRY, {})
    return _convert(raw, RegistryConfig, f"cdk.json: coldpress.{_REGISTRY}")


def _override(stage: StageConfig, context: Mapping[str, Any]) -> StageConfig:
    """The stage with a model's digest and version from the command line, where they are given."""
    given = {key: context[key] for key in ("digest", "version") if context.get(key) is not None}
    if not given:
        return stage
    pinned = _named(stage, context.get("model"))
    if isinstance(given.get("version"), str) and re.fullmatch("[0-9]{1,10}", given["version"]):
        given["version"] = int(given["version"])
    try:
        model = msgspec.convert({**msgspec.to_builtins(pinned), **given}, Model)
    except msgspec.ValidationError as error:
        key = str(error).partition("$.")[2].rstrip("`")
        raise InvalidConfig(sentence(f"-c {key}", given[key], _right(Model, key))) from None
    if stage.model is not None:
        return msgspec.structs.replace(stage, model=model)
    return msgspec.structs.replace(
        stage, models={**stage.models, model.name: {**stage.models[model.name], **given}}
    )


def _named(stage: StageConfig, name: str | None) -> Model:
    """The stage's model of that name; no name is needed where there is one model only."""
    models = {endpoint.model.name: endpoint.model for endpoint in endpoints(stage)}
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if name in models:
        return models[name]
    if name is None:
        raise InvalidConfig(f"the stage has several models: add -c model=NAME, one of {', '.join(models)}.")
    raise InvalidConfig(
        f"-c model={name} names no model of the stage{hint(name, models)}: it has {', '.join(models)}."
    )


def _stage_name(name: str) -> str:
    try:
        return msgspec.convert(name, StageName)
    except msgspec.ValidationError:
        raise InvalidConfig(
            f"cdk.json: coldpress.{json.dumps(name)[1:-1]} is no stage's name: {description_of(StageName)}."
        ) from None


def _stage(raw: object, where: str) -> StageConfig:
    stage = _convert(raw, StageConfig, where)
    if stage.model is not None and stage.models:
        raise InvalidConfig(f"{where} has both model and models: move {stage.model.name} into models.")
    if stage.model is None and not stage.models:
        raise InvalidConfig(f"{where}.model is missing: {_right(StageConfig, 'model')}.")
    _check_api(stage, where)
    _check_stage(stage, where)
    for endpoint_where, endpoint in _endpoints(stage, where):
        _check_endpoint(endpoint, endpoint_where)
    return stage


def _endpoints(stage: StageConfig, where: str) -> Iterator[tuple[str, EndpointConfig]]:
    """The stage's models with the paths of their settings."""
    whole = msgspec.to_builtins(stage)
    defaults = {key: whole[key] for key in whole.keys() & _ENDPOINT_KEYS}
    if stage.model is not None:
        yield where, _convert(defaults, EndpointConfig, where)
    for name, entry in stage.models.items():
        _check_model(name, entry, f"{where}.models")
        model_where = f"{where}.models.{name}"
        if "throttling" in entry and stage.api == "http":
            raise InvalidConfig(f"{model_where}.throttling {OWN_LIMITS}.")
        yield model_where, _convert(_merged(defaults, _with_model(name, entry)), EndpointConfig, model_where)


def _check_model(name: str, entry: dict[str, Any], where: str) -> None:
    shown = json.dumps(name)[1:-1]
    for key in entry.keys() - _MODEL_KEYS:
        if key in _API_KEYS:
            raise InvalidConfig(
                f"{where}.{shown}.{key} is the stage's, whose models share one API: put it beside models."
            )
        raise InvalidConfig(unknown_key(f"{where}.{shown}", key, sorted(_MODEL_KEYS)))
    raw = {"name": name, **{key: entry[key] for key in _PINS if key in entry}}
    try:
        msgspec.convert(raw, Model)
    except msgspec.ValidationError as error:
        message = str(error)
        if message.endswith("`$.name`"):
            raise InvalidConfig(f"{where}.{shown} is no model's name: {_right(Model, 'name')}.") from None
        raise InvalidConfig(explain(Model, raw, message, f"{where}.{shown}")) from None


def _with_model(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    settings = {key: value for key, value in entry.items() if key not in _PINS}
    return {**settings, "model": {"name": name, **{key: entry[key] for key in _PINS if key in entry}}}


def _merged(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``own`` over ``defaults``; objects within are put together in the same way."""
    merged = {**defaults, **own}
    for key in defaults.keys() & own.keys():
        if isinstance(defaults[key], Mapping) and isinstance(own[key], Mapping):
            merged[key] = _merged(defaults[key], own[key])
    return merged


def _convert(raw: object, kind: type[_Kind], where: str) -> _Kind:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise InvalidConfig(explain(kind, raw, str(error), where)) from None


def _right(kind: type, key: str) -> str:
    """What would be right for a key."""
    return description_of(get_type_hints(kind, include_extras=True)[key])


def _check_endpoint(config: EndpointConfig, where: str) -> None:
    _check_rollout(config.rollout, f"{where}.rollout")
    _check_streaming(config, where)
    if config.model.version in config.model.versions:
        raise InvalidConfig(
            f"{where}.model.versions has {config.model.version}, but that is model.version itself: "
            "leave it out."
        )
    _check_shadow(config.model, f"{where}.model.shadow")
    if config.capture is not None and not config.capture.inputs | config.capture.outputs:
        raise InvalidConfig(f"{where}.capture keeps neither inputs nor outputs: set one, or take it out.")
    _check_monitor(config, f"{where}.monitor")
    if config.provisioned_concurrency is None:
        return
    limits, reserved = config.provisioned_concurrency, config.reserved_concurrency
    path = f"{where}.provisioned_concurrency"
    _check_limits(limits.min, limits.max, path)
    largest = [(f"{path}.max", limits.max)]
    for number, schedule in enumerate(limits.schedules):
        schedule_path = f"{path}.schedules[{number}]"
        _check_limits(schedule.min, schedule.max or limits.max, schedule_path)
        largest.append((f"{schedule_path}.max", schedule.max or 0))
    for key, value in largest:
        if reserved is not None and value > reserved:
            raise InvalidConfig(
                f"{key} is {value}, but reserved_concurrency is {reserved}, and no more can be provisioned: "
                "raise reserved_concurrency or lower max."
            )


def _check_monitor(config: EndpointConfig, where: str) -> None:
    monitor, rollout = config.monitor, config.rollout
    if monitor is None:
        return
    if config.capture is None:
        raise InvalidConfig(
            f'{where} looks at captured requests, and none are kept: write "capture": {{}} beside it.'
        )
    # Firehose gathers for five minutes; then the schedule may have just passed, and a minute is for the
    # alarm.
    needed = 6 + monitor.every_minutes
    if monitor.roll_back and (rollout.type == "all_at_once" or rollout.minutes < needed):
        often = min(monitor.every_minutes, _OFTEN)
        raise InvalidConfig(
            f"{where}.roll_back sees a new version's requests after {needed} minutes, when the rollout is "
            f'over: write "every_minutes": {often} there and "rollout": {{"type": "canary", "minutes": '
            f"{2 * (6 + often)}}} beside monitor, or take it out."
        )


def _check_shadow(model: Model, where: str) -> None:
    shadow = model.shadow
    if shadow is None:
        return
    for key in ("digest", "version"):
        if getattr(shadow, key) == getattr(model, key):
            raise InvalidConfig(
                f"{where}.{key} is what serves, but a shadow is another bundle under another number: push "
                "it, or take shadow out."
            )


def _check_streaming(config: EndpointConfig, where: str) -> None:
    if config.streaming and config.model.shadow is not None:
        raise InvalidConfig(
            f"{where}.model.shadow compares answers that are not streamed: take it or streaming out."
        )


def _check_limits(smallest: int, largest: int, where: str) -> None:
    if smallest > largest:
        raise InvalidConfig(f"{where}.min is {smallest}, but max is {largest}: raise max or lower min.")


def _check_rollout(rollout: Rollout, where: str) -> None:
    steps = -(-100 // rollout.percent) - 1
    if rollout.type == "linear" and rollout.minutes * steps > _LONGEST_SHIFT:
        raise InvalidConfig(
            f"{where} takes {steps} steps of {rollout.minutes} minutes, but CodeDeploy gives a deployment "
            f"{_LONGEST_SHIFT} minutes: raise percent or lower minutes."
        )


def _check_api(config: ApiConfig, where: str) -> None:
    """Refuse what the kind of API does not have, or what needs another key."""
    is_rest, has_keys, has_tokens = (
        config.api == "rest",
        config.authorization == "api_key",
        config.authorization == "jwt",
    )
    for is_wrong, reason in (
        (
            has_keys and not is_rest,
            'authorization is "api_key", but only a REST API has keys: set api to "rest"',
        ),
        (
            has_tokens and is_rest,
            'authorization is "jwt", but only an HTTP API checks tokens by itself: set api to "http"',
        ),
        (
            has_tokens and config.jwt is None,
            'authorization is "jwt", but jwt is missing: add {"issuer": "https://…", "audience": ["…"]}',
        ),
        (
            config.jwt is not None and not has_tokens,
            'jwt is there, but nobody asks for tokens: set authorization to "jwt"',
        ),
        (
            config.quota is not None and not has_keys,
            'quota counts the requests of API keys: set api to "rest" and authorization to "api_key"',
        ),
        (
            config.api_keys != ApiConfig().api_keys and not has_keys,
            'api_keys is there, but nobody asks for keys: set api to "rest" and authorization to "api_key"',
        ),
        (
            config.web_acl_arn is not None and not is_rest,
            'web_acl_arn is there, but AWS WAF protects REST APIs only: set api to "rest"',
        ),
        (
            config.streaming and not is_rest,
            'streaming is true, but only a REST API streams answers: set api to "rest"',
        ),
        (
            config.cors is not None and is_rest and len(config.cors.origins) > 1,
            "cors.origins has several, but a REST API answers every page with the same one: name one, or "
            '["*"], or set api to "http"',
        ),
    ):
        if is_wrong:
            raise InvalidConfig(f"{where}.{reason}.")


def _check_stage(stage: StageConfig, where: str) -> None:
    if stage.budget is not None and stage.alarms.email is None:
        raise InvalidConfig(f"{where}.budget has nobody to tell: set alarms.email beside it.")
    prefixes: dict[str, str] = {}
    for name in stage.models:
        other = prefixes.setdefault(output_prefix(name), name)
        if other != name:
            raise InvalidConfig(
                f"{where}.models has {other} and {name}, whose outputs would have the same names: rename one."
            )
    for key, value in stage.tags.items():
        _check_tag(key, value, f"{where}.tags")


def _check_tag(key: str, value: str, where: str) -> None:
    if not re.fullmatch(rf"(?!(?i:aws:)){_TAG_TEXT}{{1,128}}", key):
        raise InvalidConfig(
            f"{where} has the key {json.dumps(key)}, but a tag's key has 1 to 128 letters, "
            "digits, spaces and _.:/=+-@, and does not begin with aws:."
        )
    if not re.fullmatch(f"{_TAG_TEXT}{{0,256}}", value):
        raise InvalidConfig(
            sentence(
                f"{where}.{key}", value, "a tag's value has up to 256 letters, digits, spaces and _.:/=+-@"
            )
        )
