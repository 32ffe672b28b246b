"""Microsoft Olive's command line, for the CPU: `optimize` and `auto-opt` in int8, and `quantize`.

`quantize` has no int8 for ONNX models: it is given what its documentation shows, RTN in int4. `optimize`
calibrates on Wikipedia's text and has no option for other data: the configuration that it plans is run by
`olive run`, as its documentation says, with the calibration set in the text's place.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.tools import Task

_OLIVE = str(Path(sys.executable).with_name("olive"))
_CPU = "CPUExecutionProvider"


def main() -> None:
    """Run the command and take the model that it wrote."""
    task = Task.from_arguments()
    out = task.target.parent / "olive"
    shutil.rmtree(out, ignore_errors=True)
    command = [task.variant, "-m", str(task.model), "-o", str(out)]
    if task.variant == "quantize":
        command += ["--algorithm", "rtn", "--precision", "int4"]
    else:
        command += ["--precision", "int8", "--provider", _CPU, "--device", "cpu"]
    if task.variant == "optimize":
        _olive(task, [*command, "--dry_run", "--save_config_file"])
        config = out / "config.json"
        config.write_text(json.dumps(_with_data(json.loads(config.read_text()), task)))
        command = ["run", "--config", str(config)]
    _olive(task, command)
    written = sorted(out.rglob("*.onnx"))
    if not written:
        raise SystemExit(f"olive {task.variant} exits 0 and writes no model")
    shutil.copy(written[0], task.target)
    for data in written[0].parent.glob("*.data"):
        shutil.copy(data, task.target.parent)


def _olive(task: Task, command: list[str]) -> None:
    environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"}
    done = subprocess.run([_OLIVE, *command], check=False, env=environment, cwd=task.target.parent)
    if done.returncode:
        raise SystemExit(done.returncode)


def _with_data(config: dict[str, Any], task: Task) -> dict[str, Any]:
    data = {
        "name": "calibration",
        "user_script": str(Path(__file__).with_name("olive_data.py")),
        "load_dataset_config": {"type": "calibration_set", "folder": str(task.calibration)},
        "dataloader_config": {"type": "no_auto_batch_dataloader"},
    }
    for step in config["passes"].values():
        if "data_config" in step:
            step.update(data_config="calibration", calibration_providers=[_CPU])
    return {**config, "data_configs": [data]}


if __name__ == "__main__":
    main()
