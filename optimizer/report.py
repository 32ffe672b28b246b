"""``report.html``: one self-contained page that shows what was tried, what was chosen, and why."""

import html
from collections.abc import Sequence
from string import Template

import msgspec

from bundle.manifest import Manifest
from optimizer.choose import Measured
from optimizer.scatter import Point, scatter
from optimizer.units import duration, size


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of the first complete search; kept, so that a rerun gives the same report."""

    seconds: float
    processor: str
    threads: int


def render(manifest: Manifest, measured: Sequence[Measured], chosen: Measured, search: Search) -> str:
    """The page as HTML. It fetches nothing and runs nothing."""
    before, after, metric = manifest.before, manifest.after, manifest.metric
    candidates = [one for one in measured if one.scores is not None]
    return _PAGE.substitute(
        name=html.escape(manifest.name),
        verdict=html.escape(_verdict(manifest, chosen)),
        cards="".join(
            [
                _card("size", size(before.size_bytes), size(after.size_bytes), _smaller(manifest)),
                _card(
                    "latency",
                    duration(before.latency_ms),
                    duration(after.latency_ms),
                    _times_faster(manifest),
                ),
                _card(
                    f"{metric.name}, {metric.samples} unseen samples",
                    f"{metric.before:.4f}",
                    f"{metric.after:.4f}",
                    f"drop {metric.drop:.4f} of {metric.bound:g} allowed; "
                    f"95 % interval {metric.interval[0]:.4f} to {metric.interval[1]:.4f}",
                ),
                _card(
                    "cold start",
                    duration(before.cold_start_ms),
                    duration(after.cold_start_ms),
                    f"session and first run from {manifest.serve}, in one process",
                ),
            ]
        ),
        chart=scatter(
            [_point(one, chosen, metric.bound) for one in candidates],
            bound=metric.bound,
            x_label="times as fast as the original",
            y_label=f"drop of {metric.name}",
        ),
        rows="".join(_row(one, chosen, metric.bound) for one in measured),
        why=html.escape(_why(manifest, chosen)),
        passes="".join(f"<li>{_pass(p.name, p.parameters)}</li>" for p in manifest.passes)
        or "<li>none: the model is the original</li>",
        command=html.escape(_command(manifest)),
        machine=html.escape(
            f"Measured on {search.processor}, {search.threads} CPUs, in {search.seconds:.0f} s. "
            f"Source: {manifest.source.file}, opset {manifest.source.opset}, "
            f"sha256 {manifest.source.sha256}. "
            + ", ".join(f"{tool} {version}" for tool, version in sorted(manifest.tools.items()))
            + "."
        ),
    )


def _verdict(manifest: Manifest, chosen: Measured) -> str:
    if chosen.is_as_it_was:
        return "Nothing beat the original within the bound: the bundle holds the original."
    return f"{chosen.title[0].upper()}{chosen.title[1:]}: {_times_faster(manifest)}, {_smaller(manifest)}."


def _times_faster(manifest: Manifest) -> str:
    return f"{manifest.before.latency_ms / manifest.after.latency_ms:.2f} times as fast, one thread"


def _smaller(manifest: Manifest) -> str:
    return f"{manifest.after.size_bytes / manifest.before.size_bytes:.0%} of the original's bytes"


def _why(manifest: Manifest, chosen: Measured) -> str:
    aim = {
        "latency": "the fastest; of those that cannot be told from the fastest, the smallest",
        "size": "the smallest that is not slower",
        "cold-start": "the one that starts soonest and is not slower",
    }[manifest.objective]
    return (
        "A candidate may be chosen if its drop on selection samples, plus one standard error, is within the "
        f"bound. Of these the bundle gets {aim}. It was then checked on verification samples, which no "
        "choice was made on: "
        f"{chosen.title}, drop {manifest.metric.drop:.4f}. Latencies are medians of CPU time, measured "
        f"in turns with the original; a server loads {manifest.serve}, which is what was measured."
    )


def _card(title: str, before: str, after: str, note: str) -> str:
    return (
        f'<div class="card"><h3>{html.escape(title)}</h3><p class="big">{html.escape(after)}</p>'
        f'<p class="was">was {html.escape(before)}</p><p class="note">{html.escape(note)}</p></div>'
    )


def _point(one: Measured, chosen: Measured, bound: float) -> Point:
    drop = one.scores.drop if one.scores else 0.0
    return Point(
        x=one.latency.ratio,
        y=drop,
        label=one.title,
        detail=f"{one.title}: {one.latency.ratio:.2f}x, {size(one.after.size_bytes)}, drop {drop:.4f}",
        kind="chosen" if one.name == chosen.name else "within" if one.is_within(bound) else "outside",
    )


def _row(one: Measured, chosen: Measured, bound: float) -> str:
    title = html.escape(one.title)
    if one.scores is None:
        return f'<tr class="outside"><td>{title}</td><td colspan="6">{html.escape(one.failure)}</td></tr>'
    is_chosen = one.name == chosen.name
    verdict = "chosen" if is_chosen else "yes" if one.is_within(bound) else "no"
    if one.hopeless_at is not None:
        verdict += f", after {one.scores.samples}"
    kind = "chosen" if is_chosen else "within" if one.is_within(bound) else "outside"
    cells = [
        title,
        size(one.after.size_bytes),
        duration(one.after.latency_ms),
        f"{one.latency.ratio:.2f} <small>[{one.latency.low:.2f}, {one.latency.high:.2f}]</small>",
        duration(one.after.cold_start_ms),
        f"{one.scores.after:.4f}",
        f"{one.scores.drop:.4f} <small>± {one.scores.error:.4f}</small>",
    ]
    return f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + f"<td>{verdict}</td></tr>"


def _pass(name: str, parameters: dict[str, bool | int | float | str]) -> str:
    settings = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return html.escape(f"{name}({settings})" if settings else name)


def _command(manifest: Manifest) -> str:
    return (
        f"optimize {manifest.source.file} --name {manifest.name} --calibration … --evaluation … "
        f"--metric {manifest.metric.name} --max-drop {manifest.metric.bound:g} "
        f"--objective {manifest.objective} --target {manifest.target} -o …"
    )


_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$name, pressed</title>
<style>
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --ink: #16202c; --soft: #5c6a7a; --line:
  #dde2e8; --chosen: #0b7a55; --within: #2f6fde; --outside: #b3472f; }
@media (prefers-color-scheme: dark) { :root { --page: #11161c; --card: #1a2129; --ink: #e8edf2; --soft:
  #95a3b3; --line: #2c3641; --chosen: #3ecf9a; --within: #7fa8f5; --outside: #ee8a70; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: .8rem; font-weight: 600; margin: 0; color: var(--soft); }
.verdict { font-size: 1.15rem; margin: .5rem 0 1.75rem; color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 1rem; }
.card, figure, .table, pre { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.card { padding: 1.1rem 1.25rem; }
.big { font-size: 2.1rem; font-weight: 650; line-height: 1.2; margin: .35rem 0 0; letter-spacing: -.02em;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.was, .note { margin: .15rem 0 0; color: var(--soft); font-size: .9rem; }
.note { margin-top: .6rem; }
figure { margin: 0; padding: 1rem; overflow-x: auto; }
svg { width: 100%; min-width: 640px; height: auto; display: block; }
svg text { fill: var(--soft); font-size: 13px; }
svg .label { fill: var(--ink); }
svg .axis { stroke: var(--line); }
svg .bound { stroke: var(--outside); stroke-dasharray: 6 5; stroke-width: 1.5; }
svg text.bound-label { fill: var(--outside); }
svg .allowed { fill: var(--chosen); opacity: .07; }
svg circle { stroke: var(--card); stroke-width: 2; }
svg circle.chosen { fill: var(--chosen); } svg circle.within { fill: var(--within); }
svg circle.outside { fill: var(--outside); }
.legend { color: var(--soft); font-size: .85rem; margin: .5rem 0 0; }
.legend b { font-weight: 600; } .legend .chosen { color: var(--chosen); } .legend .within { color:
var(--within); } .legend .outside { color: var(--outside); }
.table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { text-align: right; padding: .6rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 600; font-size: .8rem; }
th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 11rem; }
td:last-child { white-space: normal; }
tr.chosen td { font-weight: 650; } tr.chosen td:last-child { color: var(--chosen); }
tr.outside td:last-child { color: var(--outside); }
small { color: var(--soft); font-weight: 400; }
ol { padding-left: 1.4rem; margin: 0; } .passes { columns: 2 18rem; }
pre { padding: 1rem 1.25rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; margin: 0; }
.small { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<h1>$name</h1>
<p class="verdict">$verdict</p>
<section class="cards" aria-label="before and after">$cards</section>
<h2>What was tried</h2>
<figure>$chart
<p class="legend">Right is faster, up is more exact. <b class="chosen">● chosen</b> &nbsp;
<b class="within">● within the bound</b> &nbsp; <b class="outside">● outside</b>, on selection samples.
Point at a dot for its figures.</p></figure>
<h2>All candidates</h2>
<div class="table"><table>
<thead><tr><th>candidate</th><th>size</th><th>latency</th><th>times as fast</th><th>cold
start</th><th>metric</th> <th>drop</th><th>within the bound</th></tr></thead>
<tbody>$rows</tbody></table></div>
<h2>Why this one</h2>
<p>$why</p>
<h2>Passes that shaped it</h2>
<ol class="passes">$passes</ol>
<h2>Reproduce</h2>
<pre>$command</pre>
<p class="small">$machine</p>
</main>
</body>
</html>
""")
