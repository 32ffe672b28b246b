"""The runtime API's calls and the loop over them, against a scripted API."""

import itertools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.inference.runtime import Loop
from handlers.inference.runtime_api import ApiError, Invocation, RuntimeApi, Stream
from tests.handlers.scripted_api import (
    ACCEPTED,
    CUT,
    FORBIDDEN,
    GONE,
    TOO_LARGE,
    Held,
    answered,
    asking,
    event,
    wait_for,
)

REPOSITORY = Path(__file__).parents[2]


def chunked(body: bytes, size: int) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    chunks = b"".join(b"%x;note\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\nTrailer: 1\r\n\r\n"


def run(
    api: RuntimeApi,
    answer: Callable[[Invocation], bytes],
    after: Callable[[Invocation, bytes], None] | None = None,
) -> None:
    """The loop, until the scripted API is gone."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(ApiError):
            Loop(api, answer, after).run()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_event_and_its_answer_on_one_connection(scripted):
    api = scripted.play(
        event(b'{"a": 1}', request_id="8476-a", more="Lambda-Runtime-Trace-Id: Root=1\r\n"), ACCEPTED
    )
    invocation = api.next()
    assert (invocation.request_id, invocation.event) == ("8476-a", b'{"a": 1}')
    assert invocation.trace_id == "Root=1"
    assert 50 < invocation.deadline_ms / 1000 - time.time() < 61
    assert api.respond("8476-a", b'{"statusCode":200}')
    (asked, _, _), (answered, headers, body) = scripted.requests
    assert asked == "GET /2018-06-01/runtime/invocation/next HTTP/1.1"
    assert answered == "POST /2018-06-01/runtime/invocation/8476-a/response HTTP/1.1"
    assert (headers["content-type"], body) == ("application/json", b'{"statusCode":200}')
    assert scripted.connections == 1


class Segments:
    """A connected socket whose peer's segments arrive one by one."""

    def __init__(self, segments: Iterable[bytes]) -> None:
        self._segments = iter(segments)
        self._rest = b""

    def recv(self, size: int, flags: int = 0) -> bytes:
        self._rest = self._rest or next(self._segments, b"")
        data = self._rest[:size]
        if not flags:
            self._rest = self._rest[size:]
        return data

    def sendall(self, data: bytes) -> None:
        pass


@given(
    body=st.binary(max_size=300),
    size=st.integers(1, 40),
    cuts=st.lists(st.integers(0, 900), max_size=8),
    is_chunked=st.booleans(),
)
def test_an_answer_is_read_however_it_is_cut(body, size, cuts, is_chunked):
    """In chunks or not, in segments of any length, announced by a 1xx or not."""
    whole = b"HTTP/1.1 100 Continue\r\n\r\n" + (chunked(body, size) if is_chunked else event(body))
    ends = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(ends)]
    api = RuntimeApi("127.0.0.1:1")
    api._socket = Segments(piece for piece in pieces if piece)
    assert api.next().event == body


def test_six_megabytes_come_and_go(scripted):
    body = os.urandom(3 * 1024**2).hex().encode()
    api = scripted.play([event(body)[:70_000], event(body)[70_000:]], ACCEPTED)
    assert api.next().event == body
    assert api.respond("1", body)
    assert scripted.requests[1][2] == body


@pytest.mark.parametrize("how", ["closed while it waits", "announced"])
def test_a_connection_that_ends_is_made_again(scripted, how):
    if how == "announced":
        close = ACCEPTED.replace(b"Content-Length", b"Connection: close\r\nContent-Length")
        api = scripted.play(event(), close, event(request_id="2"))
    else:
        api = scripted.play(event(), ACCEPTED, CUT, event(request_id="2"))
    api.next()
    assert api.respond("1", b"{}")
    assert api.next().request_id == "2"
    assert scripted.connections == 2


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.0.0.1:", "127.0.0.1:http"], ids=["none", "no port", "empty", "a name"]
)
def test_no_runtime_api_is_a_sentence(address):
    with pytest.raises(ApiError, match="is not HOST:PORT"):
        RuntimeApi(address)


def test_an_api_that_nobody_answers_is_a_sentence(scripted):
    scripted._listener.close()
    with pytest.raises(ApiError, match="cannot be reached"):
        RuntimeApi(scripted.address).next()


@pytest.mark.parametrize("answer", [FORBIDDEN, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
def test_no_event_ends_the_process(scripted, answer):
    with pytest.raises(ApiError, match="no next event"):
        scripted.play(answer).next()


def test_something_else_behind_the_port_is_refused(scripted):
    with pytest.raises(ApiError, match="not HTTP"):
        scripted.play(b"220 mail.example.com ESMTP\r\n\r\n").next()


def test_the_loop_answers_and_goes_on_after_failures(scripted, capfd):
    def answer(invocation: Invocation) -> bytes:
        seen.append(os.environ.get("_X_AMZN_TRACE_ID"))
        if invocation.request_id == "bad":
            raise ValueError("payload-of-the-client")
        return b'{"statusCode":200}'

    seen: list[str | None] = []
    traced = event(request_id="good", more="Lambda-Runtime-Trace-Id: Root=1-2;Sampled=1\r\n")
    run(scripted.play(event(request_id="bad"), ACCEPTED, traced, ACCEPTED, event(), ACCEPTED, GONE), answer)
    _, failed, _, answered, _, _, _ = scripted.requests
    assert failed[0] == "POST /2018-06-01/runtime/invocation/bad/error HTTP/1.1"
    assert failed[1]["lambda-runtime-function-error-type"] == "Function.ValueError"
    assert json.loads(failed[2]) == {
        "errorType": "ValueError",
        "errorMessage": "The request failed inside the function; its log says where.",
        "stackTrace": [],
    }
    assert answered[0] == "POST /2018-06-01/runtime/invocation/good/response HTTP/1.1"
    assert seen == [None, "Root=1-2;Sampled=1", None]
    log = capfd.readouterr().err
    assert "RequestId: bad the request failed with ValueError at test_runtime.py:" in log
    assert "payload-of-the-client" not in log


def test_an_answer_that_is_too_large_fails_alone(scripted, capfd):
    # The API has told the client already and refuses the second word (403), or takes it.
    run(scripted.play(event(), TOO_LARGE, FORBIDDEN, event(request_id="2"), ACCEPTED, GONE), lambda _: b"{}")
    paths = [first.split()[1].removeprefix("/2018-06-01/runtime") for first, _, _ in scripted.requests]
    assert paths == [
        "/invocation/next",
        "/invocation/1/response",
        "/invocation/1/error",
        "/invocation/next",
        "/invocation/2/response",
        "/invocation/next",
    ]
    assert json.loads(scripted.requests[2][2])["errorType"] == "ResponseSizeTooLarge"
    assert "RequestId: 1 Lambda did not take the answer of 2 bytes" in capfd.readouterr().err


@pytest.mark.parametrize("body", [b"", b"abc", bytes(300_000)])
def test_a_stream_is_sent_in_chunks_as_api_gateway_reads_it(body):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        api = RuntimeApi(f"127.0.0.1:{listener.getsockname()[1]}")
        taken: list[bool] = []
        thread = threading.Thread(target=lambda: taken.append(api.respond("1", Stream(b'{"a":1}', body))))
        thread.start()
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            head = b"".join(iter(stream.readline, b"\r\n")).decode().lower()
            received = b""
            while size := int(stream.readline(), 16):
                received += stream.read(size)
                assert stream.readline() == b"\r\n"
            assert stream.readline() == b"\r\n"
            connection.sendall(ACCEPTED)
            thread.join(60)
    assert taken == [True]
    assert received == b'{"a":1}' + bytes(8) + body
    assert "lambda-runtime-function-response-mode: streaming" in head
    assert "content-type: application/vnd.awslambda.http-integration-response" in head
    assert "content-length" not in head


def test_an_answer_after_the_deadline_is_not_sent(scripted, capfd):
    run(scripted.play(event(deadline_s=-1), event(request_id="2"), ACCEPTED, GONE), lambda _: b"{}")
    assert [first.split()[1][-10:] for first, _, _ in scripted.requests] == [
        "ation/next",
        "ation/next",
        "2/response",
        "ation/next",
    ]
    assert "RequestId: 1 the answer is 1" in capfd.readouterr().err


def test_sigterm_while_answering_ends_the_loop_after_the_answer(scripted):
    def answer(_: Invocation) -> bytes:
        os.kill(os.getpid(), signal.SIGTERM)
        return b"{}"

    before = signal.getsignal(signal.SIGTERM)
    try:
        Loop(scripted.play(event(), ACCEPTED, event()), answer).run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [first.split()[0] for first, _, _ in scripted.requests] == ["GET", "POST"]


FOREVER = {"inputs": [10**9]}
A_MOMENT = {"inputs": [1]}


def test_a_run_that_is_late_is_ended_and_answered_504(scripted, start, make_bundle, capfd):
    began = time.time()
    script = [
        *(asking(FOREVER, request_id="late", seconds=6), ACCEPTED),
        *(asking(A_MOMENT, request_id="next", seconds=60), ACCEPTED),
    ]
    scripted.play(*script, Held(event()))
    process = start(COLDPRESS_BUNDLE_DIR=str(make_bundle("loop")))
    wait_for(scripted, 2)
    assert time.time() - began < 6
    wait_for(scripted, 3)
    process.kill()
    assert answered(scripted) == {"late": [504], "next": [200]}
    assert json.loads(json.loads(scripted.requests[1][2])["body"])["error"].startswith("the answer was not")
    metrics = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["RequestId"], line["Status"], line["Errors"]) for line in metrics] == [
        ("late", 504, 1),
        ("next", 200, 0),
    ]
    assert b"RequestId: late no answer is ready" in process.stderr.read()


HANGING = """
import os
from handlers.inference.messages import Response
from handlers.inference.tensor import Tensor

class Hanging:
    def decode(self, request):
        while not os.path.exists({path!r}):
            pass
        return {{"steps": Tensor("int64", [1], memoryview((1).to_bytes(8, "little")))}}

    def encode(self, outputs):
        return Response(200, {{}}, b"done")
"""


def test_code_that_hangs_is_answered_504_and_waited_for(scripted, start, make_bundle, tmp_path, capfd):
    (tmp_path / "hanging.py").write_text(HANGING.format(path=str(tmp_path / "go")))
    script = [
        *(asking(None, request_id="late", seconds=2, path=":transform"), ACCEPTED),
        *(asking(None, request_id="next", seconds=60, path=":transform"), ACCEPTED),
    ]
    scripted.play(*script, Held(event()))
    packages = [str(tmp_path), *(path for path in sys.path if path.endswith("site-packages"))]
    process = start(
        COLDPRESS_BUNDLE_DIR=str(make_bundle("loop")),
        COLDPRESS_TRANSFORM="hanging:Hanging",
        PYTHONPATH=os.pathsep.join(packages),
    )
    wait_for(scripted, 2)
    assert answered(scripted) == {"late": [504]}
    (tmp_path / "go").touch()
    wait_for(scripted, 3)
    process.kill()
    assert answered(scripted) == {"late": [504], "next": [200]}
    metrics = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [line["Status"] for line in metrics] == [504, 200]


def test_sigterm_while_a_run_is_late_ends_the_process_after_the_504(scripted, start, make_bundle):
    late = Sent(asking(FOREVER, request_id="late", seconds=2))
    scripted.play(late, ACCEPTED, event())
    process = start(COLDPRESS_BUNDLE_DIR=str(make_bundle("loop")))
    assert late.is_sent.wait(60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert answered(scripted) == {"late": [504]}


class Sent(list):
    """An answer after which ``is_sent`` is set."""

    def __init__(self, answer: bytes) -> None:
        super().__init__([answer])
        self.is_sent = threading.Event()

    def __iter__(self):
        yield from super().__iter__()
        self.is_sent.set()


def test_an_idle_process_ends_at_once_on_sigterm(scripted, start, affine_bundle):
    held = Held(event())
    scripted.play(held)
    process = start(COLDPRESS_BUNDLE_DIR=str(affine_bundle))
    assert scripted.is_asked.acquire(timeout=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    held.now.set()


def test_an_init_that_fails_is_reported_and_ends_the_process(scripted, start, tmp_path):
    scripted.play(ACCEPTED)
    process = start(COLDPRESS_BUNDLE_DIR=str(tmp_path))
    assert process.wait(60) == 1
    ((first, headers, body),) = scripted.requests
    assert first == "POST /2018-06-01/runtime/init/error HTTP/1.1"
    assert headers["lambda-runtime-function-error-type"] == "Runtime.InitError"
    assert json.loads(body)["errorMessage"].startswith(f"{tmp_path} is not a bundle")
    assert f"coldpress: init failed: {tmp_path} is not a bundle" in process.stderr.read().decode()


def test_without_lambda_the_process_says_what_is_missing(start):
    process = start(AWS_LAMBDA_RUNTIME_API="")
    assert process.wait(60) == 1
    assert "AWS_LAMBDA_RUNTIME_API is '', which is not HOST:PORT" in process.stderr.read().decode()
