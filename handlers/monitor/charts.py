"""Lines over time and bars side by side, as inline SVG that needs no script."""

import html
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

_WIDTH, _HEIGHT = 960, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, _WIDTH - 16, 18, _HEIGHT - 38
_LEAST = 1e-6  # of the evidence that is told apart
_DAY_S = 86_400
_TICKS = 6

Place = Callable[[float], float]


class Line(NamedTuple):
    """A line: its CSS class, what it is called, and its values by moment."""

    kind: str
    name: str
    values: Sequence[tuple[float, float]]


def evidence_chart(lines: Sequence[Line], label: str) -> str:
    """Evidence on a logarithmic scale; 1 is an alarm."""
    most = max([1.0, *(value for line in lines for _, value in line.values)])
    top = math.ceil(math.log10(min(most, 1e6)) + 0.3)
    bottom = math.log10(_LEAST)

    def place(value: float) -> float:
        share = (math.log10(min(max(value, _LEAST), 1e6)) - bottom) / (top - bottom)
        return _BOTTOM - share * (_BOTTOM - _TOP)

    ticks = [(place(10.0**power), _power(power)) for power in range(round(bottom), top + 1, 2)]
    marks = [
        f'<line class="bound" x1="{_LEFT}" x2="{_RIGHT}" y1="{place(1):.1f}" y2="{place(1):.1f}"/>',
        f'<text class="bound-label" x="{_LEFT + 6}" y="{place(1) - 5:.1f}">alarm</text>',
    ]
    return _chart(lines, label, place, ticks, marks)


def share_chart(lines: Sequence[Line], label: str, expected: Iterable[tuple[str, float]]) -> str:
    """Shares from 0 to 1; ``expected`` are those that should be, by the CSS class of their line."""
    expected = list(expected)
    values = [value for line in lines for _, value in line.values] + [value for _, value in expected]
    low = max(0.0, math.floor((min(values, default=0.0) - 0.02) * 10) / 10)

    def place(value: float) -> float:
        return _BOTTOM - (value - low) / (1.0 - low) * (_BOTTOM - _TOP)

    steps = [low + (1.0 - low) * part / 4 for part in range(5)]
    ticks = [(place(value), f"{value * 100:.3g}%") for value in steps]
    marks = [
        f'<line class="expected {kind}" x1="{_LEFT}" x2="{_RIGHT}" y1="{place(value):.1f}" '
        f'y2="{place(value):.1f}"/>'
        for kind, value in expected
    ]
    return _chart(lines, label, place, ticks, marks)


def _chart(
    lines: Sequence[Line],
    label: str,
    place: Place,
    ticks: Sequence[tuple[float, str]],
    marks: Sequence[str],
) -> str:
    moments = [moment for line in lines for moment, _ in line.values]
    first, last = min(moments, default=0.0), max(moments, default=1.0)
    length = max(last - first, 300.0)

    def across(moment: float) -> float:
        return _LEFT + (moment - first) / length * (_RIGHT - _LEFT)

    return "".join(
        [
            f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="{html.escape(label)}">',
            *_axes(ticks, first, length),
            *marks,
            *(_drawn(line, across, place) for line in lines),
            "</svg>",
        ]
    )


def _axes(ticks: Sequence[tuple[float, str]], first: float, length: float) -> Iterator[str]:
    for y, text in ticks:
        yield f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    for part in range(_TICKS + 1):
        x = _LEFT + part / _TICKS * (_RIGHT - _LEFT)
        anchor = "start" if part == 0 else "end" if part == _TICKS else "middle"
        moment = datetime.fromtimestamp(first + length * part / _TICKS, UTC)
        text = moment.strftime("%d %b" if length > 4 * _DAY_S else "%d %b %H:%M" if part == 0 else "%H:%M")
        kind = ' class="between"' if part % 3 else ""  # a phone has no room for all
        yield f'<text{kind} x="{x:.1f}" y="{_BOTTOM + 28}" text-anchor="{anchor}">{text}</text>'


def _drawn(line: Line, across: Place, place: Place) -> str:
    points = [(across(moment), place(value)) for moment, value in line.values]
    if len(points) == 1:
        ((x, y),) = points
        return f'<circle class="{line.kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{line.kind}" points="{path}"/>'


def bar(share: float, most: float, kind: str) -> str:
    """One bar of a table; its number stands beside it in words."""
    width = 0.0 if most <= 0 else share / most
    return (
        f'<svg class="bar" aria-hidden="true"><rect class="{kind}" width="{width:.1%}" height="100%"/></svg>'
    )


def _power(power: int) -> str:
    return {0: "1", 1: "10", 2: "100"}.get(power, f"1e{power}")
