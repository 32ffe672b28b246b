"""One Lambda environment: AWS's Runtime Interface Emulator (RIE) with the function's runtime."""

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator import settings
from emulator.functions import FunctionVersion
from emulator.images import Image
from emulator.metrics import record_embedded

_INVOKE_PATH = "/2015-03-31/functions/function/invocations"
# Where AWS's base images have the function's code; here it is the image's folder.
_TASK_ROOT = "/var/task"
_START_SECONDS = 60.0
# Beside the function's own timeout: an init may take 10 s before it, and the RIE answers a little late.
_GRACE_SECONDS = 15.0
_INIT_REPORT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")
_PREWARM = Path(__file__).with_name("prewarm.py")


class CannotStart(Exception):
    """An environment cannot be started; the sentence says why."""


@dataclass(frozen=True)
class Result:
    """What an invocation gave: the handler's JSON, or an error's, and how it failed (None: it did not)."""

    payload: bytes
    error: str | None = None


class Environment:
    """One RIE with its runtime; ``provisioned`` if it is initialised ahead, and kept."""

    def __init__(self, function: FunctionVersion, image: Image, log: Path, *, provisioned: bool) -> None:
        self.idle_since = time.monotonic()
        self.function = function
        self.provisioned = provisioned
        self.init_ms = 0.0  # how long its last initialisation took
        self._region = function.region
        self._runtime: int | None = None  # its process id, once it answered
        self._timeout = function.timeout_seconds
        self._port, runtime_port = _free_ports(2)
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=function.timeout_seconds + _GRACE_SECONDS
        )
        directory = function.working_directory or image.settings.working_directory
        command = [*_die_with_parent(), *_command(function, image)]
        if provisioned:
            command = [*_die_with_parent(), sys.executable, "-I", str(_PREWARM), *command]
        with log.open("ab") as output:
            self._log = log.open("rb")
            self._process = subprocess.Popen(
                [
                    *_die_with_parent(),
                    find_rie(),
                    *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                    *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                    *command,
                ],
                env={
                    **_variables(function, image),
                    "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"
                    if provisioned
                    else "on-demand",
                },
                cwd=image.context / directory
                if directory and not directory.startswith(("/", "$"))
                else image.context,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is for the emulator, which then stops this
            )

    def wait_until_ready(self) -> bool:
        """Whether the RIE listens, within a minute: it takes a moment, but not on a busy machine."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self._connection.connect()
            except ConnectionRefusedError:
                time.sleep(0.005)
            else:
                return True
        return False

    def alive(self) -> bool:
        """Whether the RIE is up, and its runtime if it was started."""
        return self._process.poll() is None and (self._runtime is None or _is_running(self._runtime))

    def initialise(self) -> Result:
        """Start the runtime ahead of the first request (``emulator.prewarm``); an error if it failed."""
        return self.invoke(b"{}")

    def invoke(self, payload: bytes) -> Result:
        """Send one request; never two at a time."""
        try:
            self._connection.request("POST", _INVOKE_PATH, payload, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            body = response.read()
        except TimeoutError:
            return _error("Sandbox.Timedout", f"Task timed out after {self._timeout:.2f} seconds")
        except (OSError, http.client.HTTPException):
            return _error("Runtime.ExitError", "The environment ended before it answered.")
        if self._runtime is None:
            self._runtime = _child(self._process.pid)
        self.read_log()
        return _translate(response.status, body)

    def read_log(self) -> None:
        """Take from the log what was written since: metrics, and how long an initialisation took."""
        for line in self._log:
            if not line.endswith(b"\n"):  # the rest is still being written
                self._log.seek(-len(line), os.SEEK_CUR)
                return
            text = line.decode(errors="replace")
            record_embedded(self._region, text)
            if report := _INIT_REPORT.search(text):
                self.init_ms = float(report[1])

    def stop(self) -> None:
        """End the RIE and with it (PDEATHSIG) its runtime, at once, as Lambda does without extensions."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self.read_log()
        self._log.close()


def _translate(status: int, body: bytes) -> Result:
    """What Lambda would say where the RIE has habits of its own.

    The RIE answers 200 to everything but a runtime that exited or a response that is too large; a timeout
    is a sentence in plain text, and a handler's exception looks like any other JSON.
    """
    if status != http.HTTPStatus.OK:
        return Result(body, "Unhandled")
    if body.startswith(b"Task timed out after"):
        return _error("Sandbox.Timedout", body.decode())
    if body.startswith((b'{"errorMessage"', b'{"errorType"')):
        try:
            content = json.loads(body)
        except ValueError:
            return Result(body)
        if content.keys() >= {"errorMessage", "errorType"}:
            return Result(body, "Unhandled" if content["errorType"].startswith("Runtime.") else "Handled")
    return Result(body)


def _error(kind: str, message: str) -> Result:
    return Result(json.dumps({"errorType": kind, "errorMessage": message}).encode(), "Unhandled")


def find_rie() -> str:
    """The RIE's path.

    Raises:
        CannotStart: it is not installed.
    """
    beside = Path(sys.executable).with_name("aws-lambda-rie")
    found = str(beside) if beside.is_file() else shutil.which("aws-lambda-rie")
    if found is None:
        raise CannotStart(f"aws-lambda-rie is neither at {beside} nor on the PATH: run make setup.")
    return found


def _die_with_parent() -> list[str]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise CannotStart("setpriv is not on the PATH: install util-linux.")
    return [setpriv, "--pdeathsig", "KILL"]


def _command(function: FunctionVersion, image: Image) -> list[str]:
    """The image's entry point and command, or the function's in place of them.

    Python is this one, without ``site``: so that a working tree installed here as editable stays out, and
    what the image lacks is missing here too.
    """
    entry_point = list(function.entry_point) or image.settings.entry_point
    if entry_point in ([], ["/lambda-entrypoint.sh"]):  # that of AWS's base image, which starts AWS's client
        entry_point = ["python", "-m", "awslambdaric"]
    words = [*entry_point, *(function.command or image.settings.command)]
    if Path(words[0]).name in ("python", "python3") or words[0].startswith("/var/lang/bin/python"):
        words[:1] = [sys.executable, "-S"]
    return [_located(word, image) for word in words]


def _located(text: str, image: Image) -> str:
    """``text`` with the image's folder in place of the task root."""
    text = text.replace("${LAMBDA_TASK_ROOT}", str(image.context))
    if text == _TASK_ROOT or text.startswith(f"{_TASK_ROOT}/"):
        return f"{image.context}{text.removeprefix(_TASK_ROOT)}"
    return text


def _variables(function: FunctionVersion, image: Image) -> dict[str, str]:
    """The environment's variables: the image's, the function's, and those that Lambda sets itself."""
    root = str(image.context)
    own = dict(image.settings.environment)
    packages = sysconfig.get_path("platlib")
    python_path = [root, *filter(None, [own.pop("PYTHONPATH", "")]), packages]
    own.pop("PATH", None)  # the image's own paths do not exist here
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
        "PYTHONPATH": os.pathsep.join(python_path),
        **{name: _located(value, image) for name, value in [*own.items(), *function.variables]},
        "LAMBDA_TASK_ROOT": root,
        "AWS_REGION": function.region,
        "AWS_DEFAULT_REGION": function.region,
        "AWS_ACCESS_KEY_ID": settings.ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": settings.SECRET_ACCESS_KEY,
        "AWS_SESSION_TOKEN": "emulator",
        "AWS_ENDPOINT_URL": settings.endpoint(),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_VERSION": function.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_seconds),
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]
    finally:
        for free in sockets:
            free.close()


def _child(pid: int) -> int | None:
    """The RIE's runtime process, once it runs."""
    with contextlib.suppress(OSError):  # threads come and go, and not every kernel tells
        for task in Path(f"/proc/{pid}/task").iterdir():
            children = (task / "children").read_text().split()
            if children:
                return int(children[0])
    return None


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def describe(result: Result) -> dict[str, Any]:
    """An error's type and message, for logs."""
    try:
        content = json.loads(result.payload)
    except ValueError:
        return {}
    return (
        {key: content.get(key) for key in ("errorType", "errorMessage")} if isinstance(content, dict) else {}
    )
