"""Our own loop, and AWS's runtime client, under the real Runtime Interface Emulator."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

RIE = shutil.which("aws-lambda-rie", path=str(Path(sys.executable).parent))
REPOSITORY = Path(__file__).parents[2]
ROWS = '{"instances": [[1, 2, 3]]}'
PYTHON_PATH = os.pathsep.join([str(REPOSITORY), sysconfig.get_path("platlib")])
ENTRIES = {
    "own loop": [sys.executable, "-I", "-S", str(REPOSITORY / "handlers/inference/bootstrap.py")],
    "awslambdaric": [sys.executable, "-m", "awslambdaric", "handlers.inference.app.handler"],
}
# As the emulator starts what is provisioned; the first invocation only starts it.
AHEAD = [sys.executable, "-I", str(REPOSITORY / "emulator/prewarm.py"), *ENTRIES["own loop"]]


class Environment:
    """One Lambda environment: RIE, and the process that it starts at the first invocation."""

    def __init__(self, log: Path, entry: list[str], variables: dict[str, str]) -> None:
        self.log = log
        self.port, api_port = free_port(), free_port()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    str(RIE),
                    "--runtime-interface-emulator-address",
                    f"127.0.0.1:{self.port}",
                    "--runtime-api-address",
                    f"127.0.0.1:{api_port}",
                    *entry,
                ],
                cwd=REPOSITORY,
                env={"PATH": os.environ["PATH"], "PYTHONPATH": PYTHON_PATH, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def invoke(self, event: object) -> tuple[int, bytes]:
        deadline = time.monotonic() + 60
        while True:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request(
                    "POST", "/2015-03-31/functions/function/invocations", json.dumps(event).encode()
                )
                response = connection.getresponse()
                return response.status, response.read()
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            finally:
                connection.close()

    def metrics(self) -> list[dict]:
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line[line.index("{") :]) for line in lines if '"CloudWatchMetrics"' in line]

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(60)


@pytest.fixture(params=ENTRIES)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator:
    started: list[Environment] = []

    def start_one(**variables: str) -> Environment:
        log = tmp_path / f"log{len(started)}"
        entry = AHEAD if request.param == "ahead" else ENTRIES[request.param]
        started.append(Environment(log, entry, variables))
        if request.param == "ahead":
            assert started[-1].invoke({}) == (200, b"null")
        return started[-1]

    yield start_one
    for environment in started:
        environment.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def event(body: str, path: str = "/v1/models/toy:predict") -> dict:
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"stage": "$default", "http": {"method": "POST"}},
        "body": body,
        "isBase64Encoded": False,
    }


@pytest.mark.parametrize("start", ["own loop", "ahead"], indirect=True)
def test_a_rest_api_that_streams_gets_head_and_body_apart(start, affine_bundle):
    environment = start(COLDPRESS_BUNDLE_DIR=str(affine_bundle))
    asked = {
        "httpMethod": "POST",
        "path": "/v1/models/toy:predict",
        "requestContext": {},
        "stageVariables": {"streaming": "1"},
        "headers": {"content-type": "application/json"},
        "body": ROWS,
    }
    for _ in range(2):  # the connection to Lambda's API is still good after a stream
        status, answered = environment.invoke(asked)
        head, separator, body = answered.partition(bytes(8))
        assert (status, json.loads(head)["statusCode"], len(separator)) == (200, 200, 8)
        assert body == b'{"predictions":[[3.0,5.0,7.0]]}'
    # Who asks by Lambda's Invoke, as the check does, gets JSON.
    assert json.loads(environment.invoke(event(ROWS))[1])["statusCode"] == 200


def test_requests_answers_and_their_metrics(start, affine_bundle):
    environment = start(COLDPRESS_BUNDLE_DIR=str(affine_bundle), COLDPRESS_VERSION="3")
    status, answered = environment.invoke(event(ROWS))
    reply = json.loads(answered)
    assert (status, reply["statusCode"]) == (200, 200)
    assert reply["body"] == '{"predictions":[[3.0,5.0,7.0]]}'
    refused = json.loads(environment.invoke(event('{"instances": "payload-of-the-client"}'))[1])
    assert refused["statusCode"] == 400
    # An event that is none fails alone: the environment answers the next one.
    unknown = json.loads(environment.invoke({"Records": []})[1])
    assert unknown["errorType"] == "UnknownEvent"
    assert unknown["errorMessage"].startswith("the event is none of API Gateway's")
    assert json.loads(environment.invoke(event(ROWS))[1])["statusCode"] == 200

    first, second, third = environment.metrics()
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "coldpress"
    assert directive["Dimensions"] == [["Model", "Version"]]
    units = {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}
    assert units["Latency"] == "Milliseconds"
    assert units.keys() <= first.keys()
    assert (first["Model"], first["Version"], first["Requests"]) == ("toy", "3", 1)
    assert 0 < first["Latency"] < 10_000
    assert abs(first["_aws"]["Timestamp"] / 1000 - time.time()) < 60
    assert [line["ColdStarts"] for line in (first, second, third)] == [1, 0, 0]
    assert [line["ClientErrors"] for line in (first, second, third)] == [0, 1, 0]
    assert [line["Errors"] for line in (first, second, third)] == [0, 0, 0]
    assert len({line["RequestId"] for line in (first, second, third)}) == 3
    assert "payload-of-the-client" not in environment.log.read_text()


def test_a_late_run_is_504_and_the_environment_lives_on(start, make_bundle):
    environment = start(COLDPRESS_BUNDLE_DIR=str(make_bundle("loop")), AWS_LAMBDA_FUNCTION_TIMEOUT="2")
    late = json.loads(environment.invoke(event('{"inputs": [1000000000]}'))[1])
    assert late["statusCode"] == 504
    assert json.loads(late["body"])["error"].startswith("the answer was not ready in the time")
    assert json.loads(environment.invoke(event('{"inputs": [1]}'))[1])["statusCode"] == 200
    first, second = environment.metrics()
    assert (first["Status"], first["ColdStarts"], second["Status"], second["ColdStarts"]) == (504, 1, 200, 0)


def test_provisioned_concurrency_has_no_cold_start(start, affine_bundle):
    environment = start(
        COLDPRESS_BUNDLE_DIR=str(affine_bundle), AWS_LAMBDA_INITIALIZATION_TYPE="provisioned-concurrency"
    )
    environment.invoke(event(ROWS))
    assert [line["ColdStarts"] for line in environment.metrics()] == [0]


def test_an_init_that_fails_says_why_and_answers_nothing(start, tmp_path):
    environment = start(COLDPRESS_BUNDLE_DIR=str(tmp_path))
    _, answered = environment.invoke(event(ROWS))
    failure = json.loads(answered)
    assert failure["errorType"] == "InitError"
    assert failure["errorMessage"].startswith(f"{tmp_path} is not a bundle: it holds no manifest.json.")
    assert "predictions" not in answered.decode()
