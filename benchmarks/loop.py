"""The image's process with its loop, over a runtime API on loopback that always hands it the same event."""

import contextlib
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.environments import ROOT
from benchmarks.peers import cpu_seconds


@contextlib.contextmanager
def running_loop(environment: Mapping[str, str], event: bytes) -> Iterator[Callable[[int], float]]:
    """The image's process over one event; calling the result gives CPU ms of one of so many requests."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        variables = {
            **environment,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "PYTHONPATH": sysconfig.get_path("platlib"),
        }
        command = [sys.executable, "-I", "-S", str(ROOT / "handlers/inference/bootstrap.py")]
        listener.settimeout(20)
        with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL) as process:
            try:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as reader:
                    _read(reader)
                    yield lambda runs: _loop_ms(process.pid, connection, reader, event, runs)
            finally:
                process.kill()


def _loop_ms(pid: int, connection: socket.socket, reader: Any, event: bytes, runs: int) -> float:
    deadline = f"{time.time() * 1000 + 60_000:.0f}"
    head = (
        f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n"
        f"Content-Length: {len(event)}\r\n\r\n"
    ).encode()
    start = cpu_seconds(pid)
    for _ in range(runs):
        connection.sendall(head + event)
        if b'"statusCode":200' not in _read(reader):
            raise SystemExit("the loop gave a wrong answer.")
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        _read(reader)  # the next GET
    return (cpu_seconds(pid) - start) / runs * 1e3


def _read(reader: Any) -> bytes:
    """The body of the process's next request."""
    length = 0
    while (line := reader.readline()) != b"\r\n":
        if not line:
            raise SystemExit("the loop ended.")
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    return bytes(reader.read(length))
