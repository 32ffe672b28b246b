"""Data quality: what is wrong with the values, in words. One file a check, and their registry.

Shown to people beside the alarm; each is a statement about one window, of a stated small chance to be wrong.
"""

from collections.abc import Callable, Iterator

from monitoring.checks import constant, duplicated, missing, new_category, out_of_range, unit
from monitoring.checks.base import Finding
from monitoring.view import View

__all__ = ["CHECKS", "Finding", "findings"]

CHECKS: dict[str, Callable[[View], Iterator[Finding]]] = {
    module.NAME: module.find for module in (missing, out_of_range, new_category, unit, constant, duplicated)
}


def findings(view: View) -> list[Finding]:
    """Of all checks."""
    return [finding for find in CHECKS.values() for finding in find(view)]
