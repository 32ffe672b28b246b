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
            _card(
                "size",
                _badge(
                    f"{after.size_bytes / before.size_bytes - 1:+.0%}", before.size_bytes, after.size_bytes
                ),
                _pair(before.size_bytes, after.size_bytes, size),
                f"of {serve}, the file that is served",
            ),
            _card(
                "latency",
                _times(before.latency_ms, after.latency_ms),
                _pair(before.latency_ms, after.latency_ms, duration),
                "a run on one thread",
            ),
            _metric_card(findings),
            _card(
                "cold start",
                _times(before.cold_start_ms, after.cold_start_ms),
                _pair(before.cold_start_ms, after.cold_start_ms, duration),
                f"session and first run, which touch {size(after.cold_start_bytes)} of the file",
            ),
        ]
    )


def _times(before: float, after: float) -> str:
    return _badge(f"{before / after:.2f}×", before, after)  # noqa: RUF001 - the sign for multiplication


def _badge(text: str, before: float, after: float) -> str:
    kind = "badge" if after <= before else "badge worse"
    return f'<span class="{kind}">{text.replace("-", "−")}</span>'  # noqa: RUF001 - the sign for minus


def _card(title: str, badge: str, figures: str, note: str) -> str:
    return (
        f'<div class="card"><h3>{html.escape(title)} {badge}</h3>{figures}'
        f'<p class="note">{html.escape(note)}</p></div>'
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
    floor_note = ""
    if floor is not None:
        floor_note = (
            f'<p class="floor">An answer that is always the same would get {floor:.4f} here: '
            "read that as zero.</p>"
        )
    return (
        f'<div class="card"><h3>{html.escape(metric.name)}, on {metric.samples} unseen samples</h3>'
        f'<p class="before">{metric.before:.4f}</p><p class="after">{metric.after:.4f}</p>'
        f"{_gauge(low, metric.drop, high, metric.bound)}"
        f'<p class="note">drop {metric.drop:.4f} of {metric.bound:g} allowed; 95 % interval {low:.4f} to '
        f"{high:.4f}</p>{floor_note}</div>"
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
        f'<rect class="allowed" x="{place(0):.2f}%" width="{allowed - place(0):.2f}%" height="14"/>'
        f'<rect class="interval" x="{left:.2f}%" width="{right - left:.2f}%" y="4" height="6"/>'
        f'<line class="drop" x1="{place(drop):.2f}%" x2="{place(drop):.2f}%" y1="0" y2="14"/>'
        f'<line class="bound" x1="{allowed:.2f}%" x2="{allowed:.2f}%" y1="0" y2="14"/>'
        f'<text x="{place(0):.2f}%" y="27">no drop</text>'
        f'<text x="{allowed:.2f}%" y="27" text-anchor="end">the bound</text></svg>'
    )
