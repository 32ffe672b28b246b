"""The page of all models: figures side by side, and how each came about. It fetches and runs nothing."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from string import Template

from bundle.manifest import Manifest, Metric
from coldpress.catalog import Entry, Model
from monitoring.style import COMMON
from optimizer.units import duration, size

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Models in $where</title>
<style>
$common
main { max-width: 1200px; } a { color: var(--within); }
:focus-visible { outline: 2px solid var(--within); outline-offset: 2px; }
section { margin-top: 2.5rem; } section h2 { margin-bottom: .2rem; }
section > * + * { margin-top: .9rem; }
caption { text-align: left; padding: .8rem .7rem .3rem; color: var(--soft); font-size: .9rem; }
tbody th { color: var(--ink); font-size: .93rem; text-align: left; vertical-align: middle; }
tr:last-child th { border-bottom: 0; } thead tr:last-child th { border-bottom: 1px solid var(--line); }
td small { display: block; }
td.words { text-align: left; white-space: normal; }
.chip { display: inline-block; padding: 0 .5rem; margin: 0 .25rem .15rem 0; border-radius: 99px;
  max-width: 8.5rem; overflow: hidden; text-overflow: ellipsis; vertical-align: middle; white-space: nowrap;
  background: var(--chosen); color: var(--card); font-size: .78rem; font-weight: 600; }
.bar { display: block; width: 100%; min-width: 4.5rem; height: 5px; margin-top: .3rem; }
.bar .was { fill: var(--rest); } .bar .is { fill: var(--chosen); } .bar .more { fill: var(--outside); }
.problem { color: var(--outside); }
ol.way { list-style: none; margin: 0; padding: 0; }
ol.way > li { padding: 0 0 .7rem 1.3rem; border-left: 2px solid var(--line); position: relative;
  overflow-wrap: anywhere; }
ol.way > li:last-child { border-left-color: transparent; padding-bottom: 0; }
ol.way > li::before { content: ""; position: absolute; left: -6px; top: .45rem; width: 10px; height: 10px;
  border-radius: 50%; background: var(--rest); }
ol.way > li:last-child::before { background: var(--chosen); }
ol.way small { display: block; }
details { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
summary { cursor: pointer; padding: .7rem 1rem; } details ol.way { padding: .3rem 1rem 1rem 1.4rem; }
@media (max-width: 700px) {
  main { padding: 1.5rem .9rem 3rem; }
  .stacked table, .stacked tbody, .stacked td, .stacked tbody th { display: block; width: auto; }
  .stacked thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stacked caption { display: block; }
  .stacked tbody tr { display: grid; grid-template-columns: 1fr 1fr; gap: .35rem 1.2rem;
    border-bottom: 1px solid var(--line); padding: .7rem .8rem; align-items: start; }
  .stacked tbody th, .stacked td:nth-of-type(3), .stacked .problem { grid-column: 1 / -1; }
  .stacked tr:last-child { border-bottom: 0; }
  .stacked td, .stacked tbody th { border: 0; padding: .15rem 0; text-align: left; white-space: normal; }
  .stacked td::before { content: attr(data-name); display: block; color: var(--soft); font-size: .8rem; }
  .stacked td.words::before { content: none; }
}
@media print { details > *:not(summary) { display: block; } }
</style>
</head>
<body>
<main>
<h1>Models</h1>
<p class="about">$where</p>
<p class="verdict">$verdict</p>
$content
</main>
</body>
</html>
""")
# Stated, because as blocks on a phone they are no table any more to a screen reader.
_TABLE = '<table role="table">'
_COLUMNS = ("version", "labels", "metric", "latency", "size", "cold start", "for", "written")


def render(models: Sequence[Model], where: str) -> str:
    """The page as HTML; the same models give the same bytes. ``where`` is the bucket or folder."""
    bundles = [entry for model in models for entry in model.entries]
    in_all = size(sum(entry.size for entry in bundles))
    verdict = f"{_count(len(models), 'model')}, {_count(len(bundles), 'bundle')}, {in_all}."
    content = [_overview(models), *map(_section, models)] if models else []
    return _PAGE.substitute(common=COMMON, where=escape(where), verdict=verdict, content="\n".join(content))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _overview(models: Sequence[Model]) -> str:
    rows = (
        f'<th scope="row" role="rowheader"><a href="#{escape(model.name)}">{escape(model.name)}</a></th>'
        f"{_cells(model.entries[0])}"
        for model in models
    )
    head = _head(("model", *_COLUMNS))
    caption = (
        "The newest version of each model. Bars: before pressing in grey, after in green, or in red where "
        "that is more."
    )
    return (
        f'<div class="table stacked" tabindex="0" role="region" aria-label="all models">'
        f"{_TABLE}<caption>{caption}</caption>{head}{_body(rows)}</table></div>"
    )


def _section(model: Model) -> str:
    rows = (
        f'<th scope="row" role="rowheader"><code>{entry.digest[:12]}</code></th>{_cells(entry)}'
        for entry in model.entries
    )
    name = escape(model.name)
    ways = "".join(_way(entry, entry.manifest) for entry in model.entries if entry.manifest)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{name}</h2>'
        f"{_signature(model)}"
        f'<div class="table stacked" tabindex="0" role="region" aria-label="bundles of {name}">{_TABLE}'
        f"<caption>Bundles, newest version first. Times are of the machine that pressed each.</caption>"
        f"{_head(('bundle', *_COLUMNS))}{_body(rows)}</table></div>{ways}</section>"
    )


def _head(names: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col" role="columnheader">{name}</th>' for name in names)
    return f'<thead role="rowgroup"><tr role="row">{cells}</tr></thead>'


def _body(rows: Iterable[str]) -> str:
    return f'<tbody role="rowgroup">{"".join(f"""<tr role="row">{row}</tr>""" for row in rows)}</tbody>'


def _cells(entry: Entry) -> str:
    manifest = entry.manifest
    labels = (
        "".join(
            f'<span class="chip" title="{escape(label)}">{escape(label)}</span>' for label in entry.labels
        )
        or "none"
    )
    version = ", ".join(map(str, entry.versions)) or "none"
    written = f"{entry.written:%Y-%m-%d}" if entry.written else "unknown"
    if manifest is None:
        return (
            f"{_cell('version', version)}{_cell('labels', labels)}"
            f'<td role="cell" class="words problem" colspan="{len(_COLUMNS) - 2}">'
            f"{escape(entry.problem)}</td>"
        )
    before, after = manifest.before, manifest.after
    return "".join(
        [
            _cell("version", version),
            _cell("labels", labels),
            _cell("metric", _metric(manifest.metric)),
            _cell("latency", _pair(before.latency_ms, after.latency_ms, duration)),
            _cell("size", _pair(before.size_bytes, after.size_bytes, size)),
            _cell("cold start", _pair(before.cold_start_ms, after.cold_start_ms, duration)),
            _cell("for", escape(manifest.target)),
            _cell("written", written),
        ]
    )


def _cell(name: str, content: str) -> str:
    return f'<td role="cell" data-name="{name}">{content}</td>'


def _metric(metric: Metric) -> str:
    return (
        f"{metric.after:.4f} <small>{escape(metric.name)}, drop {metric.drop:.4f} of {metric.bound:g}</small>"
    )


def _pair(before: float, after: float, words: Callable[[float], str]) -> str:
    """Both figures, and both as a bar."""
    most = max(before, after) or 1.0
    kind = "is" if after <= before else "more"
    return (
        f"{escape(words(after))} <small>from {escape(words(before))}</small>"
        f'<svg class="bar" aria-hidden="true"><rect class="was" width="{before / most:.1%}" height="100%"/>'
        f'<rect class="{kind}" width="{after / most:.1%}" height="100%"/></svg>'
    )


def _signature(model: Model) -> str:
    """What the newest bundle that can be read takes and gives."""
    for entry in model.entries:
        if entry.manifest:
            signature = entry.manifest.signature
            sides = (
                ", ".join(
                    f"<code>{escape(spec.name)}</code> {spec.dtype} "
                    f"[{escape(', '.join(map(str, spec.shape)))}]"
                    for spec in specs
                )
                for specs in (signature.inputs, signature.outputs)
            )
            return f'<p class="about">{" → ".join(sides)}</p>'
    return ""


def _way(entry: Entry, manifest: Manifest) -> str:
    steps = "".join(f"<li>{step}</li>" for step in _steps(entry, manifest))
    version = f"version {', '.join(map(str, entry.versions))}, " if entry.versions else ""
    return (
        f"<details><summary>How {version}<code>{entry.digest[:12]}</code> was made</summary>"
        f'<ol class="way">{steps}</ol></details>'
    )


def _steps(entry: Entry, manifest: Manifest) -> Iterator[str]:
    """From the trained model to the bundle, as far as the manifest says."""
    source, metric = manifest.source, manifest.metric
    beside = "beside the bundle" if entry.has_original else "not in the registry"
    if entry.pressed_of:
        beside = f"the pressed model of <code>{entry.pressed_of[:12]}</code>"
    yield (
        f"<strong>{escape(source.file)}</strong> {size(source.size)}, opset {source.opset}, {beside}"
        f"<small>sha256 {source.sha256}</small>"
    )
    for step in manifest.passes:
        told = ", ".join(f"{key} {value}" for key, value in step.parameters.items())
        yield f"{escape(step.name)}" + (f"<small>{escape(told)}</small>" if told else "")
    low, high = metric.interval
    yield (
        f"{escape(metric.name)} {metric.before:.4f} → {metric.after:.4f} on {metric.samples} unseen samples"
        f"<small>drop {metric.drop:.4f} [{low:.4f}, {high:.4f}] of {metric.bound:g} allowed</small>"
    )
    tools = ", ".join(f"{tool} {version}" for tool, version in manifest.tools.items())
    yield (
        f"<strong>{escape(manifest.serve)}</strong> for {manifest.target}, objective {manifest.objective}"
        f"<small>digest {entry.digest}</small><small>{escape(tools)}</small>"
    )
