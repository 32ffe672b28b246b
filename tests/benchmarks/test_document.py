"""The page that is written from a results file."""

import benchmarks.document
from benchmarks.document import write_document, write_readme

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
OURS = {"tool": "coldpress optimize", "asked": "latency, 0.02, x86_64", "beats best peer": "yes: peer, 1.5x"}
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
    assert (
        "| toy | latency, 0.02, x86_64 | cosine | 0.0123 | 1.50x | 2.00 → 0.50 | 3 | yes: peer, 1.5x |"
        in lines
    )
    assert "| peer | 0.0123 | 0.0100 to 0.0200 | 1.50x | 0.50 | 3 |" in lines
    assert "| other | `Error: a/b` |  |  |  | 3 |" in lines


def test_the_readme_has_each_model_at_the_default_target_and_what_was_trained(tmp_path, monkeypatch):
    page = tmp_path / "README.md"
    page.write_text(
        "# Kept\n\n<!-- written by `make bench-optimize` -->\nold figures\n<!-- end -->\n\nkept too\n"
    )
    monkeypatch.setattr(benchmarks.document, "_README", page)
    other = {**FIGURES, **OURS, "asked": "latency, 0.02, x86_64-vnni", "speed-up": 9.0}
    trained = {**other, "tool": "coldpress optimize, trained"}
    trained["asked"] = "size, 0.02, x86_64-vnni, static student, trained 600 s"
    write_readme({"rows": [{**FIGURES, "tool": "peer"}, {**FIGURES, **OURS}, other, trained]})
    lines = page.read_text().splitlines()
    assert (lines[0], lines[-1]) == ("# Kept", "kept too")
    assert [line for line in lines if line.startswith("| toy")] == [
        "| toy | cosine, 0.02 | 0.0123 [0.0100, 0.0200] | 1.50x | 2.00 → 0.50 | peer, 1.5x |",
        "| toy | cosine, 0.02, for size, static student, trained 600 s | 0.0123 [0.0100, 0.0200] | 9.00x "
        "| 2.00 → 0.50 | peer, 1.5x |",
    ]
    assert "old figures" not in lines


def test_trained_rows_are_ours_and_a_labelled_metric_has_the_originals_value(tmp_path, monkeypatch):
    page = tmp_path / "benchmarks.md"
    page.write_text(f"# Kept\n\n{benchmarks.document._MARKER}\n")
    monkeypatch.setattr(benchmarks.document, "_DOCUMENT", page)
    trained = {**FIGURES, **OURS, "tool": "coldpress optimize, trained", "metric before": 0.6909}
    trained["asked"] = "latency, 0.02, x86_64, trained 600 s"
    machine = {"cpu": "a CPU", "cores": 2, "python": "3.11"}
    write_document({"rows": [{**FIGURES, "tool": "peer"}, trained], "machine": machine, "versions": {}})
    text = page.read_text()
    assert "| toy | latency, 0.02, x86_64, trained 600 s | cosine | 0.0123 |" in text
    assert "| **latency, 0.02, x86_64, trained 600 s** | 0.0123 |" in text
    assert "cosine 0.6909 of the original, 2.00 MB" in text
