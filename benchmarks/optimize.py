"""`make bench-optimize`: what `optimize` makes of real models, within the bound that each row states."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.publish import Row, publish

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
BIN = Path(sys.executable).parent

REC = BUILD / "demo" / "ch_PP-OCRv4_rec_infer.onnx"
REC_DATA = [
    "--calibration",
    "examples.ocr.lines:calibration",
    "--evaluation",
    "examples.ocr.lines:evaluation",
]
MINILM = BUILD / "minilm" / "model.onnx"
MINILM_DATA = [f"--{side}={BUILD / 'minilm' / side}" for side in ("calibration", "evaluation")]


def main() -> None:
    """Prepare the models, press each anew (nothing is taken from an earlier run), and publish."""
    take = [sys.executable, "scripts/from_wheel.py", "rapidocr-onnxruntime"]
    subprocess.run([*take, f"rapidocr_onnxruntime/models/{REC.name}", str(REC)], check=True, cwd=ROOT)
    if not MINILM.exists():
        subprocess.run(["examples/minilm/export.sh"], check=True, cwd=ROOT)
    publish(
        "optimize",
        [
            press("PP-OCRv4 rec", REC, "agreement", 0.01, REC_DATA),
            press("all-MiniLM-L6-v2", MINILM, "cosine", 0.01, MINILM_DATA),
        ],
    )


def press(title: str, model: Path, metric: str, bound: float, data: list[str]) -> Row:
    """One run of the command; a row of the table."""
    with tempfile.TemporaryDirectory() as out:
        command = [str(BIN / "optimize"), str(model), "--metric", metric, "--max-drop", str(bound)]
        command += [*data, "-o", out, "--json"]
        done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    result = json.loads(done.stdout)
    return {
        "model": title,
        "metric": metric,
        "bound": bound,
        "drop": result["drop"],
        "speed-up": result["speedup"],
        "MB before": result["size_before"] / 1e6,
        "MB after": result["size_after"] / 1e6,
    }


if __name__ == "__main__":
    main()
