"""Writing down what was measured, where and with which versions, and showing it as a table."""

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxruntime")

Row = Mapping[str, Any]


def show(name: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Print these columns of the rows as a table."""
    table = Table(*columns, title=name)
    for row in rows:
        table.add_row(*(cell(row[column]) for column in columns))
    Console(width=180).print(table)


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as documents have it."""
    lines = [head, ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write(name: str, rows: Sequence[Row], versions: Mapping[str, str]) -> dict[str, Any]:
    """Write rows, machine and versions to results/NAME.json; the content."""
    machine = {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    content = {
        "rows": list(rows),
        "machine": machine,
        "versions": {**{package: version(package) for package in _PACKAGES}, **versions},
    }
    RESULTS.mkdir(exist_ok=True)
    replace(RESULTS / f"{name}.json", json.dumps(content, indent=2) + "\n")
    return content


def insert(document: Path, command: str, text: str) -> None:
    """Replace what stands in a document between the comment that names the command and the end's comment."""
    begin, end = f"<!-- written by `make {command}` -->", "<!-- end -->"
    before, _, rest = document.read_text().partition(begin)
    after = rest.partition(end)[2]
    replace(document, f"{before}{begin}\n\n{text}\n\n{end}{after}")


def where(content: Mapping[str, Any]) -> str:
    """The machine, and the versions, as a document names them."""
    machine = content["machine"]
    versions = "; ".join(f"{name}: {text}" for name, text in content["versions"].items())
    return f"Machine: {machine['cpu']}, {machine['cores']} cores, Python {machine['python']}. {versions}."


def replace(target: Path, text: str) -> None:
    """Write a file whole or not at all."""
    partial = target.with_name(f"{target.name}.partial")
    partial.write_text(text)
    partial.replace(target)


def cpu() -> str:
    """This machine's, as results name it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    has_vnni = any("vnni" in line for line in lines if line.startswith("flags"))
    return f"{names[0] if names else 'unknown'}{', VNNI' if has_vnni else ''}"
