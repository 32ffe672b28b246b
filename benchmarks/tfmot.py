"""`make bench-tfmot`: TFMOT's tutorial convolution as TFMOT and TFLite make it small, and as `optimize` does.

Both start from the same Keras models, with the same data: examples/tensorflow/mnist.py trains them. Judged in
one process, in turns: TFLite by LiteRT with XNNPACK, ours by ONNX Runtime, one thread each and one picture
(benchmarks/tools/tflite_judge.py says by which functions). Sizes are of the file, and of the file after gzip,
which TFMOT's tutorials measure. TFMOT trains with labels, for 15 epochs and more; `optimize` without.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import BENCH, ROOT, python_of
from benchmarks.produce import run_tool
from benchmarks.publish import insert, markdown, show, where, write
from benchmarks.tools import PACKAGES

_FORMS = {"plain": "plain", "pruned": "pruned", "clustered": "clustered", "aware": "QAT", "pcqat": "PCQAT"}
_SAVED = {"pcqat": "pcqat"}  # as a SavedModel
_BOUND = 0.01


@dataclass(frozen=True)
class _Ask:
    """What optimize is given: a form, the file of calibration data, and options."""

    title: str
    form: str
    calibration: str = "calibration"
    options: tuple[str, ...] = ()


_STUDENT = ("--train=60", "--student=examples.tensorflow.students:strided")
_ASKED = (
    *(_Ask(title, form) for form, title in _FORMS.items()),
    *(_Ask(f"{_FORMS[form]}, pruned", form, "train", ("--train=60",)) for form in ("plain", "pcqat")),
    *(_Ask(f"{_FORMS[form]}, student", form, "moved", _STUDENT) for form in ("plain", "pcqat")),
)
_COLUMNS = (
    *("tool", "model", "accuracy", "drop", "us", "us by run", "us served", "KB", "gzip KB", "seconds"),
    "error",
)
_DIGITS = {"accuracy": 3, "us": 1, "us by run": 1, "us served": 1, "KB": 1, "gzip KB": 1}
_DOCUMENT = ROOT / "docs" / "benchmarks.md"
_FOLDER = BENCH / "tfmot"


def main() -> None:
    """Print the table, and write results/tfmot.json."""
    data = _FOLDER / "models"
    if not (data / "moved.npz").exists():  # the last of them
        command = [str(python_of("tfmot")), "-m", "examples.tensorflow.mnist", str(data)]
        subprocess.run(command, check=True, cwd=ROOT)
    rows: list[dict[str, Any]] = [
        {"tool": "TFMOT and TFLite", "model": _title(path), "file": str(path)}
        for path in sorted(data.glob("*.tflite"))
    ]
    rows += [_pressed(data, ask, objective) for ask in _ASKED for objective in ("latency", "size")]
    files = _FOLDER / "files.json"
    files.write_text(json.dumps([row["file"] for row in rows if row.get("file")]))
    judge = [
        str(python_of("tfmot")),
        "-m",
        "benchmarks.tools.tflite_judge",
        str(data / "report.npz"),
        str(files),
    ]
    found = json.loads(subprocess.run(judge, check=True, cwd=ROOT, capture_output=True).stdout)
    rows = [{**dict.fromkeys(_COLUMNS), **row, **found.get(row.get("file"), {})} for row in rows]
    plain = found[str(data / "plain.tflite")]["accuracy"]
    for row in rows:
        row["drop"] = None if row["accuracy"] is None else plain - row["accuracy"]
        row["file"] = row.get("file") and Path(row["file"]).name
    show("tfmot", rows, _COLUMNS)
    content = write("tfmot", rows, {"tfmot": " ".join(PACKAGES["tfmot"])})
    insert(_DOCUMENT, "bench-tfmot", f"{_table(rows)}\n\n{where(content)}")


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("tool", "model", "accuracy", "µs", "µs by `run`", "µs served", "KB", "after gzip")
    return markdown(
        head,
        (
            (
                row["tool"],
                row["model"],
                *("" if row[key] is None else f"{row[key]:.{digits}f}" for key, digits in _DIGITS.items()),
            )
            for row in rows
        ),
    )


def _title(path: Path) -> str:
    form, _, is_int8 = path.stem.partition("-")
    return f"{_FORMS[form]}, {'int8' if is_int8 else 'float32'}"


def _pressed(data: Path, ask: _Ask, objective: str) -> dict[str, Any]:
    form, calibration = ask.form, ask.calibration
    out, log = _FOLDER / "optimize", _FOLDER / f"{form}-{calibration}-{objective}.log"
    command = [
        str(Path(sys.executable).with_name("optimize")),
        str(data / _SAVED.get(form, f"{form}.h5")),
        "--json",
    ]
    command += [f"--calibration={data / calibration}.npz", f"--evaluation={data / 'evaluation.npz'}"]
    command += [f"--max-drop={_BOUND}", f"--objective={objective}", "--target=x86_64-vnni", f"--out={out}"]
    command += [f"--measurements={_FOLDER / 'measured'}", f"--name=mnist-{form}", *ask.options]
    error, seconds = run_tool(command, log, limit_s=None)
    row = {"tool": "coldpress optimize", "model": f"{ask.title}, for {objective}", "seconds": round(seconds)}
    if error:
        return {**row, "error": error}
    bundle = Path(json.loads(log.read_text().splitlines()[-1])["bundle"])
    return {**row, "file": str(bundle / json.loads((bundle / "manifest.json").read_text())["serve"])}


if __name__ == "__main__":
    main()
