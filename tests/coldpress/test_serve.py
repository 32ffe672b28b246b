"""`coldpress serve` and `coldpress invoke` as commands, over HTTP."""

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from bundle.arrays import golden_samples, load_npz

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def url(pressed: Path) -> Iterator[str]:
    command = [str(BIN / "coldpress"), "serve", str(pressed), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0


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
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
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
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    connection.putrequest("POST", f"{parts.path}/infer")
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
    ],
)
def test_wrong_input_is_one_sentence(pressed: Path, arguments: list[str], sentence: str) -> None:
    command = [str(BIN / "coldpress"), "serve", *(str(pressed) if a == "BUNDLE" else a for a in arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_invoke_where_nobody_answers() -> None:
    done = invoke("http://127.0.0.1:9")
    assert done.returncode == 2
    assert "cannot be reached" in done.stderr
    done = invoke("file:///etc/passwd")
    assert done.returncode == 2
    assert "no http or https address" in done.stderr
