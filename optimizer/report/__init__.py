"""``report.html``: one self-contained page that shows what was tried, what was chosen, and why."""

from optimizer.report.findings import Findings, Search
from optimizer.report.page import render

__all__ = ["Findings", "Search", "render"]
