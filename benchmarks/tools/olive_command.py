"""Microsoft Olive's command line, for the CPU: `optimize` and `auto-opt` in int8, and `quantize`.

The last has no int8 for ONNX models: it is given what its documentation shows, RTN in int4.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.tools import Task


def main() -> None:
    """Run the command and take the model that it wrote."""
    task = Task.from_arguments()
    out = task.target.parent / "olive"
    shutil.rmtree(out, ignore_errors=True)
    olive = str(Path(sys.executable).with_name("olive"))
    command = [olive, task.variant, "-m", str(task.model), "-o", str(out)]
    if task.variant == "quantize":
        command += ["--algorithm", "rtn", "--precision", "int4"]
    else:
        command += ["--precision", "int8", "--provider", "CPUExecutionProvider", "--device", "cpu"]
    environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(command, check=False, env=environment, cwd=task.target.parent)
    if done.returncode:
        raise SystemExit(done.returncode)
    written = sorted(out.rglob("*.onnx"))
    if not written:
        raise SystemExit(f"olive {task.variant} exits 0 and writes no model")
    shutil.copy(written[0], task.target)
    for data in written[0].parent.glob("*.data"):
        shutil.copy(data, task.target.parent)


if __name__ == "__main__":
    main()
