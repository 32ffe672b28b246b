"""One cold start of a Lambda function under AWS's Runtime Interface Emulator (RIE), and what it took."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.environments import find_rie

_INVOKE = "/2015-03-31/functions/function/invocations"
_DONTNEED = os.POSIX_FADV_DONTNEED


@dataclass(frozen=True)
class Function:
    """What is started, as Lambda would: a command in a folder, with the function's variables."""

    command: tuple[str, ...]
    folder: Path
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Figures:
    """From the request that finds no environment to its answer; CPU time of the runtime's process alone."""

    wall_ms: float
    cpu_ms: float
    read_mb: float


def cold_start(function: Function, event: bytes, procs: Path | None = None) -> Figures:
    """Start the RIE, send ``event``, and stop it; ``procs`` is a control group's file for its process.

    Raises:
        RuntimeError: the answer's status is not 200.
    """
    with _rie(function) as (process, port):
        if procs:
            procs.write_text(str(process))
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        connection.connect()
        started = time.perf_counter()
        connection.request("POST", _INVOKE, event, {"content-type": "application/json"})
        answer = connection.getresponse().read()
        wall = time.perf_counter() - started
        runtimes = list(_children(process))
        figures = Figures(wall * 1e3, sum(map(_cpu_s, runtimes)) * 1e3, sum(map(_read_bytes, runtimes)) / 1e6)
        connection.close()
    if json.loads(answer).get("statusCode") != 200:
        raise RuntimeError(f"{function.folder.name} answers {answer[:300].decode(errors='replace')}")
    return figures


def evict(folders: Iterable[Path]) -> None:
    """Drop the files' pages from the cache, so that the next start reads them from the disk."""
    for folder in folders:
        for path in [folder] if folder.is_file() else folder.rglob("*"):
            if path.is_file():
                file = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(file, 0, 0, _DONTNEED)
                finally:
                    os.close(file)


@contextlib.contextmanager
def _rie(function: Function) -> Iterator[tuple[int, int]]:
    """The emulator's process id and port, once it listens."""
    port, api_port = _free_port(), _free_port()
    address = ("--runtime-interface-emulator-address", f"127.0.0.1:{port}")
    command = [find_rie(), *address, "--runtime-api-address", f"127.0.0.1:{api_port}", *function.command]
    process = subprocess.Popen(
        command,
        cwd=function.folder,
        env={"PATH": os.environ["PATH"], "LANG": "en_US.UTF-8", **function.variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_listening(port)
        yield process.pid, port
    finally:
        runtimes = list(_children(process.pid))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for runtime in runtimes:  # they are in groups of their own
            _end(runtime)


def _end(process: int) -> None:
    """Kill, and wait until its memory is gone: pages that it maps stay in the cache."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(process)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            select.select([handle], [], [], 10)
        finally:
            os.close(handle)


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        if time.monotonic() > deadline:
            raise RuntimeError("the Runtime Interface Emulator does not start")
        time.sleep(0.005)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(process: int) -> Iterator[int]:
    """All processes below this one."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == process:
                    yield int(folder.name)
                    yield from _children(int(folder.name))


def _cpu_s(process: int) -> float:
    """User and system time of all its threads, ended ones too: its CPU clock (clock_getcpuclockid)."""
    return time.clock_gettime((~process << 3) | 2)


def _read_bytes(process: int) -> int:
    """What it had read from the disk, read ahead included."""
    lines = Path(f"/proc/{process}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["read_bytes"])
