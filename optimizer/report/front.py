"""What each candidate gains and what it costs, with the Pareto front, as inline SVG."""

import html
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 960, 450
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, _WIDTH - 24, 40, _HEIGHT - 56
_RADIUS = 10
_LABEL_HEIGHT, _LETTER_WIDTH = 18, 6.9
_TICK_DISTANCE = 30
_MARGIN, _MARGIN_OF_LABELS = 0.08, 0.27


@dataclass(frozen=True)
class Point:
    """A candidate.

    ``mark`` stands in the dot, ``label`` beside it where there is room, ``detail`` is what hovering shows,
    ``kind`` its CSS class.
    """

    gain: float
    drop: float
    mark: str
    label: str
    detail: str
    kind: str


@dataclass(frozen=True)
class _Box:
    """A rectangle that a label must not touch."""

    left: float
    top: float
    width: float
    height: float

    def touches(self, other: "_Box") -> bool:
        return (
            self.left < other.left + other.width
            and other.left < self.left + self.width
            and self.top < other.top + other.height
            and other.top < self.top + self.height
        )


class _Scale:
    """Data to pixels.

    Drops grow downwards: evenly up to the bound, then more and more slowly, so that a candidate far outside
    does not press the others together.
    """

    def __init__(self, points: Sequence[Point], bound: float) -> None:
        gains = [point.gain for point in points] or [1.0]
        length = max(max(gains) - min(gains), 0.5)
        self.least, self.most = min(gains) - length * _MARGIN, max(gains) + length * _MARGIN_OF_LABELS
        drops = [point.drop for point in points if math.isfinite(point.drop)]
        self.lowest = max([*drops, bound, 1e-6])
        self.highest = min([*drops, 0.0])
        self.even = (bound or self.lowest / 4) / 2
        self.start = self._bent(self.highest)
        self.length = (self._bent(self.lowest) - self.start) * (1 + _MARGIN)

    def x(self, gain: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * (gain - self.least) / (self.most - self.least), 1)

    def y(self, drop: float) -> float:
        shown = min(drop, self.lowest) if math.isfinite(drop) else self.lowest
        return round(_TOP + (_BOTTOM - _TOP) * (self._bent(shown) - self.start) / self.length, 1)

    def _bent(self, drop: float) -> float:
        return math.asinh(drop / self.even)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those that no other beats in gain and drop, by gain."""
    front: list[Point] = []
    finite = (point for point in points if math.isfinite(point.drop))
    for point in sorted(finite, key=lambda point: (-point.gain, point.drop)):
        if not front or point.drop < front[-1].drop:
            front.append(point)
    return front[::-1]


def plot(points: Sequence[Point], bound: float, x_label: str, y_label: str) -> str:
    """The candidates, the region within the bound shaded; points come in order of importance of labels."""
    scale = _Scale(points, bound)
    front = pareto(points)
    name = html.escape(f"{y_label} by {x_label}")
    steps = list(_steps(front, scale))
    return "".join(
        [
            f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">',
            *_axes(scale, bound, html.escape(x_label), html.escape(y_label)),
            *(_line("front", *step) for step in steps),
            *_dots(points, scale, _boxes_of_bound(scale, bound), [_box_of_line(step) for step in steps]),
            "</svg>",
        ]
    )


def _axes(scale: _Scale, bound: float, x_label: str, y_label: str) -> Iterator[str]:
    limit = scale.y(bound)
    width, height = _RIGHT - _LEFT, round(limit - _TOP, 1)
    yield f'<rect class="allowed" x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}"/>'
    for gain in _round_numbers(scale.least, scale.most):
        yield _line("axis", scale.x(gain), _TOP, scale.x(gain), _BOTTOM)
        yield _text(scale.x(gain), _BOTTOM + 20, f"{gain:g}", 'text-anchor="middle"')
    for drop in _drop_ticks(scale, bound):
        yield _line("axis", _LEFT, scale.y(drop), _RIGHT, scale.y(drop))
        yield _text(_LEFT - 10, scale.y(drop) + 4, f"{drop:g}", 'text-anchor="end"')
    yield _line("bound", _LEFT, limit, _RIGHT, limit)
    yield _text(_LEFT - 10, limit + 4, f"{bound:g}", 'class="bound-label" text-anchor="end"')
    yield _text(_LEFT + 8, limit + 16, "the bound", 'class="bound-label"')
    yield _text(_RIGHT, _HEIGHT - 10, f"{x_label} →", 'text-anchor="end"')
    yield _text(18, _BOTTOM, f"← {y_label}", f'transform="rotate(-90 18 {_BOTTOM})"')


def _drop_ticks(scale: _Scale, bound: float) -> list[float]:
    """Zero, and round drops as far apart as their figures need, none of them at the bound's."""
    ticks = [0.0] if bound else []
    taken = [scale.y(0.0), scale.y(bound)]
    power = math.floor(math.log10(scale.lowest))
    for exponent in range(power, power - 5, -1):
        for digit in (5, 2, 1):
            drop = float(f"{digit}e{exponent}")
            if drop < scale.lowest and all(abs(scale.y(drop) - y) >= _TICK_DISTANCE for y in taken):
                ticks.append(drop)
                taken.append(scale.y(drop))
    return ticks


def _boxes_of_bound(scale: _Scale, bound: float) -> list[_Box]:
    limit = scale.y(bound)
    return [_box_of_line((_LEFT, limit, _RIGHT, limit)), _Box(_LEFT, limit, 80, _LABEL_HEIGHT)]


Segment = tuple[float, float, float, float]


def _steps(front: Sequence[Point], scale: _Scale) -> Iterator[Segment]:
    """What a gain costs: from a point of the front down to the drop of the next, and over to it."""
    for one, other in itertools.pairwise(front):
        left, right, top, bottom = (
            scale.x(one.gain),
            scale.x(other.gain),
            scale.y(one.drop),
            scale.y(other.drop),
        )
        yield left, top, left, bottom
        yield left, bottom, right, bottom


def _box_of_line(line: Segment) -> _Box:
    left, top, right, bottom = line
    return _Box(left - 2, top - 2, right - left + 4, bottom - top + 4)


def _dots(
    points: Sequence[Point], scale: _Scale, taken: Sequence[_Box], avoided: Sequence[_Box]
) -> list[str]:
    """Circles, each with its label where there is room, best off what is ``avoided``; the first on top."""
    places = [(scale.x(point.gain), scale.y(point.drop)) for point in points]
    taken = [*taken, *(_Box(x - _RADIUS, y - _RADIUS, 2 * _RADIUS, 2 * _RADIUS) for x, y in places)]
    drawn = []
    for point, (x, y) in zip(points, places, strict=True):
        hidden = [
            other.detail
            for other, place in zip(points, places, strict=True)
            if other is not point and math.dist(place, (x, y)) < _RADIUS
        ]
        detail = "\n\n".join([point.detail, *hidden])
        parts = [
            f"<g><title>{html.escape(detail)}</title>",
            f'<circle class="{point.kind}" cx="{x}" cy="{y}" r="{_RADIUS}"/>',
            _text(x, y + 4, html.escape(point.mark), 'class="mark" text-anchor="middle"'),
        ]
        free = [box for box in _label_places(x, y, point.label) if not any(map(box.touches, taken))]
        free.sort(key=lambda box: any(map(box.touches, avoided)))
        if point.label and free:
            taken.append(free[0])
            parts.append(_label(free[0], x, point.label))
        drawn.append("".join([*parts, "</g>"]))
    return drawn[::-1]


def _label(box: _Box, x: float, label: str) -> str:
    """In its box, at the side of its dot."""
    if box.left < x:
        return _text(
            box.left + box.width, box.top + 13, html.escape(label), 'class="label" text-anchor="end"'
        )
    return _text(box.left, box.top + 13, html.escape(label), 'class="label"')


def _label_places(x: float, y: float, label: str) -> Iterator[_Box]:
    """Beside a dot, right before left, then a little below and above."""
    width = len(label) * _LETTER_WIDTH
    for step in (0, 1, -1, 1.5, -1.5, 2, -2):
        top = y + (step - 0.5) * _LABEL_HEIGHT
        for left in (x + 1.5 * _RADIUS, x - 1.5 * _RADIUS - width):
            if left > _LEFT and left + width < _RIGHT and 0 < top < _BOTTOM - _LABEL_HEIGHT:
                yield _Box(left, top, width, _LABEL_HEIGHT)


def _line(kind: str, left: float, top: float, right: float, bottom: float) -> str:
    return f'<line class="{kind}" x1="{left}" y1="{top}" x2="{right}" y2="{bottom}"/>'


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{text}</text>'


def _round_numbers(least: float, most: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, about six of them."""
    rough = (most - least) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)
    first, last = math.ceil(least / step), math.floor(most / step)
    return [float(f"{index * step:.6g}") for index in range(first, last + 1)]
