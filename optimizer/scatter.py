"""A scatter plot as inline SVG: speed against what it cost."""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 960, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, _WIDTH - 24, 24, _HEIGHT - 52
_RADIUS = 8
_LABEL_HEIGHT, _LETTER_WIDTH = 17, 7.3
_LEVELS = (0.0, 0.1, 0.4, 1.0)  # of the largest drop, where lines are drawn
_MARGIN = 1.15


@dataclass(frozen=True)
class Point:
    """A candidate: ``kind`` is its CSS class, ``detail`` what hovering shows."""

    x: float
    y: float
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


@dataclass(frozen=True)
class _Scale:
    """Data to pixels. Drops grow downwards on a square-root scale, so that small ones can be told apart."""

    right: float
    lowest: float

    def x(self, value: float) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * value / self.right, 1)

    def y(self, value: float) -> float:
        shown = min(max(value, 0.0), self.lowest) if math.isfinite(value) else self.lowest
        return round(_TOP + (_BOTTOM - _TOP) * math.sqrt(shown / self.lowest), 1)


def scatter(points: Sequence[Point], bound: float, x_label: str, y_label: str) -> str:
    """The plot of candidates, the region within the bound shaded."""
    drops = [point.y for point in points if math.isfinite(point.y)]
    scale = _Scale(
        right=max((point.x for point in points), default=1.0) * _MARGIN or 1.0,
        lowest=max([*drops, bound, 1e-6]) * _MARGIN,
    )
    name = html.escape(f"{y_label} by {x_label}")
    return "".join(
        [
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">',
            *_axes(scale, bound, html.escape(x_label), html.escape(y_label)),
            *_dots(points, scale),
            "</svg>",
        ]
    )


def _axes(scale: _Scale, bound: float, x_label: str, y_label: str) -> Iterator[str]:
    limit = scale.y(bound)
    width, height = _RIGHT - _LEFT, round(limit - _TOP, 1)
    yield f'<rect class="allowed" x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}"/>'
    for tick in _ticks(scale.right):
        yield _line("axis", scale.x(tick), _TOP, scale.x(tick), _BOTTOM)
        yield _text(scale.x(tick), _BOTTOM + 20, f"{tick:g}", 'text-anchor="middle"')
    for share in _LEVELS:
        level = _rounded(scale.lowest / _MARGIN * share)
        yield _line("axis", _LEFT, scale.y(level), _RIGHT, scale.y(level))
        yield _text(_LEFT - 10, scale.y(level) + 4, f"{level:g}", 'text-anchor="end"')
    yield _line("bound", _LEFT, limit, _RIGHT, limit)
    yield _text(_LEFT + 8, limit + 16, f"bound {bound:g}", 'class="bound-label"')
    yield _text(_RIGHT, _HEIGHT - 10, x_label, 'text-anchor="end"')
    yield _text(16, _TOP, y_label, f'transform="rotate(-90 16 {_TOP})" text-anchor="end"')


def _dots(points: Sequence[Point], scale: _Scale) -> Iterator[str]:
    """Circles, each with its label at the nearest free place beside it."""
    places = [(scale.x(point.x), scale.y(point.y)) for point in points]
    taken = [_Box(x - _RADIUS, y - _RADIUS, 2 * _RADIUS, 2 * _RADIUS) for x, y in places]
    for point, (x, y) in zip(points, places, strict=True):
        boxes = list(_label_places(x, y, len(point.label) * _LETTER_WIDTH))
        free = (box for box in boxes if not any(map(box.touches, taken)))
        box = next(free, boxes[0] if boxes else taken[0])
        taken.append(box)
        yield f"<g><title>{html.escape(point.detail)}</title>"
        yield f'<circle class="{point.kind}" cx="{x}" cy="{y}" r="{_RADIUS}"/>'
        yield _text(box.left, box.top + 12.5, html.escape(point.label), 'class="label"') + "</g>"


def _label_places(x: float, y: float, width: float) -> Iterator[_Box]:
    """Beside a dot, right before left, then further and further below and above."""
    for step in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, 6, 7, 8):
        top = y + (step - 0.5) * _LABEL_HEIGHT
        for left in (x + 1.7 * _RADIUS, x - 1.7 * _RADIUS - width):
            if left > _LEFT and left + width < _WIDTH and 0 < top < _BOTTOM - _LABEL_HEIGHT:
                yield _Box(left, top, width, _LABEL_HEIGHT)


def _line(kind: str, left: float, top: float, right: float, bottom: float) -> str:
    return f'<line class="{kind}" x1="{left}" y1="{top}" x2="{right}" y2="{bottom}"/>'


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{text}</text>'


def _ticks(right: float) -> list[float]:
    """Round numbers from zero on, about six of them."""
    step = _rounded(right / 6)
    return [float(f"{index * step:.6g}") for index in range(int(right / step) + 1)]


def _rounded(value: float) -> float:
    """The nearest 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{min((1, 2, 5, 10), key=lambda digit: abs(value / power - digit)) * power:.6g}")
