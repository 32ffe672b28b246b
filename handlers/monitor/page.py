"""``status.html``: one self-contained page that says whether the model is still right, and what is not."""

import html
from collections.abc import Iterable, Sequence

from handlers.monitor.charts import Line, bar, evidence_chart, share_chart
from handlers.monitor.status import Change, Share, Status, moment, other_of
from handlers.monitor.style import PAGE
from handlers.monitor.watched import Example

_MOST_ROWS = 24
# By kind of evidence, what of a point says that there was anything to look at.
_LOOKED = {"drift": "requests", "quality": "labels", "agreement": "replayed"}
# What the counts are called, in the order in which they are told; others follow under their own names.
_COUNTS = {
    "read": "requests",
    "rows": "rows of them",
    "labels": "labels",
    "joined": "labels of captured requests",
    "unmatched": "labels whose request was not captured",
    "wrong labels": "labels that could not be read",
    "uncaptured": "labels of requests that are not kept",
    "unlabelled": "requests whose label came too late, or never",
    "contradicted": "labels that contradict an earlier one",
    "damaged": "lines that could not be read",
    "cut": "objects that were cut",
    "duplicated": "requests that came twice",
    "unwatched": "requests that were too large, or that there was no time to look at",
    "misfit": "requests of another shape",
    "other digest": "requests of another version",
    "other schema": "lines of another schema",
    "late": "requests that came late",
    "out of order": "requests out of order",
    "not finite": "requests with values that are no number",
    "redacted": "requests with something redacted",
    "partial": "requests of which not all outputs were asked",
    "replayed": "requests that the original answered, too",
    "not replayed": "requests that there was no time to replay",
    "not comparable": "requests that the original could not answer",
}


def render(status: Status) -> str:
    """The page."""
    sections = (
        ("evidence", "Evidence over time", _evidence(status)),
        ("moved", "What moved", _changes(status.changes)),
        ("examples", "Requests that show it best", _examples(status.examples)),
        ("data", "What is odd about the data", _list(status.findings)),
        ("versions", "Versions compared", _versions(status)),
        ("counts", "What was looked at", _counts(status)),
    )
    tone = {True: "yes", False: "no", None: ""}[status.right]
    return PAGE.substitute(
        title=html.escape(f"{status.model}: {_word(status.right)}"),
        model=html.escape(status.model),
        about=html.escape(
            f"version {status.version}, {status.digest[:12]}; watched since {moment(status.begun)}, "
            f"looked at {moment(status.updated)}"
        ),
        tone=tone,
        verdict=html.escape(status.sentence),
        cards=_cards(status),
        sections="".join(
            f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>'
            f"{body}</section>"
            for name, title, body in sections
            if body
        ),
    )


def _word(right: bool | None) -> str:
    return {True: "right", False: "not right", None: "unknown"}[right]


def _cards(status: Status) -> str:
    drift = "drift" in status.alarms
    since = f"since {moment(status.drift_since)}" if drift and status.drift_since else "1 raises the alarm"
    quality_note = _share_note(status.quality, "labelled")
    if status.estimate is not None and status.quality.lately is None:
        quality_note = f"by the model's own confidence; {status.quality.unknown}"
    shown = status.quality.lately if status.quality.lately is not None else status.estimate
    last = f"the last {moment(status.last_request)}" if status.last_request else "none yet"
    return "".join(
        [
            _card("requests looked at", f"{status.requests:,}", last, wrong="silent" in status.alarms),
            _card("evidence of drift", _evidence_text(status.drift), since, wrong=drift),
            _card(
                status.quality.says.removeprefix("are "),
                _percent(shown),
                quality_note + _metric(status),
                wrong=status.quality.alarm,
            ),
            _card(
                "agreement with the original",
                _percent(status.agreement.lately),
                _share_note(status.agreement, "replayed"),
                wrong=status.agreement.alarm,
            ),
        ]
    )


def _card(title: str, figure: str, note: str, *, wrong: bool) -> str:
    alarm = " <strong>alarm</strong>" if wrong else ""
    return (
        f'<div class="card{" wrong" if wrong else ""}"><h3>{html.escape(title)}{alarm}</h3>'
        f'<p class="figure">{html.escape(figure)}</p><p class="note">{html.escape(note)}</p></div>'
    )


def _share_note(share: Share, what: str) -> str:
    if share.lately is None:
        return share.unknown
    should = "" if share.expected is None else f"at least {share.expected:.1%} should be; "
    return f"{should}{share.count:,} {what}"


def _metric(status: Status) -> str:
    found = status.metric
    return f"; {found.name} {found.lately:.4g} lately, {found.verified:.4g} verified" if found else ""


def _evidence(status: Status) -> str:
    if not status.points:
        return ""
    lines = [
        Line(kind, kind, [(p.time, getattr(p, kind)) for p in status.points if getattr(p, count)])
        for kind, count in _LOOKED.items()
        if any(getattr(point, kind) for point in status.points)
    ]
    shares = [
        Line(kind, name, _shares(status, total, count))
        for kind, name, total, count in (
            ("quality", status.quality.says.removeprefix("are "), "right", "labels"),
            ("agreement", "agrees with the original", "agreed", "replayed"),
        )
    ]
    shares = [line for line in shares if line.values]
    expected = [
        (kind, share.expected)
        for kind, share in (("quality", status.quality), ("agreement", status.agreement))
        if share.expected is not None and any(line.kind == kind for line in shares)
    ]
    names = ", ".join(line.name for line in lines)
    label = f"Evidence of {names} over time; the largest of drift is now {status.drift:.2g}"
    figures = _figure("Evidence; 1 is an alarm", evidence_chart(lines, label), lines)
    if shares:
        figures += _figure(
            "Shares; dotted: what should be", share_chart(shares, "Shares over time", expected), shares
        )
    return figures + _as_table(status)


def _shares(status: Status, total: str, count: str) -> list[tuple[float, float]]:
    found = ((point.time, getattr(point, total), getattr(point, count)) for point in status.points)
    return [(time, part / of) for time, part, of in found if of]


def _figure(title: str, chart: str, lines: Sequence[Line]) -> str:
    legend = "".join(f'<b class="{line.kind}">— {html.escape(line.name)}</b>' for line in lines)
    return (
        f'<figure tabindex="0" role="group" aria-label="{title}"><figcaption>{title}</figcaption>{chart}'
        f'<p class="legend">{legend}</p></figure>'
    )


def _as_table(status: Status) -> str:
    step = -(-len(status.points) // _MOST_ROWS)
    rows = [
        [
            moment(point.time),
            f"{point.requests:,}",
            _evidence_text(point.drift),
            _percent(point.right / point.labels if point.labels else None),
            _percent(point.agreed / point.replayed if point.replayed else None),
        ]
        for point in status.points[::-step]
    ]
    heads = ("from", "requests", "drift", "right", "agreement")
    return f"<details><summary>As a table</summary>{_table(heads, rows)}</details>"


def _changes(changes: Sequence[Change]) -> str:
    if not changes:
        return ""
    return '<div class="changes">' + "".join(_change(change) for change in changes) + "</div>"


def _change(change: Change) -> str:
    now, before = _number(change.now), _number(change.before)
    values = f" {before} before, {now} now." if now and before else ""
    since = f" Since {moment(change.since)}." if change.since else ""
    figures = ", ".join(
        f"{name} {value:.3g}" + (f" (by chance at most {threshold:.2g})" if value > threshold else "")
        for name, (value, threshold) in change.figures.items()
    )
    bars = change.bars
    most = max([*bars.before, *bars.now, 1e-9])
    rows = "".join(
        f'<tr><th scope="row">{html.escape(label)}</th><td>{before:.1%}</td><td>{now:.1%}</td>'
        f"<td>{bar(before, most, 'before')}{bar(now, most, 'now')}</td></tr>"
        for label, before, now in zip(bars.labels, bars.before, bars.now, strict=True)
    )
    return (
        f'<div class="card"><h3>{html.escape(change.score)}: {html.escape(change.direction)}</h3>'
        f"<p>{html.escape(f'Evidence {_evidence_text(change.evidence)}.{values}{since} {figures}')}</p>"
        '<div class="table" tabindex="0"><table class="bars"><thead><tr><th scope="col">value</th>'
        '<th scope="col"><span class="swatch before"></span>before</th>'
        '<th scope="col"><span class="swatch now"></span>now</th><td></td></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def _examples(examples: Sequence[Example]) -> str:
    if not examples:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(example.id)}</th><td>{moment(example.time)}</td>'
        f"<td>{_pictures(example)}{_values(example.values.items())}</td></tr>"
        for example in examples
    )
    return (
        '<div class="table" tabindex="0"><table class="examples"><thead><tr><th scope="col">request</th>'
        '<th scope="col">when</th><th scope="col">what it held</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _pictures(example: Example) -> str:
    return "".join(
        f'<img src="{html.escape(url)}" alt="{html.escape(f"{name} of the request {example.id}")}">'
        for name, url in example.pictures.items()
    )


def _values(values: Iterable[tuple[str, str]]) -> str:
    return "".join(
        f"<div><small>{html.escape(name)}</small> {html.escape(text)}</div>" for name, text in values
    )


def _versions(status: Status) -> str:
    if not status.versions:
        return ""
    rows = [
        [
            f"{other.version} ({other.digest[:12]})",
            _word(other.right),
            f"{other.requests:,}",
            _evidence_text(other.drift),
            _percent(other.accuracy),
            _percent(other.agreement),
            moment(other.updated),
        ]
        for other in (other_of(status), *status.versions)
    ]
    return _table(("version", "is it right", "requests", "drift", "right", "agreement", "looked at"), rows)


def _counts(status: Status) -> str:
    names = [name for name in _COUNTS if status.counts.get(name)]
    names += [name for name in status.counts if name not in _COUNTS and status.counts[name]]
    rows = [
        [_COUNTS.get(name, name), f"{status.counts[name]:,}", status.first.get(name, "")] for name in names
    ]
    return _table(("what", "how many", "the first"), rows) if rows else ""


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in texts) + "</ul>" if texts else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    body = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f'<div class="table" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


def _evidence_text(evidence: float) -> str:
    if evidence >= 1e6:
        return "over a million"
    return "below 0.0001" if evidence < 1e-4 else f"{evidence:.2g}" if evidence < 100 else f"{evidence:,.0f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
