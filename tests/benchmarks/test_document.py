"""The page that is written from a results file."""

import benchmarks.document
from benchmarks.document import write_document

FIGURES = {
    "model": "toy",
    "metric": "cosine",
    "MB before": 2.0,
    "asked": "",
    "drop": 0.01234,
    "drop interval": [0.01, 0.02],
    "speed-up": 1.5,
    "MB": 0.5,
    "seconds": 3,
    "beats best peer": None,
    "error": None,
}
OURS = {"tool": "coldpress optimize", "asked": "latency, 0.02", "beats best peer": "yes: peer, 1.5x"}
STOPPED = {"drop": None, "drop interval": None, "speed-up": None, "MB": None, "error": "Error: `a|b`"}


def test_figures_and_errors_below_the_marker_only(tmp_path, monkeypatch):
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Kept\n\n{benchmarks.document._MARKER}\n\nold figures\n")
    monkeypatch.setattr(benchmarks.document, "_DOCUMENT", page)
    rows = [{**FIGURES, "tool": "peer"}, {**FIGURES, "tool": "other", **STOPPED}, {**FIGURES, **OURS}]
    machine = {"cpu": "a CPU", "cores": 2, "python": "3.11"}
    write_document({"rows": rows, "machine": machine, "versions": {"numpy": "2"}})
    lines = page.read_text().splitlines()
    assert lines[0] == "# Kept"
    assert "old figures" not in lines
    assert "| toy | latency, 0.02 | cosine | 0.0123 | 1.50x | 2.00 → 0.50 | 3 | yes: peer, 1.5x |" in lines
    assert "| peer | 0.0123 | 0.0100 to 0.0200 | 1.50x | 0.50 | 3 |" in lines
    assert "| other | `Error: a/b` |  |  |  | 3 |" in lines
