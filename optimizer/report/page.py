"""The page: its sections in order. It fetches nothing and runs nothing."""

import html
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

from bundle.manifest import Manifest, Scalar
from optimizer.choose import Measured, Objective
from optimizer.report.cards import cards
from optimizer.report.findings import Findings
from optimizer.report.front import Point, pareto, plot
from optimizer.report.layers import layer_section
from optimizer.report.style import PAGE
from optimizer.units import duration, size

_GAIN: Mapping[Objective, str] = {
    "latency": "times as fast as the original",
    "size": "times smaller than the original",
    "cold-start": "times as fast to start as the original",
}

_VISIBLE_DROP = 0.00005


def render(findings: Findings) -> str:
    """The page as HTML; equal findings give equal bytes."""
    manifest = findings.manifest
    return PAGE.substitute(
        name=html.escape(manifest.name),
        about=html.escape(f"{manifest.source.file}, for {manifest.target}, objective {manifest.objective}"),
        verdict=html.escape(_verdict(findings)),
        cards=cards(findings),
        sections="".join(
            f'<section id="{name}"><h2>{title}</h2>{body}</section>'
            for name, title, body in (
                ("front", "What was tried", _front(findings)),
                ("candidates", "All candidates", _candidates(findings)),
                ("why", "Why this one", f"<p>{html.escape(_why(findings))}</p>"),
                ("layers", "Layer by layer", _layers(findings)),
                ("worst", "Worst samples", _worst(findings)),
                ("passes", "Passes that shaped it", _passes(manifest)),
                ("reproduce", "How to reproduce", _reproduce(findings)),
            )
            if body
        ),
    )


def _verdict(findings: Findings) -> str:
    chosen = findings.chosen
    if chosen.name == "original":
        how = "" if chosen.is_as_it_was else ", as ONNX Runtime optimises it"
        return f"Nothing beat the original within the bound: the bundle holds the original{how}."
    manifest = findings.manifest
    before, after, metric = manifest.before, manifest.after, manifest.metric
    speed = f"{before.latency_ms / after.latency_ms:.2f} times as fast"
    if manifest.objective == "cold-start":
        speed = f"{before.cold_start_ms / after.cold_start_ms:.2f} times as fast to start, {speed}"
    loss = f"for a drop of {metric.drop:.4f}" if metric.drop >= _VISIBLE_DROP else "without a drop"
    share = f"{after.size_bytes / before.size_bytes:.0%} of the original's bytes"
    return f"{speed} and {share}, {loss} in {metric.name}."


def _front(findings: Findings) -> str:
    manifest = findings.manifest
    return (
        "<figure>"
        + plot(
            _points(findings),
            bound=manifest.metric.bound,
            x_label=_GAIN[manifest.objective],
            y_label=f"drop of {manifest.metric.name}, with its margin",
        )
        + '<p class="legend"><b class="chosen">● chosen</b> <b class="within">● within the bound</b> '
        '<b class="outside">● outside</b> <b class="front">▁▏Pareto front: no other candidate is better in '
        'both</b></p><p class="legend">Right is better, up is more exact. Drops are those on selection '
        f"samples, plus {_margin(findings.chosen)}: what has to be within the bound. Point at a dot for its "
        "figures; its number is that in the table.</p></figure>"
    )


def _points(findings: Findings) -> list[Point]:
    """The chosen, the original, the front, and then the others, whose labels are left to hovering."""
    marked = [(str(mark), one) for mark, one in enumerate(findings.measured, 1) if one.scores is not None]
    points = [_point(mark, one, findings) for mark, one in marked]
    front = pareto(points)
    first = [point for point in points if point.kind == "chosen"]
    first += [point for (_, one), point in zip(marked, points, strict=True) if one.name == "original"]
    first += front
    others = [Point(**{**vars(point), "label": ""}) for point in points if point not in first]
    return [*dict.fromkeys(first), *others]


def _point(mark: str, one: Measured, findings: Findings) -> Point:
    objective = findings.manifest.objective
    drop = one.scores.drop if one.scores else 0.0
    gain = {
        "latency": one.latency.ratio,
        "size": one.before.size_bytes / one.after.size_bytes,
        "cold-start": one.before.cold_start_ms / one.after.cold_start_ms,
    }[objective]
    kind = _kind(one, findings)
    return Point(
        gain=gain,
        drop=one.upper_drop,
        mark=mark,
        label=_label(one, kind),
        detail=f"{mark}: {one.title}\n{one.latency.ratio:.2f} times as fast, {size(one.after.size_bytes)}, "
        f"cold start {duration(one.after.cold_start_ms)}\ndrop {drop:.4f}, with its margin "
        f"{one.upper_drop:.4f}",
        kind=kind,
    )


def _label(one: Measured, kind: str) -> str:
    if one.name == "original":
        return "the original"
    if not one.plan.layers:
        return one.title
    figures = f"{one.latency.ratio:.2f} times, {size(one.after.size_bytes)}"
    return f"chosen: {figures}" if kind == "chosen" else figures


def _kind(one: Measured, findings: Findings) -> str:
    if one.name == findings.chosen.name:
        return "chosen"
    is_within = one.is_within(findings.manifest.metric.bound) and one.name not in findings.rejected
    return "within" if is_within else "outside"


def _candidates(findings: Findings) -> str:
    heads = (
        "",
        "candidate",
        "size",
        "latency",
        "times as fast",
        "cold start",
        "metric",
        "drop",
        "within bound",
    )
    return (
        '<div class="table"><table class="candidates"><thead><tr>'
        + "".join(f"<th>{head}</th>" for head in heads)
        + "</tr></thead><tbody>"
        + "".join(_row(mark, one, findings) for mark, one in enumerate(findings.measured, 1))
        + "</tbody></table></div>"
    )


def _row(mark: int, one: Measured, findings: Findings) -> str:
    title = html.escape(one.title)
    if one.scores is None:
        return (
            f'<tr class="outside"><td>{mark}</td><td>{title}</td><td colspan="7">{html.escape(one.failure)}'
            "</td></tr>"
        )
    kind = _kind(one, findings)
    verdict = {"chosen": "chosen", "within": "yes", "outside": "no"}[kind]
    if one.hopeless_at is not None:
        verdict += f", after {one.scores.samples}"
    if one.name in findings.rejected:
        verdict = "no, on verification samples"
    cells = [
        str(mark),
        title,
        size(one.after.size_bytes),
        duration(one.after.latency_ms),
        f"{one.latency.ratio:.2f} <small>[{one.latency.low:.2f}, {one.latency.high:.2f}]</small>",
        duration(one.after.cold_start_ms),
        f"{one.scores.after:.4f}",
        f"{one.scores.drop:.4f} <small>± {one.scores.error:.4f}</small>",
        verdict,
    ]
    return f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _why(findings: Findings) -> str:
    manifest = findings.manifest
    aim = {
        "latency": "the fastest; of those that cannot be told from the fastest, the smallest",
        "size": "the smallest that is not slower",
        "cold-start": "the one that starts soonest and is not slower",
    }[manifest.objective]
    return (
        f"A candidate may be chosen if its drop on selection samples, plus {_margin(findings.chosen)}, is "
        f"within the bound. Of these the bundle gets {aim}. It was then checked on verification samples, "
        f"which no choice was made on: {findings.chosen.title}, drop {manifest.metric.drop:.4f}. Latencies "
        f"are medians of CPU time, measured in turns with the original; a server loads {manifest.serve}, "
        "which is what was measured."
    )


def _margin(chosen: Measured) -> str:
    errors = chosen.margin.errors
    return "one standard error" if errors == 1 else f"{errors:.3g} standard errors"


def _layers(findings: Findings) -> str:
    return layer_section(findings.layers, findings.chosen.plan.layers) if findings.layers else ""


def _worst(findings: Findings) -> str:
    if findings.chosen.is_as_it_was:
        return ""
    metric = findings.manifest.metric
    if not findings.verified.worst:
        return (
            f"<p>On none of the {metric.samples} verification samples did it do worse than the original.</p>"
        )
    rows = "".join(
        f"<tr><td>{one.place}</td><td>{_figure(one.before)}</td><td>{_figure(one.after)}</td>"
        f"<td>{_difference(one.difference)}</td></tr>"
        for one in findings.verified.worst
    )
    return (
        '<div class="table"><table class="worst"><thead><tr><th>sample</th>'
        f"<th>{html.escape(metric.name)} of the original</th><th>of the chosen</th>"
        f"<th>largest difference of an output</th></tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="legend">Of the {metric.samples} verification samples, by their places in the evaluation '
        "data, counted from 0.</p>"
    )


def _difference(value: float) -> str:
    if value == sys.float_info.max:
        return "another shape"
    return f"{value:.4f}" if 0.001 <= value < 1000 else f"{value:.2e}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _passes(manifest: Manifest) -> str:
    passes = "".join(f"<li>{_pass(one.name, one.parameters)}</li>" for one in manifest.passes)
    return f'<ol class="passes">{passes}</ol>' if passes else ""


def _pass(name: str, parameters: dict[str, Scalar]) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return html.escape(f"{name}({settings})" if settings else name)


def _reproduce(findings: Findings) -> str:
    facts = "".join(
        f"<dt>{html.escape(term)}</dt><dd>{html.escape(fact)}</dd>" for term, fact in _facts(findings)
    )
    command = f"<pre>{html.escape(_lines(findings.command))}</pre>" if findings.command else ""
    return f"{command}<dl>{facts}</dl>"


def _lines(command: Sequence[str]) -> str:
    """For a shell, an option a line."""
    text = ""
    for word in command:
        text += (" \\\n    " if word.startswith("-") else " " if text else "") + shlex.quote(word)
    return text


def _facts(findings: Findings) -> Iterator[tuple[str, str]]:
    manifest, search = findings.manifest, findings.search
    source = manifest.source
    yield "model", f"{source.file}, opset {source.opset}, sha256 {source.sha256}"
    yield (
        "data",
        f"{findings.calibration_samples} calibration samples; {findings.evaluation_samples} evaluation "
        f"samples, of which {manifest.metric.samples} by chance (seed {findings.seed}) to verify on",
    )
    yield "aim", f"objective {manifest.objective}, target {manifest.target}"
    yield "machine", f"{search.processor}, {search.threads} CPUs"
    yield "search", f"{search.seconds:.0f} s, {size(search.peak_bytes)} of memory at its peak"
    yield "tools", ", ".join(f"{tool} {version}" for tool, version in sorted(manifest.tools.items()))
