"""Before and after in large figures."""

import html
from collections.abc import Callable

from optimizer.report.findings import Findings
from optimizer.units import duration, size


def cards(findings: Findings) -> str:
    """Size, latency, metric and cold start."""
    before, after, serve = findings.manifest.before, findings.manifest.after, findings.manifest.serve
    return "".join(
        [
            _card("size", _pair(before.size_bytes, after.size_bytes, size), smaller(findings)),
            _card("latency", _pair(before.latency_ms, after.latency_ms, duration), times_faster(findings)),
            _metric_card(findings),
            _card(
                "cold start",
                _pair(before.cold_start_ms, after.cold_start_ms, duration),
                f"session and first run from {serve}, in one process",
            ),
        ]
    )


def times_faster(findings: Findings) -> str:
    """In words."""
    before, after = findings.manifest.before, findings.manifest.after
    return f"{before.latency_ms / after.latency_ms:.2f} times as fast, one thread"


def smaller(findings: Findings) -> str:
    """In words."""
    before, after = findings.manifest.before, findings.manifest.after
    return f"{after.size_bytes / before.size_bytes:.0%} of the original's bytes"


def _card(title: str, figures: str, note: str, more: str = "") -> str:
    return (
        f'<div class="card"><h3>{html.escape(title)}</h3>{figures}'
        f'<p class="note">{html.escape(note)}</p>{more}</div>'
    )


def _pair(before: float, after: float, words: Callable[[float], str]) -> str:
    """Both figures, each with a bar."""
    most = max(before, after) or 1.0
    return "".join(
        f'<p class="{kind}">{html.escape(words(figure))}</p>'
        f'<svg class="bar" aria-hidden="true"><rect class="{kind}" width="{figure / most:.1%}" '
        'height="100%"/></svg>'
        for kind, figure in (("before", before), ("after", after))
    )


def _metric_card(findings: Findings) -> str:
    metric, floor = findings.manifest.metric, findings.verified.floor
    low, high = metric.interval
    more = ""
    if floor is not None:
        more = (
            f'<p class="floor">A model whose answer is always the same would get {floor:.4f} here: '
            "read that as zero.</p>"
        )
    return _card(
        f"{metric.name}, on {metric.samples} unseen samples",
        f'<p class="before">{metric.before:.4f}</p><p class="after">{metric.after:.4f}</p>'
        + _gauge(low, metric.drop, high, metric.bound),
        f"drop {metric.drop:.4f} of {metric.bound:g} allowed; 95 % interval {low:.4f} to {high:.4f}",
        more,
    )


def _gauge(low: float, drop: float, high: float, bound: float) -> str:
    """The drop with its interval, on a line from no drop to the bound."""
    start = min(low, 0.0)
    length = (max(high, bound) - start) * 1.08 or 1.0

    def place(value: float) -> float:
        return max((value - start) / length * 100, 0.0)

    allowed, left, right = place(bound), place(low), place(high)
    return (
        '<svg class="gauge" aria-hidden="true">'
        f'<rect class="allowed" x="{place(0):.2f}%" width="{allowed - place(0):.2f}%" height="100%"/>'
        f'<rect class="interval" x="{left:.2f}%" width="{right - left:.2f}%" y="30%" height="40%"/>'
        f'<line class="drop" x1="{place(drop):.2f}%" x2="{place(drop):.2f}%" y1="0" y2="100%"/>'
        f'<line class="bound" x1="{allowed:.2f}%" x2="{allowed:.2f}%" y1="0" y2="100%"/></svg>'
    )
