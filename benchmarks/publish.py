"""Writing down what was measured, where and with which versions, and showing it as a table."""

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxruntime")

Row = dict[str, Any]


def publish(name: str, rows: list[Row]) -> None:
    """Print ``rows`` (all with the same keys) as a table and write them to results/NAME.json."""
    table = Table(*rows[0], title=name)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=160).print(table)
    content = {
        "rows": rows,
        "machine": {"cpu": _cpu(), "python": platform.python_version(), "system": platform.platform()},
        "versions": {package: version(package) for package in _PACKAGES},
    }
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"{name}.json"
    partial = target.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(target)


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
