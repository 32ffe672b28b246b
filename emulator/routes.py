"""Which of an API's routes a request takes: text, ``{name}`` for a segment, ``{name+}`` for the rest."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

_PLACEHOLDER = re.compile(r"\{(\w+)(\+?)\}")
_Route = TypeVar("_Route")


@dataclass(frozen=True)
class Match(Generic[_Route]):
    """A route that a request fits; the smallest ``rank`` wins."""

    rank: tuple[int, ...]
    route: _Route
    parameters: dict[str, str]


def best(routes: Iterable[tuple[str, str, _Route]], method: str, path: str) -> Match[_Route] | None:
    """The most specific of ``routes`` (method or ANY, pattern, route), or None.

    A path without a greedy placeholder comes before one with it (the longer the better); then the one with
    fewer placeholders, then a method before ANY.
    """
    matches = [
        found
        for route_method, pattern, route in routes
        if route_method in ("ANY", method) and (found := _match(route_method, pattern, route, path))
    ]
    return min(matches, key=lambda match: match.rank, default=None)


def _match(method: str, pattern: str, route: _Route, path: str) -> Match[_Route] | None:
    expression = "".join(
        (r"(?P<%s>.+)" if greedy else r"(?P<%s>[^/]+)") % name if name else re.escape(text)
        for text, name, greedy in _pieces(pattern)
    )
    found = re.fullmatch(expression, path)
    if not found:
        return None
    greedy = "+}" in pattern
    segments = pattern.count("/") if greedy else 0
    rank = (int(greedy), -segments, pattern.count("{"), int(method == "ANY"))
    return Match(rank, route, {name: unquote(value) for name, value in found.groupdict().items()})


def _pieces(pattern: str) -> list[tuple[str, str, str]]:
    """A route's path as (text, "", "") and ("", placeholder, "+" if greedy)."""
    pieces = []
    end = 0
    for placeholder in _PLACEHOLDER.finditer(pattern):
        pieces += [(pattern[end : placeholder.start()], "", ""), ("", placeholder[1], placeholder[2])]
        end = placeholder.end()
    return [*pieces, (pattern[end:], "", "")]
