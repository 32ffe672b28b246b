"""Lambda environments: AWS's Runtime Interface Emulator (RIE), one process per environment, in pools.

An environment takes one request at a time (a second one crashes the RIE). A request takes an idle one or
starts a new one, up to the function's concurrency; above it is throttled, as in Lambda.
"""

import contextlib
import http.client
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator import settings
from emulator.functions import FunctionVersion
from emulator.images import Image, ImageStore

_INVOKE_PATH = "/2015-03-31/functions/function/invocations"
# Where AWS's base images have the function's code; here it is the image's folder.
_TASK_ROOT = "/var/task"
_IDLE_SECONDS = 300.0
_START_SECONDS = 10.0
# Beside the function's own timeout: an init may take 10 s before it, and the RIE answers a little late.
_GRACE_SECONDS = 15.0


class Throttled(Exception):
    """All of the function's concurrency is in use."""


class CannotStart(Exception):
    """An environment cannot be started; the sentence says why."""


@dataclass(frozen=True)
class Result:
    """What an invocation gave: the handler's JSON, or an error's, and how it failed (None: it did not)."""

    payload: bytes
    error: str | None = None


class Environments:
    """All environments of one emulator; its methods may be called from any thread."""

    def __init__(self, images: ImageStore, logs: Path) -> None:
        self._images = images
        self._logs = logs
        self._lock = threading.Lock()
        self._idle: dict[FunctionVersion, list[_Environment]] = defaultdict(list)
        self._busy: dict[FunctionVersion, int] = defaultdict(int)
        self._retired: set[FunctionVersion] = set()
        self._numbers = itertools.count(1)
        self._closed = threading.Event()
        # Children die with the thread that started them (PDEATHSIG), so one thread that lives as long as
        # this process starts them all.
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")
        threading.Thread(target=self._stop_idle, daemon=True).start()

    def invoke(self, function: FunctionVersion, payload: bytes) -> Result:
        """Send ``payload`` (JSON) to an environment of ``function``.

        Raises:
            Throttled: no environment is free and no more may be started.
            CannotStart: none could be started.
        """
        environment = self._acquire(function)
        usable = False
        try:
            result = environment.invoke(payload)
            # A handler that raised can go on; a runtime that died or was cut off cannot.
            usable = result.error in (None, "Handled")
            return result
        finally:
            self._release(function, environment if usable else None)
            if not usable:
                environment.stop()

    def keep_only(self, functions: set[FunctionVersion]) -> None:
        """Drain the environments of all other versions: idle ones stop now, busy ones after their request."""
        with self._lock:
            self._retired = (set(self._idle) | set(self._busy)) - functions
            idle = [environment for function in self._retired for environment in self._idle.pop(function, [])]
        for environment in idle:
            environment.stop()

    def close(self) -> None:
        """Stop every environment, busy or not."""
        self._closed.set()
        with self._lock:
            idle = [environment for pool in self._idle.values() for environment in pool]
            self._idle.clear()
        for environment in idle:
            environment.stop()
        self._starter.shutdown()

    def _acquire(self, function: FunctionVersion) -> "_Environment":
        with self._lock:
            self._retired.discard(function)
            pool = self._idle[function]
            while pool:
                environment = pool.pop()
                if environment.alive():
                    self._busy[function] += 1
                    return environment
                environment.stop()
            in_use = sum(count for other, count in self._busy.items() if other.name == function.name)
            if in_use >= function.concurrency:
                raise Throttled("Rate Exceeded.")
            self._busy[function] += 1
            number = next(self._numbers)
        try:
            return self._start(function, number)
        except BaseException:
            self._release(function, None)
            raise

    def _release(self, function: FunctionVersion, environment: "_Environment | None") -> None:
        with self._lock:
            self._busy[function] -= 1
            if environment and function not in self._retired and not self._closed.is_set():
                environment.idle_since = time.monotonic()
                self._idle[function].append(environment)
                return
        if environment:
            environment.stop()

    def _start(self, function: FunctionVersion, number: int) -> "_Environment":
        image = self._images.find(function.image_uri)
        log = self._logs / function.name / f"{function.version.replace('$', '')}-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        for attempt in itertools.count(1):
            environment = self._starter.submit(_Environment, function, image, log).result()
            if environment.wait_until_ready():
                return environment
            environment.stop()
            if attempt == 3:  # a port may be taken between choosing and using it; thrice is no accident
                raise CannotStart(f"An environment of {function.name} did not start: see {log}.")
        raise AssertionError("unreachable")

    def _stop_idle(self) -> None:
        while not self._closed.wait(_IDLE_SECONDS / 10):
            oldest = time.monotonic() - _IDLE_SECONDS
            with self._lock:
                stale = [e for pool in self._idle.values() for e in pool if e.idle_since < oldest]
                for pool in self._idle.values():
                    pool[:] = [environment for environment in pool if environment not in stale]
            for environment in stale:
                environment.stop()


class _Environment:
    """One RIE with its runtime."""

    def __init__(self, function: FunctionVersion, image: Image, log: Path) -> None:
        self.idle_since = time.monotonic()
        self._runtime: int | None = None  # its process id, once it answered
        self._timeout = function.timeout_seconds
        self._port, runtime_port = _free_ports(2)
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=function.timeout_seconds + _GRACE_SECONDS
        )
        directory = function.working_directory or image.settings.working_directory
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *_die_with_parent(),
                    find_rie(),
                    *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                    *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                    *_die_with_parent(),
                    *_command(function, image),
                ],
                env=_variables(function, image),
                cwd=image.context / directory
                if directory and not directory.startswith(("/", "$"))
                else image.context,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C is for the emulator, which then stops this
            )

    def wait_until_ready(self) -> bool:
        """Whether the RIE listens, within a moment."""
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
        return _translate(response.status, body)

    def stop(self) -> None:
        """End the RIE and with it (PDEATHSIG) its runtime, at once, as Lambda does without extensions."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


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
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
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
