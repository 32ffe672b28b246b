"""Duplicated: more requests are exactly the same as one shortly before than in the calibration data."""

from collections.abc import Iterator

from monitoring.checks.base import Finding, surprising
from monitoring.view import View

NAME = "duplicated"


def find(view: View) -> Iterator[Finding]:
    """At most one, of the requests as a whole."""
    base = view.baseline
    if surprising(view.repeated, view.slots, base.repeated * base.samples, base.samples):
        now = view.repeated / view.slots
        text = f"{now:.1%} of the requests were sent before, and {base.repeated:.1%} of the calibration data."
        yield Finding(check=NAME, feature="requests", text=text, now=now, before=base.repeated)
