"""`coldpress serve` and `coldpress invoke` as commands, over HTTP."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from bundle.arrays import golden_samples, load_npz
from tests.handlers.bundles import write_bundle
from tests.handlers.models import loop

BIN = Path(sys.executable).parent


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command and its URL; it must end well."""
    command = [str(BIN / "coldpress"), "serve", *arguments, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server, server.stdout.readline().strip()
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        finally:
            server.kill()


@pytest.fixture(scope="module")
def url(pressed: Path) -> Iterator[str]:
    with serving(str(pressed)) as (_, url):
        yield url


def connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)


def metrics(url: str) -> dict[str, float]:
    connection = connect(url)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    assert (answer.getheader("content-type") or "").startswith("text/plain; version=0.0.4")
    lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (li.rsplit(" ", 1) for li in lines if li[0] != "#")}


def children(server: subprocess.Popen[str]) -> list[int]:
    """Its processes in the order of their start: workers, and then the one that watches."""
    task = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    return [int(pid) for pid in task.read_text().split()]


def invoke(*arguments: str, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "coldpress"), "invoke", *arguments], check=False, capture_output=True, text=True, **options
    )


def test_golden_samples_come_back(url: str, pressed: Path) -> None:
    for inputs, outputs in golden_samples(load_npz(pressed / "golden.npz")):
        ((name, array),) = inputs.items()
        entry = {"name": name, "shape": array.shape, "datatype": "FP32", "data": array.ravel().tolist()}
        done = invoke(url, "--path", "/infer", "--data", "-", input=json.dumps({"inputs": [entry]}))
        assert (done.returncode, done.stderr) == (0, "")
        (output,) = json.loads(done.stdout)["outputs"]
        expected = outputs[output["name"]]
        got = np.array(output["data"], np.float32).reshape(output["shape"])
        assert np.abs(got - expected).max() < 0.1
        assert (got.argmax(-1) == expected.argmax(-1)).all()


def test_tensorflow_serving_answers_too(url: str) -> None:
    connection = connect(url)
    body = json.dumps({"instances": [[0.5] * 64, [0.1] * 64]})
    for _ in range(2):  # the connection stays open
        connection.request("POST", "/v1/models/classifier:predict", body)
        answer = connection.getresponse()
        assert answer.status == 200
        assert np.array(json.loads(answer.read())["predictions"]).shape == (2, 5)


def test_a_wrong_request_is_said_and_the_status_is_1(url: str) -> None:
    done = invoke(url, "--path", "/infer", "--data", "{}")
    assert done.returncode == 1
    assert "error" in json.loads(done.stdout)
    assert done.stderr == "coldpress invoke: the endpoint answered 400.\n"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [("Content-Length", "99999999", 413), ("Transfer-Encoding", "chunked", 411)],
)
def test_bodies_that_are_not_read(url: str, header: str, value: str, status: int) -> None:
    connection = connect(url)
    connection.putrequest("POST", f"{urlsplit(url).path}/infer")
    connection.putheader(header, value)
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == status
    assert "error" in json.loads(answer.read())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere"),
        (["s3://only-a-bucket"], "is not s3://BUCKET/NAME/REFERENCE"),
        (["BUNDLE", "--port", "99999"], "port 99999 cannot be used"),
        (["BUNDLE", "--port", "0", "--transform", "nowhere:T"], "No module named 'nowhere'"),
        (["BUNDLE", "--port", "0", "--host", "192.0.2.1"], "cannot be used"),
    ],
)
def test_wrong_input_is_one_sentence(pressed: Path, arguments: list[str], sentence: str) -> None:
    command = [str(BIN / "coldpress"), "serve", *(str(pressed) if a == "BUNDLE" else a for a in arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_said(pressed: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [str(BIN / "coldpress"), "serve", str(pressed), "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "cannot be used" in done.stderr


@pytest.mark.parametrize("arguments", [["--workers", "0"], ["--batch-delay", "-1"], ["--max-batch", "x"]])
def test_options_that_make_no_sense_are_said(pressed: Path, arguments: list[str]) -> None:
    command = [str(BIN / "coldpress"), "serve", str(pressed), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert arguments[0] in done.stderr


def test_metrics_count_what_was_answered_by_all_workers(pressed: Path) -> None:
    rows = [[0.5] * 64, [0.1] * 64]
    with serving(str(pressed), "--workers", "2", "--max-batch", "1") as (_, url):
        connections = [connect(url) for _ in range(6)]
        for connection in connections:
            connection.request("POST", "/v1/models/classifier:predict", json.dumps({"instances": rows}))
        assert [connection.getresponse().status for connection in connections] == [200] * 6
        connections[0].close()
        invoke(url, "--path", "/infer", "--data", "{}")
        found = metrics(url)
    assert found['coldpress_requests_total{protocol="tfserving",status="2xx"}'] == 6
    assert found['coldpress_requests_total{protocol="oip",status="4xx"}'] == 1
    assert found['coldpress_request_duration_seconds_count{protocol="tfserving"}'] == 6
    assert found['coldpress_request_duration_seconds_bucket{protocol="tfserving",le="+Inf"}'] == 6
    assert 0 < found['coldpress_request_duration_seconds_sum{protocol="tfserving"}'] < 60
    assert (found["coldpress_batch_rows_count"], found["coldpress_batch_rows_sum"]) == (6, 12)
    assert found["coldpress_workers"] == found["coldpress_worker_starts_total"] == 2
    digest = pressed.name
    assert found[f'coldpress_model_info{{model="classifier",version="1",digest="{digest}"}}'] == 1


def test_a_request_that_is_arriving_when_it_is_stopped_is_answered(pressed: Path) -> None:
    with serving(str(pressed), "--workers", "1") as (server, url):
        body = json.dumps({"instances": [[0.5] * 64]}).encode()
        idle, busy = connect(url), connect(url)
        idle.request("GET", "/v2")
        assert idle.getresponse().read()
        busy.putrequest("POST", "/v1/models/classifier:predict")
        busy.putheader("Content-Length", str(len(body)))
        busy.putheader("Expect", "100-continue")
        busy.endheaders(body[:-1])
        metrics(url)  # one worker, one event loop: by its answer, the head has been read
        server.send_signal(signal.SIGTERM)
        assert idle.sock.recv(1) == b""  # an idle connection is closed at once
        busy.send(body[-1:])
        answer = busy.getresponse()
        assert answer.status == 200
        assert answer.getheader("connection") == "close"
        assert len(json.loads(answer.read())["predictions"]) == 1
        assert server.wait(20) == 0


def test_a_run_that_is_late_is_504_and_the_worker_lives_on(tmp_path: Path) -> None:
    bundle = str(write_bundle(tmp_path, loop(), name="loop"))
    with serving(bundle, "--workers", "1", "--max-batch", "1", "--timeout", "0.3") as (server, url):
        started = children(server)
        connection = connect(url)
        for steps, status in ((10**9, 504), (1, 200)):
            connection.request("POST", "/v1/models/loop:predict", json.dumps({"inputs": [steps]}))
            answer = connection.getresponse()
            assert answer.status == status, answer.read()
            answer.read()
        assert children(server) == started
        assert metrics(url)['coldpress_requests_total{protocol="tfserving",status="5xx"}'] == 1


def test_a_worker_that_is_killed_is_replaced(pressed: Path) -> None:
    with serving(str(pressed), "--workers", "1", "--max-batch", "1") as (server, url):
        _, watching = children(server)
        for _ in range(2):
            (worker,) = set(children(server)) - {watching}
            os.kill(worker, signal.SIGKILL)
            assert server.stderr is not None
            assert "a worker was killed by signal 9; another one takes its place" in server.stderr.readline()
            assert invoke(url, "--path", "/ready").returncode == 0
            assert worker not in children(server)
        assert metrics(url)["coldpress_worker_starts_total"] == 3


def test_a_worker_whose_bundle_is_gone_ends_the_server(pressed: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(pressed, tmp_path / "bundle")
    command = [str(BIN / "coldpress"), "serve", str(bundle), "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        metrics(server.stdout.readline().strip())
        shutil.rmtree(bundle)
        for worker in children(server):
            os.kill(worker, signal.SIGKILL)
        assert server.wait(20) == 2
        assert server.stderr.read().splitlines()[-1].startswith("coldpress serve: error: ")


def test_invoke_where_nobody_answers() -> None:
    done = invoke("http://127.0.0.1:9")
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    done = invoke("file:///etc/passwd")
    assert done.returncode == 2
    assert "no http or https address" in done.stderr
