"""What msgspec says of a wrong value, as one sentence: the key's path, the value, and what would be right."""

import difflib
import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta


def explain(root: Any, raw: object, message: str, where: str) -> str:
    """The sentence for msgspec's ``message`` about ``raw``, which should be a ``root`` at ``where``."""
    path, problem = _split(message)
    keys = [key for key in path.split(".") if key]
    named = ".".join([where, *keys])
    if unknown := re.search("unknown field `(.*)`", problem, re.DOTALL):
        return unknown_key(named, unknown[1], get_type_hints(_type_at(root, keys)))
    if missing := re.search("missing required field `(.+)`", problem):
        return f"{named}.{missing[1]} is missing: {_description(root, [*keys, missing[1]])}."
    value: Any = raw
    for key in keys:
        value = value[key]
    return sentence(named, value, _description(root, keys))


def unknown_key(where: str, key: str, known: Iterable[str]) -> str:
    """The sentence for a key that nobody knows."""
    known = list(known)
    shown = json.dumps(key)[1:-1]  # a control character must not break the sentence's line
    return f"{where}.{shown} is no key{hint(key, known)}: known are {', '.join(known)}."


def sentence(path: str, value: object, right: str) -> str:
    """What is there, and what would be right."""
    return f"{path} is {json.dumps(value)}, but {right}."


def hint(wrong: str, known: Iterable[str]) -> str:
    """The name that was probably meant, in brackets; empty if none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def description_of(type_hint: Any) -> str:
    """What a type's ``Meta`` says would be right."""
    for part in (type_hint, *get_args(type_hint)):
        if get_origin(part) is Annotated:
            for meta in reversed(part.__metadata__):
                if isinstance(meta, Meta) and meta.description:
                    return meta.description
    return "it takes an object"


def _split(message: str) -> tuple[str, str]:
    """Split msgspec's ``Expected … - at `$.a.b``` into the path without ``$.`` and the problem."""
    problem, _, place = message.partition(" - at `")
    path = place.removesuffix("`").rpartition("`")[2]  # of a key in an object it says: at `key` in `$.a`
    return path.removeprefix("$").removeprefix(".").partition("[")[0], problem


def _type_at(root: Any, keys: list[str]) -> Any:
    for key in keys:
        root = _struct_in(get_type_hints(root)[key])
    return root


def _struct_in(type_hint: Any) -> Any:
    """The struct in ``Struct | None`` or ``Annotated[Struct, …]``."""
    for part in (type_hint, *get_args(type_hint)):
        if isinstance(part, type) and issubclass(part, msgspec.Struct):
            return part
    return type_hint


def _description(root: Any, keys: list[str]) -> str:
    if not keys:
        return "it takes an object"
    return description_of(get_type_hints(_type_at(root, keys[:-1]), include_extras=True)[keys[-1]])
