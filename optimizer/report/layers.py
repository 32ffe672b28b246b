"""Layer by layer, in the order of the graph: how long it takes, how exact it must be, and what it became."""

import html
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from optimizer.search.layers import LayerFigures, LayerTable
from optimizer.search.plan import TREATMENTS, WORDS, Treatment
from optimizer.units import duration, size

Choice = Treatment | None
_NAME_LENGTH = 34
_MOST_DECADES = 8

_ABOUT_DOTS = (
    "Dots are the treatments that a layer was measured with, each alone, on a few calibration samples: the "
    "further right, the more the model's answers change. The full one is what the layer became. Point at a "
    "bar or a dot for its figures."
)


@dataclass(frozen=True)
class _Layer:
    """A layer with all that it could be, and what it is."""

    figures: Mapping[Choice, LayerFigures]
    chosen: Choice

    @property
    def plain(self) -> LayerFigures:
        return self.figures[None]

    @property
    def now(self) -> LayerFigures:
        return self.figures[self.chosen]


def layer_section(table: LayerTable, chosen: Mapping[str, Treatment]) -> str:
    """What became of the layers: by precision, as a strip, and one by one."""
    layers = _layers(table, chosen)
    return "".join(
        [
            f'<div class="table"><table class="precisions">{_HEAD_OF_PRECISIONS}<tbody>',
            *_precisions(layers),
            "</tbody></table></div>",
            *_strip(layers),
            '<div class="table long"><table class="layers">',
            *_rows(layers),
            "</table></div>",
            f'<p class="legend">All {len(layers)} layers in the order of the graph. {_ABOUT_DOTS}</p>',
        ]
    )


def _layers(table: LayerTable, chosen: Mapping[str, Treatment]) -> list[_Layer]:
    rows: dict[str, dict[Choice, LayerFigures]] = {}
    for row in table.rows:
        rows.setdefault(row.layer, {})[row.treatment] = row
    # A layer whose treatment was not measured is shown as it was.
    return [
        _Layer(figures, chosen.get(name) if chosen.get(name) in figures else None)
        for name, figures in rows.items()
    ]


_HEAD_OF_PRECISIONS = (
    "<thead><tr><th>precision</th><th>layers</th><th>share of the float model's time</th>"
    "<th>time: as float, now</th><th>weights: as float, now</th></tr></thead>"
)


def _precisions(layers: Sequence[_Layer]) -> Iterator[str]:
    """A line for each precision that occurs, float last."""
    all_ms = math.fsum(layer.plain.ms for layer in layers) or 1.0
    for choice in (*TREATMENTS, None):
        group = [layer for layer in layers if layer.chosen == choice]
        if group:
            ms = math.fsum(layer.plain.ms for layer in group)
            cells = [
                _chip(choice),
                str(len(group)),
                f"{ms / all_ms:.0%}",
                _change(duration(ms), duration(math.fsum(layer.now.ms for layer in group))),
                _change(
                    size(sum(layer.plain.size_bytes for layer in group)),
                    size(sum(layer.now.size_bytes for layer in group)),
                ),
            ]
            yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _change(before: str, after: str) -> str:
    return before if before == after else f"<small>{before} →</small> {after}"


def _chip(choice: Choice) -> str:
    return f'<span class="chip {_kind(choice)}">{html.escape(_word(choice))}</span>'


def _word(choice: Choice) -> str:
    return "float" if choice is None else WORDS[choice]


def _kind(choice: Choice) -> str:
    return f"t-{choice or 'float'}"


def _strip(layers: Sequence[_Layer]) -> Iterator[str]:
    """All layers side by side, each as wide as its share of the time."""
    all_ms = math.fsum(layer.plain.ms for layer in layers) or 1.0
    yield '<figure><svg class="strip" role="img" aria-label="layers by their share of the time">'
    at = 0.0
    for layer in layers:
        width = layer.plain.ms / all_ms * 100
        yield (
            f'<rect class="{_kind(layer.chosen)}" x="{at:.3f}%" width="{width:.3f}%" height="100%">'
            f"<title>{html.escape(_sentence(layer))}</title></rect>"
        )
        at += width
    yield (
        '</svg><p class="legend">From the first layer to the last, each as wide as its share of the float '
        "model's time.</p></figure>"
    )


def _sentence(layer: _Layer) -> str:
    plain, now = layer.plain, layer.now
    text = f"{plain.layer} ({plain.operator}): {_word(layer.chosen)}"
    if layer.chosen is None:
        return f"{text}, {duration(plain.ms)}"
    return f"{text}, {duration(plain.ms)} as float, {duration(now.ms)} now, error {now.error:.1e}"


def _rows(layers: Sequence[_Layer]) -> Iterator[str]:
    axis = _ErrorAxis([row.error for layer in layers for row in layer.figures.values() if row.treatment])
    longest = max((row.ms for layer in layers for row in layer.figures.values()), default=0.0) or 1.0
    yield (
        "<thead><tr><th>layer</th><th>precision</th><th colspan='2'>time: as float, and now</th>"
        f"<th>error of the answers if this layer alone is treated{axis.labels()}</th></tr></thead><tbody>"
    )
    for layer in layers:
        plain = layer.plain
        yield (
            f'<tr><td title="{html.escape(plain.layer)}">{html.escape(_short(plain))} '
            f"<small>{html.escape(plain.operator)}</small></td><td>{_chip(layer.chosen)}</td>"
            f"<td>{_bars(layer, longest)}</td><td>{_change(duration(plain.ms), duration(layer.now.ms))}</td>"
            f"<td>{axis.dots(layer)}</td></tr>"
        )
    yield "</tbody>"


def _short(layer: LayerFigures) -> str:
    """The end of its name, which is what tells it from the others."""
    name = layer.layer.removesuffix("_output_0").removesuffix(f"/{layer.operator}")
    if len(name) <= _NAME_LENGTH:
        return name
    end = name[1 - _NAME_LENGTH :]
    return "…" + end[max(end.find("/"), 0) :]


def _bars(layer: _Layer, longest: float) -> str:
    plain, now = layer.plain, layer.now
    return (
        f'<svg class="cell"><title>{html.escape(_sentence(layer))}</title>'
        f'<rect class="as-float" width="{plain.ms / longest:.2%}" height="100%"/>'
        f'<rect class="{_kind(layer.chosen)}" y="20%" width="{now.ms / longest:.2%}" height="60%"/></svg>'
    )


class _ErrorAxis:
    """Errors on a logarithmic scale in whole decades."""

    def __init__(self, errors: Sequence[float]) -> None:
        usable = [error for error in errors if 0 < error < math.inf] or [1.0]
        self.last = math.ceil(math.log10(max(usable)))
        first = math.floor(math.log10(min(usable)))
        self.first = max(min(first, self.last - 1), self.last - _MOST_DECADES)

    def x(self, error: float) -> str:
        if not math.isfinite(error):
            place = 1.0
        elif error <= 0:
            place = 0.0
        else:
            place = (math.log10(error) - self.first) / (self.last - self.first)
        return f"{4 + 92 * min(max(place, 0.0), 1.0):.2f}%"

    def labels(self) -> str:
        step = 1 if self.last - self.first <= 4 else 2
        return (
            '<svg class="cell">'
            + "".join(
                f'<text x="{self.x(10.0**power)}" y="75%" text-anchor="middle">1e{power}</text>'
                for power in range(self.last, self.first - 1, -step)
            )
            + "</svg>"
        )

    def dots(self, layer: _Layer) -> str:
        """A ring for each treatment that was tried, filled for the one that was chosen."""
        lines = "".join(
            f'<line class="axis" x1="{x}" x2="{x}" y1="0" y2="100%"/>'
            for x in (self.x(10.0**power) for power in range(self.first, self.last + 1))
        )
        rows = [row for choice, row in layer.figures.items() if choice not in (None, layer.chosen)]
        if layer.chosen is not None:
            rows.append(layer.now)
        dots = "".join(
            f'<circle class="{_kind(row.treatment)}{" taken" if row.treatment == layer.chosen else ""}" '
            f'cx="{self.x(row.error)}" cy="50%" r="4.5">'
            f"<title>{html.escape(f'{_word(row.treatment)}: error {row.error:.1e}')}</title></circle>"
            for row in rows
        )
        return f'<svg class="cell">{lines}{dots}</svg>'
