"""What each tool, and `optimize`, makes of each model; kept under build/bench until a source changes."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import onnx
import onnx_ir as ir
from onnx_ir.passes import common

from benchmarks.environments import BENCH, ROOT, python_of
from benchmarks.models import Case, Model
from benchmarks.tools import PACKAGES, Tool
from optimizer.passes import FoldConstants, RaiseOpset
from optimizer.work import code_version

LIMIT_S = 280
# Older ones have no scales by channel; some tools then say so, others write models that do not run.
_OPSET_OF_TOOLS = 13
_ERROR_LENGTH = 200
_EXCEPTION = re.compile(r"([A-Za-z_]\w*\.)*[A-Z]\w*(Error|Exception|Fail|Argument)\b")


class Produced(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be judged, or the error in its place; ``passes`` are those of `optimize`."""

    model: str = ""
    error: str = ""
    seconds: float = 0
    passes: list[str] = []


def prepare(model: Model) -> Path:
    """The folder with the model and its samples."""
    folder = BENCH / "models" / model.name
    name = model.script or model.name
    script = ROOT / "benchmarks" / "models" / f"{name}.py"

    def make() -> None:
        print(f"{model.title}: the model and its samples", file=sys.stderr)
        python = str(python_of(model.environment))
        command = [python, "-m", f"benchmarks.models.{name}", str(folder)]
        subprocess.run(command, check=True, cwd=ROOT)

    key = _hash(script.read_bytes(), (ROOT / "benchmarks" / "samples.py").read_bytes())
    if _read(folder / "key") != key:
        subprocess.run(["rm", "-rf", folder], check=True)
        folder.mkdir(parents=True)
        make()
        (folder / "key").write_text(key)
    return folder


def for_tools(model: Path) -> Path:
    """The model; where it is old, the same at a newer opset and with initializers, as tools ask for it."""
    raised = model.with_name("raised.onnx")
    if raised.exists():
        return raised
    proto = onnx.load(model)
    if next(opset.version for opset in proto.opset_import if not opset.domain) >= _OPSET_OF_TOOLS:
        return model
    graph = ir.from_proto(proto)
    lift = common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
    for step in (RaiseOpset(), lift, FoldConstants()):  # NNCF stops at a Cast of an initializer
        graph = step(graph).model
    ir.save(graph, raised)
    return raised


def by_tool(model: Model, tool: Tool) -> Produced:
    """What another tool makes of it, or says."""
    data = prepare(model)
    given = for_tools(data / "model.onnx")
    folder = BENCH / "produced" / model.name / tool.name
    script = ROOT / "benchmarks" / "tools" / f"{tool.script}.py"
    about = {
        "transformer": model.transformer,
        "metric": model.metric,
        "output": model.output,
        "bound": model.cases[0].bound,
        "torch": model.torch,
        "seconds": model.seconds,
    }
    key = _hash(
        _read(data / "key"), given.name, script.read_bytes(), tool.variant, PACKAGES[tool.environment], about
    )

    def make() -> Produced:
        (folder / "task.json").write_text(json.dumps(about))
        target = folder / "model.onnx"
        command = [str(python_of(tool.environment)), "-m", f"benchmarks.tools.{tool.script}"]
        command += [str(given), str(data), str(target), str(folder / "task.json"), tool.variant]
        limit_s = LIMIT_S + (model.seconds if tool.trains else 0)
        error, seconds = run_tool(command, folder / "log.txt", limit_s)
        if not error and not target.exists():
            error = "it exits 0 and writes no model"
        return Produced(model="" if error else str(target), error=error, seconds=seconds)

    return _cached(folder, key, f"{model.title}: {tool.title}", make)


def by_optimize(model: Model, case: Case) -> Produced:
    """What `optimize` makes of it. The cases of a model share a folder, and so what was measured."""
    data = prepare(model)
    out = BENCH / "optimize" / model.name
    folder = out / case.title.replace(", ", "-").replace(" ", "-")
    key = _hash(_read(data / "key"), code_version(), msgspec.json.encode(case), model.metric, model.output)

    def make() -> Produced:
        command = [str(Path(sys.executable).with_name("optimize")), str(data / "model.onnx"), "--json"]
        calibration = data / ("training" if case.train else "calibration")
        command += [f"--calibration={calibration}", f"--evaluation={data / 'evaluation'}"]
        command += ["--metric", model.metric, f"--max-drop={case.bound}", f"--objective={case.objective}"]
        command += [f"--target={case.target}"]
        command += [f"--name={model.name}", f"--out={out}", f"--measurements={out / 'measured'}"]
        command += [f"--output={model.output}"] if model.output else []
        command += [f"--train={case.train}"] if case.train else []
        command += [f"--student={case.student}"] if case.student else []
        error, seconds = run_tool(command, folder / "log.txt", limit_s=None)
        if error:
            return Produced(error=error, seconds=seconds)
        result = json.loads((folder / "log.txt").read_text().splitlines()[-1])
        served = json.loads((Path(result["bundle"]) / "manifest.json").read_text())["serve"]
        return Produced(model=str(Path(result["bundle"]) / served), seconds=seconds, passes=result["passes"])

    return _cached(folder, key, f"{model.title}: optimize, {case.title}", make)


def _cached(folder: Path, key: str, title: str, make: Callable[[], Produced]) -> Produced:
    kept = folder / f"{key[:16]}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Produced)
    print(title, file=sys.stderr)
    subprocess.run(["rm", "-rf", folder], check=True)
    folder.mkdir(parents=True)
    produced = make()
    kept.write_bytes(msgspec.json.encode(produced))
    return produced


def run_tool(command: list[str], log: Path, limit_s: float | None = LIMIT_S) -> tuple[str, float]:
    """The error (empty if there is none) and the seconds; what the command writes goes into ``log``."""
    start = time.monotonic()
    with log.open("w") as file, tempfile.TemporaryDirectory(dir=log.parent) as scratch:
        process = subprocess.Popen(
            ["nice", *command],
            cwd=scratch,  # some leave files where they run
            stdout=file,
            stderr=file,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": scratch},
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"not finished after {limit_s:g} s", time.monotonic() - start
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    error = "" if status == 0 else _last_error(log) or f"exit status {status}"
    return error, time.monotonic() - start


def _last_error(log: Path) -> str:
    """The last line that names an exception, else the last line: without colours and folders, shortened."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text(errors="replace"))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if _EXCEPTION.match(line)]
    line = (named or lines or [""])[-1].replace(f"{ROOT}/", "")
    return line if len(line) <= _ERROR_LENGTH else line[: _ERROR_LENGTH - 1] + "…"


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(repr, parts)).encode()).hexdigest()


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
