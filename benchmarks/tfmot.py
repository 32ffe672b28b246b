"""`make bench-tfmot`: TFMOT's tutorial convolution as TFMOT and TFLite make it small, and as `optimize` does.

Both start from the same Keras models, with the same data: examples/tensorflow/mnist.py trains them. Judged in
one process, in turns: TFLite by LiteRT with XNNPACK, ours by ONNX Runtime, one thread each and one picture.
Sizes are of the file, and of the file after gzip, which TFMOT's tutorials measure.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.environments import BENCH, ROOT, python_of
from benchmarks.produce import run_tool
from benchmarks.publish import show, write
from benchmarks.tools import PACKAGES

_FORMS = {"plain": "plain", "pruned": "pruned", "clustered": "clustered", "aware": "QAT", "pcqat": "PCQAT"}
_SAVED = {"pcqat": "pcqat"}  # as a SavedModel
_BOUND = 0.01
_COLUMNS = ("tool", "model", "accuracy", "drop", "us", "KB", "gzip KB", "seconds", "error")
_FOLDER = BENCH / "tfmot"


def main() -> None:
    """Print the table, and write results/tfmot.json."""
    data = _FOLDER / "models"
    if not (data / "pcqat-int8.tflite").exists():
        command = [str(python_of("tfmot")), "-m", "examples.tensorflow.mnist", str(data)]
        subprocess.run(command, check=True, cwd=ROOT)
    rows = [
        {"tool": "TFMOT and TFLite", "model": _title(path), "file": str(path)}
        for path in sorted(data.glob("*.tflite"))
    ]
    for form, title in _FORMS.items():
        rows += [_pressed(data, form, title, objective) for objective in ("latency", "size")]
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
    write("tfmot", rows, {"tfmot": " ".join(PACKAGES["tfmot"])})


def _title(path: Path) -> str:
    form, _, is_int8 = path.stem.partition("-")
    return f"{_FORMS[form]}, {'int8' if is_int8 else 'float32'}"


def _pressed(data: Path, form: str, title: str, objective: str) -> dict[str, Any]:
    out, log = _FOLDER / "optimize", _FOLDER / f"{form}-{objective}.log"
    command = [
        str(Path(sys.executable).with_name("optimize")),
        str(data / _SAVED.get(form, f"{form}.h5")),
        "--json",
    ]
    command += [f"--calibration={data / 'calibration.npz'}", f"--evaluation={data / 'evaluation.npz'}"]
    command += [f"--max-drop={_BOUND}", f"--objective={objective}", "--target=x86_64-vnni", f"--out={out}"]
    command += [f"--measurements={_FOLDER / 'measured'}", f"--name=mnist-{form}"]
    error, seconds = run_tool(command, log, limit_s=None)
    row = {"tool": "coldpress optimize", "model": f"{title}, for {objective}", "seconds": round(seconds)}
    if error:
        return {**row, "error": error}
    bundle = Path(json.loads(log.read_text().splitlines()[-1])["bundle"])
    return {**row, "file": str(bundle / json.loads((bundle / "manifest.json").read_text())["serve"])}


if __name__ == "__main__":
    main()
