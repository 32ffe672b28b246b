"""Memory over many requests: an environment may live for hours."""

import contextlib
import gzip
import json
import socket
import struct
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.clients import http_api_event
from tests.handlers.conftest import BundleMaker

ROOT = Path(__file__).parents[2]
REQUESTS, WARM = 100_000, 1_000
# What a leak of ten bytes in each request would come to.
ALLOWED_KIB = 1_000
INFER, PREDICT = "/v2/models/toy/infer", "/v1/models/toy:predict"


class Environment:
    """The image's process, and in place of Lambda's runtime API this one."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._pid = process.pid
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._read()  # asks for the first event

    def ask(self, event: bytes) -> int:
        """The status of the answer to one event; 0 where the request failed."""
        deadline = int(time.time() * 1000) + 60_000
        head = (
            f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: id\r\nLambda-Runtime-Deadline-Ms: {deadline}"
            f"\r\nContent-Length: {len(event)}\r\n\r\n"
        )
        self._connection.sendall(head.encode() + event)
        line, reply = self._read()
        self._connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        assert self._read()[0].startswith(b"GET ")  # and asks for the next
        return int(json.loads(reply)["statusCode"]) if b"/response " in line else 0

    def resident_kib(self) -> int:
        pages = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return pages * 4

    def _read(self) -> tuple[bytes, bytes]:
        """The request line and the body of the process's next request."""
        line, length = self._reader.readline(), 0
        assert line, "the process ended"
        while (field := self._reader.readline()) != b"\r\n":
            name, _, value = field.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        return line, self._reader.read(length)


@pytest.fixture
def environment(make_bundle: BundleMaker) -> Iterator[Environment]:
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        variables = {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{listener.getsockname()[1]}",
            "COLDPRESS_BUNDLE_DIR": str(make_bundle("affine")),
            "PYTHONPATH": sysconfig.get_path("platlib"),
        }
        command = [sys.executable, "-I", "-S", str(ROOT / "handlers/inference/bootstrap.py")]
        nowhere = subprocess.DEVNULL
        process = stack.enter_context(
            subprocess.Popen(command, env=variables, stdout=nowhere, stderr=nowhere)
        )
        stack.callback(process.kill)
        listener.settimeout(60)
        connection, _ = listener.accept()
        yield Environment(process, stack.enter_context(connection))


def events() -> list[tuple[bytes, int]]:
    """Of each kind of request one, with the status of its answer; the last is no request."""
    tensor = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    infer = json.dumps({"id": "7", "inputs": [{**tensor, "data": [0.5, 2, 3]}]}).encode()
    long = json.dumps({"instances": [[0.1, 1 / 3, row] for row in range(2000)]}).encode()
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": 12}}],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    binary = {"inference-header-content-length": str(len(head))}
    zipped = {"content-encoding": "gzip"}
    body = head + struct.pack("<3f", 1, 2, 3)
    return [
        (http_api_event(INFER, infer, {}), 200),
        (http_api_event(INFER, body, binary, is_binary=True), 200),
        (http_api_event(INFER, gzip.compress(infer), zipped, is_binary=True), 200),
        (http_api_event(PREDICT, b'{"instances": [[1, 2, 3], [4, 5, 6.5]]}', {}), 200),
        (http_api_event(PREDICT, b'{"inputs": {"x": [[NaN, 2, "Infinity"]]}}', {}), 200),
        (http_api_event(PREDICT, long, {"accept-encoding": "gzip"}), 200),
        (http_api_event(PREDICT, b'{"instances": [[1, 2], [3]]}', {}), 400),
        (http_api_event(PREDICT, b'{"instances": [[1, 2]]}', {}), 400),
        (http_api_event(PREDICT, b'{"instances"', {}), 400),
        (http_api_event(INFER, body[:-1], binary, is_binary=True), 400),
        (http_api_event(INFER, gzip.compress(infer)[:-9], zipped, is_binary=True), 400),
        (http_api_event(INFER, infer, {"content-type": "image/png"}), 415),
        (http_api_event("/v9", b"{}", {}), 404),
        (b'{"Records": []}', 0),
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_thousand_requests_leave_memory_where_a_thousand_left_it(environment: Environment) -> None:
    """Answered, refused and failed ones, through the loop of one environment."""
    mixed, resident = events(), {}
    for number in range(1, REQUESTS + 1):
        event, status = mixed[number % len(mixed)]
        assert environment.ask(event) == status
        if number == WARM or number % 10_000 == 0:
            resident[number] = environment.resident_kib()
    print("KiB after so many requests:", resident)
    assert max(resident.values()) - resident[WARM] < ALLOWED_KIB, resident
