"""`coldpress serve` at /monitor: is it right, of what this server itself was asked."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handlers.monitor.status import Status, decode
from monitoring.baseline import encode
from monitoring.build import build
from tests.coldpress.test_serve import children, connect, metrics, serving
from tests.handlers.bundles import write_bundle
from tests.handlers.monitor.world import answers, draw, model


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    x = draw(np.random.default_rng(0), 2000)
    baseline = encode(build({"x": x}, {"p": answers(x)}))
    return str(write_bundle(tmp_path_factory.mktemp("credit"), model(), name="credit", baseline=baseline))


class Client:
    """Some connections, which the workers share."""

    def __init__(self, url: str, connections: int = 1) -> None:
        self.connections = [connect(url) for _ in range(connections)]

    def get(self, path: str) -> tuple[int, str, bytes]:
        self.connections[0].request("GET", path)
        answer = self.connections[0].getresponse()
        return answer.status, answer.getheader("content-type") or "", answer.read()

    def ask(self, x: np.ndarray, prefix: str = "") -> None:
        """A request a row."""
        for number, row in enumerate(x.tolist()):
            self.send({"instances": [row]}, {"x-inference-id": f"{prefix}-{number}"} if prefix else {})

    def send(self, content: Any, headers: dict[str, str] | None = None) -> None:
        connection = self.connections.pop(0)
        self.connections.append(connection)
        connection.request("POST", "/v1/models/credit:predict", json.dumps(content), headers or {})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    def status(self, requests: int) -> Status:
        """Once so many were looked at."""
        for _ in range(100):
            code, kind, body = self.get("/monitor/status.json")
            assert (code, kind) == (200, "application/json")
            if (status := decode(body)).requests >= requests:
                return status
        raise AssertionError(body)


def turned(rng: np.random.Generator, count: int) -> np.ndarray:
    x = draw(rng, count)
    x[:, 1] *= 25
    return x


def test_the_page_says_yes_and_then_no_with_what_moved(bundle: str) -> None:
    rng = np.random.default_rng(5)
    with serving(bundle, "--workers", "2") as (_, url):
        client = Client(url, connections=4)
        code, kind, page = client.get("/monitor")
        assert (code, kind) == (200, "text/html; charset=utf-8")
        assert b"Unknown: no request" in page
        client.ask(draw(rng, 500))
        status = client.status(500)
        assert (status.requests, status.right, status.examples) == (500, True, [])
        assert b"Yes: 500 requests since" in client.get("/monitor")[2]

        client.ask(turned(rng, 400), "turned")
        client.send({"instances": turned(rng, 1).tolist()}, {"x-inference-id": "turned-0"})  # counts once
        status = client.status(900)
        assert (status.requests, status.right, status.alarms) == (900, False, ["drift"])
        assert status.changes[0].feature == "x[1]"
        assert status.counts["duplicated"] == 1
        assert status.quality.unknown == "`coldpress serve` takes no labels"
        page = client.get("/monitor")[2]
        assert b"No: x[1] is wider since" in page
        assert status.examples[0].id.startswith("turned-")
        assert status.examples[0].id.encode() in page
        assert metrics(url)["coldpress_unwatched_requests_total"] == 0


def test_where_others_can_reach_the_server_the_page_holds_no_request(bundle: str) -> None:
    rng = np.random.default_rng(5)
    with serving(bundle, "--workers", "1", "--host", "0.0.0.0") as (_, url):
        client = Client(url.replace("0.0.0.0", "127.0.0.1"))
        client.ask(turned(rng, 200), "turned")
        status = client.status(200)
        assert (status.right, status.examples) == (False, [])
        assert b"turned-1" not in client.get("/monitor")[2]


def test_what_is_refused_or_too_large_is_not_watched_and_that_is_counted(bundle: str) -> None:
    rng = np.random.default_rng(5)
    with serving(bundle, "--workers", "1") as (_, url):
        client = Client(url)
        client.connections[0].request("POST", "/v1/models/credit:predict", b'{"instances": [[1]]}')
        answer = client.connections[0].getresponse()
        assert (answer.status, bool(answer.read())) == (400, True)
        client.send({"inputs": np.round(draw(rng, 70_000), 1).tolist()})  # 1.9 MB as tensors
        client.send({"inputs": draw(rng, 3).tolist()})
        status = client.status(3)
        assert (status.requests, status.counts) == (3, {"read": 1, "unwatched": 1})
        assert metrics(url)["coldpress_unwatched_requests_total"] == 1


def test_a_bundle_without_a_baseline_is_served_and_the_page_says_so(tmp_path: Path) -> None:
    with serving(str(write_bundle(tmp_path, model(), name="credit"))) as (_, url):
        client = Client(url)
        client.ask(draw(np.random.default_rng(5), 10))
        assert client.status(0).right is None
        page = client.get("/monitor")[2].decode()
        assert "Unknown: baseline.json of" in page
        assert "press the model again." in page
        assert client.get("/monitor")[0] == 200


def test_without_the_process_that_watches_requests_are_answered(bundle: str) -> None:
    with serving(bundle, "--workers", "1", "--max-batch", "1") as (server, url):
        client = Client(url)
        client.ask(draw(np.random.default_rng(5), 10))
        assert client.status(10).requests == 10
        os.kill(children(server)[1], signal.SIGKILL)
        assert server.stderr is not None
        assert "the process that watches the requests was killed by signal 9" in server.stderr.readline()
        client.ask(draw(np.random.default_rng(5), 10))
        code, _, body = client.get("/monitor")
        assert (code, b"start it anew" in body) == (503, True)


DEAF = """
import signal, sys
from coldpress.main import main
from coldpress.server import supervisor

def deaf(*_, **__):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()

supervisor.watch = deaf
sys.exit(main(sys.argv[1:]))
"""


def test_a_server_ends_though_the_process_that_watches_misses_the_signal(bundle: str) -> None:
    command = [sys.executable, "-c", DEAF, "serve", bundle, "--workers", "1", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("http://")
        server.send_signal(signal.SIGTERM)
        try:
            assert server.wait(20) == 0
        finally:
            server.kill()


def test_the_page_is_only_read(bundle: str) -> None:
    with serving(bundle, "--workers", "1") as (_, url):
        connection = connect(url)
        connection.request("POST", "/monitor", b"{}")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("allow")) == (405, "GET")
