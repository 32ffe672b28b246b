"""What the image's process does after an answer: over a scripted runtime API, with a Lambda that records."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.handlers.scripted_api import ACCEPTED, FORBIDDEN, GONE, TOO_LARGE, Held, event, wait_for
from tests.handlers.test_runtime import run

ROWS = '{"instances": [[1, 2, 3]]}'


class Lambda:
    """Takes asynchronous invocations, or refuses them."""

    def __init__(self) -> None:
        self.status = 202
        self.taken: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.connections: set[tuple[str, int]] = set()
        self.closes = False
        self.is_open = threading.Event()
        self.is_open.set()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                recorder.is_open.wait(60)
                recorder.connections.add(self.client_address)
                recorder.taken.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(recorder.status)
                self.send_header("content-length", "0")
                self.send_header("x-amzn-errortype", "AccessDeniedException:http://internal/")
                self.end_headers()
                self.close_connection = recorder.closes

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def ids(self) -> list[str]:
        return [message["shadow"]["request_id"] for _, _, message in self.taken]


@pytest.fixture
def lambda_() -> Iterator[Lambda]:
    recorder = Lambda()
    yield recorder
    recorder.is_open.set()
    recorder.server.shutdown()
    recorder.server.server_close()


def asking(
    request_id: str, body: str = ROWS, *, path: str = "/v1/models/toy:predict", **headers: str
) -> bytes:
    http: dict[str, Any] = {"version": "2.0", "rawPath": path, "body": body}
    http["requestContext"] = {"http": {"method": "POST", "path": path}}
    http["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
    return event(json.dumps(http).encode(), request_id=request_id)


def variables(bundle: Path, address: str, share: float = 1) -> dict[str, str]:
    return {
        "COLDPRESS_BUNDLE_DIR": str(bundle),
        "COLDPRESS_VERSION": "7",
        "COLDPRESS_SHADOW_FUNCTION": "second",
        "COLDPRESS_SHADOW_SHARE": str(share),
        "AWS_ENDPOINT_URL_LAMBDA": address,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


def serve(
    scripted, start, variables: dict[str, str], *events: bytes, hasty: bool = False
) -> list[dict[str, Any]]:
    """Answer the events, and what follows the last of them; the answers."""
    script = [part for one in events for part in (one, ACCEPTED)]
    scripted.play(*script, Held(event()))
    process = start(hasty=hasty, **variables)
    wait_for(scripted, 2 * len(events) + 1)
    process.kill()
    return [json.loads(body) for first, _, body in scripted.requests if first.startswith("POST")]


def metrics(text: str, name: str) -> list[dict[str, Any]]:
    """The lines that count the metric."""
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line.get(name)]


def test_a_request_and_its_answer_are_sent(scripted, start, affine_bundle, lambda_):
    (answer,) = serve(scripted, start, variables(affine_bundle, lambda_.address), asking("1"))
    ((path, headers, message),) = lambda_.taken
    assert path == "/2015-03-31/functions/second/invocations"
    assert headers["x-amz-invocation-type"] == "Event"
    assert "/eu-central-1/lambda/aws4_request" in headers["authorization"]
    assert message["shadow"] == {"version": "7", "request_id": "1"}
    assert message["event"]["body"] == ROWS
    assert message["reply"] == answer
    assert json.loads(answer["body"]) == {"predictions": [[3, 5, 7]]}


def test_the_answer_is_on_its_way_before_anything_is_sent(scripted, start, affine_bundle, lambda_):
    taken = Held(ACCEPTED)
    scripted.play(asking("1"), taken, Held(event()))
    start(**variables(affine_bundle, lambda_.address))
    wait_for(scripted, 2)
    assert scripted.requests[1][0].split()[1].endswith("/1/response")
    assert lambda_.ids == []
    taken.now.set()
    wait_for(scripted, 1)
    assert lambda_.ids == ["1"]


def test_the_share_is_decided_by_the_callers_id(scripted, start, affine_bundle, lambda_):
    def is_among(name: str) -> bool:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < 0.3 * 2**64

    x = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
    events, expected = [], []
    for number in range(60):
        name = f"caller-{number // 2}"  # each comes twice, as a retry does
        if number % 3:
            events.append(asking(str(number), X_Inference_Id=name))
        else:
            body = json.dumps({"id": name, "inputs": [x]})
            events.append(asking(str(number), body, path="/v2/models/toy/infer"))
        expected += [str(number)] * is_among(name)
    for number in range(60, 90):  # without one it is Lambda's
        events.append(asking(str(number)))
        expected += [str(number)] * is_among(str(number))
    serve(scripted, start, variables(affine_bundle, lambda_.address, 0.3), *events)
    assert lambda_.ids == expected
    assert 10 < len(expected) < 50
    assert len(lambda_.connections) == 1


def test_a_connection_that_was_closed_meanwhile_is_made_again(scripted, start, affine_bundle, lambda_, capfd):
    lambda_.closes = True
    serve(scripted, start, variables(affine_bundle, lambda_.address), asking("1"), asking("2"), asking("3"))
    assert lambda_.ids == ["1", "2", "3"]
    assert len(lambda_.connections) == 3
    assert metrics(capfd.readouterr().out, "ShadowFailures") == []


def test_only_answers_of_the_model_are_sent(scripted, start, affine_bundle, lambda_):
    wrong = asking("1", '{"instances": "no"}')
    described = asking("2", "{}", path="/v2/repository/index")
    answers = serve(scripted, start, variables(affine_bundle, lambda_.address), wrong, described, asking("3"))
    assert [answer["statusCode"] for answer in answers] == [400, 200, 200]
    assert lambda_.ids == ["3"]


def test_a_lambda_that_is_gone_costs_no_answer_and_is_counted(scripted, start, affine_bundle, lambda_, capfd):
    lambda_.server.server_close()
    environ = variables(affine_bundle, lambda_.address)
    answers = serve(scripted, start, environ, asking("1"), asking("2"))
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    counted = metrics(capfd.readouterr().out, "ShadowFailures")
    assert [(line["RequestId"], line["Version"]) for line in counted] == [("1", "7"), ("2", "7")]
    assert counted[0]["_aws"]["CloudWatchMetrics"] == [
        {
            "Namespace": "coldpress",
            "Dimensions": [["Model", "Version"]],
            "Metrics": [{"Name": "ShadowFailures", "Unit": "Count"}],
        }
    ]


def test_a_refusal_is_counted_with_its_reason(scripted, start, affine_bundle, lambda_, capfd):
    lambda_.status = 403
    serve(scripted, start, variables(affine_bundle, lambda_.address), asking("1"))
    (line,) = metrics(capfd.readouterr().out, "ShadowFailures")
    assert line["Reason"] == "Lambda refuses it with status 403 AccessDeniedException"


def test_a_lambda_that_does_not_answer_is_left_after_half_a_second(
    scripted, start, affine_bundle, lambda_, capfd
):
    lambda_.is_open.clear()
    environ = variables(affine_bundle, lambda_.address)
    answers = serve(scripted, start, environ, asking("1"), asking("2"), hasty=True)
    assert len(answers) == 2
    assert len(metrics(capfd.readouterr().out, "ShadowFailures")) == 2
    lambda_.is_open.set()
    assert lambda_.ids.count("1") <= 1


def test_what_lambda_does_not_carry_is_not_sent_and_counted(scripted, start, affine_bundle, lambda_, capfd):
    rows = json.dumps({"instances": [[0.125, 2.5, 3.75]] * 40_000})
    serve(scripted, start, variables(affine_bundle, lambda_.address), asking("1", rows), asking("2"))
    assert lambda_.ids == ["2"]
    (line,) = metrics(capfd.readouterr().out, "ShadowTooLarge")
    assert line["RequestId"] == "1"
    assert line["Reason"].endswith("of the 1048576 that an asynchronous invocation takes")


def test_a_share_that_is_none_stops_the_start(scripted, start, affine_bundle, lambda_):
    scripted.play(ACCEPTED)
    process = start(**{**variables(affine_bundle, lambda_.address), "COLDPRESS_SHADOW_SHARE": "5 %"})
    assert process.wait(60) == 1
    assert b"COLDPRESS_SHADOW_SHARE is no share" in process.stderr.read()


def test_nothing_follows_an_answer_that_was_not_taken(scripted):
    followed: list[str] = []
    api = scripted.play(
        event(), TOO_LARGE, FORBIDDEN, event(deadline_s=-1), event(request_id="3"), ACCEPTED, GONE
    )
    run(api, lambda _: b"{}", lambda invocation, _: followed.append(invocation.request_id))
    assert followed == ["3"]


def test_what_follows_may_fail(scripted, capfd):
    def fail(*_: object) -> None:
        raise ValueError("payload-of-the-client")

    run(scripted.play(event(), ACCEPTED, event(), ACCEPTED, GONE), lambda _: b"{}", fail)
    assert len(scripted.requests) == 5
    log = capfd.readouterr().err
    assert "RequestId: 1 what follows an answer failed with ValueError at test_after.py:" in log
    assert "payload-of-the-client" not in log
