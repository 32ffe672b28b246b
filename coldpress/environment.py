"""One Lambda environment on this machine: the image's own process, behind a runtime API that is read here."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from coldpress.errors import CommandError

_PATIENCE_SECONDS = 120
# Joins the control group before it becomes the process, so that all of its start is in it.
_JOIN_AND_RUN = 'echo $$ > "$0" && exec "$@"'


class Answer(NamedTuple):
    """What one event took: on the clock, and of the process's CPU time."""

    body: bytes
    wall_ms: float
    cpu_ms: float


class Environment:
    """A started environment, which ends with the ``with`` block; the first event meets the cold start.

    The events and answers pass through this process, which is outside of the control group: what is measured
    is the environment alone, as Lambda bills it.

    Args:
        bundle: what it serves, from this folder.
        model: the bundle's name.
        memory_mb: what the function is told that it has; it decides how many threads a run gets.
        procs: the file of a control group that limits its CPU; None: it has all of this machine's.
    """

    def __init__(self, bundle: Path, model: str, memory_mb: int, procs: Path | None) -> None:
        self._bundle, self._model, self._memory_mb, self._procs = bundle, model, memory_mb, procs
        self._started = 0.0
        self._spent_ms = 0.0
        self._number = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        joining = ["/bin/sh", "-c", _JOIN_AND_RUN, str(self._procs)] if self._procs else []
        bootstrap = _root() / "handlers" / "inference" / "bootstrap.py"
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [*joining, sys.executable, "-I", "-S", str(bootstrap)],
            env=self._variables(self._listener.getsockname()[1]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._connection: socket.socket | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        if self._connection is not None:
            self._reader.close()
            self._connection.close()
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()

    def first(self, event: bytes) -> Answer:
        """The cold start: from the start of the process to its first answer."""
        answer = self._exchange(event)
        return answer._replace(wall_ms=(time.perf_counter() - self._started) * 1e3)

    def ask(self, event: bytes) -> Answer:
        """One event to the environment that is warm by now."""
        return self._exchange(event)

    def peak_mb(self) -> float:
        """The most memory that the process had so far."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def _exchange(self, event: bytes) -> Answer:
        if self._connection is None:
            self._connect()
        connection = self._connection
        if connection is None:
            raise CommandError("the environment did not connect.")
        self._number += 1
        self._read("next")
        head = (
            f"HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: {self._number}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(event)}\r\n\r\n"
        )
        before = time.perf_counter()
        connection.sendall(head.encode() + event)
        body = self._read("response")
        wall_ms = (time.perf_counter() - before) * 1e3
        connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")
        spent_ms = _cpu_ms(self._process.pid)
        cpu_ms, self._spent_ms = spent_ms - self._spent_ms, spent_ms
        return Answer(body, wall_ms, cpu_ms)

    def _connect(self) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self._connection is None:
            try:
                self._connection, _ = self._listener.accept()
            except TimeoutError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise self._failure() from None
        self._connection.settimeout(_PATIENCE_SECONDS)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader: BinaryIO = self._connection.makefile("rb")

    def _read(self, call: str) -> bytes:
        """The body of the environment's next call, which must be to ``call``."""
        try:
            request = self._reader.readline().decode("latin-1")
            size = 0
            while (line := self._reader.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    size = int(value)
            body = self._reader.read(size)
        except OSError:
            raise self._failure() from None
        if not request.split(" ")[1:2] or not request.split(" ")[1].endswith(f"/{call}"):
            raise self._failure(body)
        return body

    def _failure(self, body: bytes = b"") -> CommandError:
        self._process.kill()
        said, _ = self._process.communicate()
        lines = (body or said or b"").decode(errors="replace").strip().splitlines()
        return CommandError(f"the environment fails: {lines[-1] if lines else 'it says nothing'}")

    def _variables(self, port: int) -> dict[str, str]:
        python_path = os.pathsep.join([str(_root()), sysconfig.get_path("platlib")])
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "en_US.UTF-8",
            "PYTHONPATH": python_path,
            "LAMBDA_TASK_ROOT": str(_root()),
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "AWS_LAMBDA_FUNCTION_NAME": "size",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._memory_mb),
            "COLDPRESS_BUNDLE_DIR": str(self._bundle.resolve()),
            "COLDPRESS_MODEL": self._model,
        }


def _root() -> Path:
    """The folder that holds the rooms."""
    found = importlib.util.find_spec("handlers.inference")
    if found is None or found.origin is None:
        raise CommandError("the handlers are not installed here: run `make setup`.")
    return Path(found.origin).parents[2]


def _cpu_ms(process: int) -> float:
    """User and system time of all its threads, ended ones too: its CPU clock (clock_getcpuclockid)."""
    return time.clock_gettime((~process << 3) | 2) * 1e3
