"""HTTP/1.1 on one connection: whatever the pieces that bytes arrive in, and whatever the bytes."""

import asyncio
import json
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coldpress.server.http1 import MAX_BODY_BYTES, MAX_HEAD_BYTES, Connection, Reply
from handlers.inference.messages import Request, Response


class Wire(asyncio.Transport):
    """The client's side of a connection, in memory."""

    def __init__(self, *, answers_later: bool = False, is_stopping: bool = False) -> None:
        super().__init__()
        self.is_stopping = is_stopping
        self.requests: list[Request] = []
        self.sent = bytearray()
        self.is_closed = self.is_paused = self.is_half_closed = False
        self._later: list[Callable[[], None]] = []
        self._answers_later = answers_later
        self.connection = Connection(self)
        self.connection.connection_made(self)

    # What the server's side sees of its host.

    def opened(self, connection: Connection) -> None: ...

    def closed(self, connection: Connection) -> None: ...

    def answer(self, request: Request, reply: Reply) -> None:
        self.requests.append(request)
        response = Response(200, {"x-path": request.path}, request.body)
        self._later.append(lambda: reply(response))
        if not self._answers_later:
            self.answer_next()

    # What it sees of its transport.

    def write(self, data: object) -> None:
        self.sent += data  # type: ignore[arg-type]

    def write_eof(self) -> None:
        self.is_half_closed = True

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    # What a test does.

    def answer_next(self) -> None:
        self._later.pop(0)()

    def send(self, data: bytes, step: int = 1 << 30) -> None:
        while data and not self.is_closed:
            while self.is_paused:  # it reads on once it has answered what it holds
                self.answer_next()
            room = self.connection.get_buffer(-1)
            assert len(room)
            piece, data = data[: min(step, len(room))], data[min(step, len(room)) :]
            room[: len(piece)] = piece
            self.connection.buffer_updated(len(piece))
        while self._later:
            self.answer_next()

    def responses(self) -> list[tuple[int, dict[str, str], bytes]]:
        """Read strictly, all of them as answers that have a body."""
        rest, found = bytes(self.sent), []
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            line = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", first)
            assert line is not None
            headers = dict(text.split(": ", 1) for text in lines)
            if line[1] != "100":
                length = int(headers["content-length"])
                found.append((int(line[1]), headers, rest[:length]))
                rest = rest[length:]
        return found


def talk(*pieces: bytes, **how: bool) -> Wire:
    async def main() -> Wire:
        wire = Wire(**how)
        for piece in pieces:
            wire.send(piece)
        return wire

    return asyncio.run(main())


def encode(method: str, path: str, body: bytes) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: here\r\nX-Long:  a b \r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


METHODS = st.sampled_from(["GET", "POST", "PUT", "BREW"])
PATHS = st.from_regex(r"/[a-zA-Z0-9/:%._-]{0,30}", fullmatch=True)
BODIES = st.builds(
    lambda text, times: text * times, st.binary(max_size=50), st.sampled_from([1, 1, 1300, 3000])
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(METHODS, PATHS, BODIES), min_size=1, max_size=6),
    st.sampled_from([1, 2, 3, 7, 100, 65_536, 1 << 20]),
    st.booleans(),
)
@example([("GET", "/", bytes(33_000))] * 3, 1, True)  # more than is read before the first is answered
def test_requests_are_the_same_in_any_pieces(
    requests: list[tuple[str, str, bytes]], step: int, answers_later: bool
) -> None:
    async def main() -> Wire:
        wire = Wire(answers_later=answers_later)
        data = b"".join(encode(*request) for request in requests)
        wire.send(data, max(step, len(data) // 300))
        return wire

    wire = asyncio.run(main())
    assert [(r.method, r.path, r.body) for r in wire.requests] == requests
    assert [(status, body) for status, _, body in wire.responses()] == [
        (200, body) for _, _, body in requests
    ]
    assert [headers["x-path"] for _, headers, _ in wire.responses()] == [path for _, path, _ in requests]
    assert all(request.headers["x-long"] == "a b" for request in wire.requests)
    assert not wire.is_closed


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda t: f"GET /{t}\r\n\r\n".encode())))
def test_any_bytes_are_answered_or_waited_for(data: bytes) -> None:
    wire = talk(data)
    assert not wire.requests
    for status, headers, body in wire.responses():
        assert status in (400, 411, 413, 417, 505)
        assert headers["connection"] == "close"
        assert list(json.loads(body)) == ["error"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n", 417),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode(), 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * MAX_HEAD_BYTES, 431),
    ],
)
def test_what_is_ambiguous_is_refused_and_nothing_after_it_is_read(data: bytes, status: int) -> None:
    wire = talk(data, b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [answer[0] for answer in wire.responses()] == [status]
    assert not wire.requests
    assert wire.is_half_closed


def test_a_body_may_wait_to_be_asked_for() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    wire = talk(head)
    assert bytes(wire.sent) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert talk(head, b"ok").responses()[-1][2] == b"ok"
    assert b"Continue" not in talk(head + b"ok").sent
    assert talk(head.replace(b"th: 2", b"th: 99999999")).responses()[0][0] == 413


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"\r\n\r\nGET http://a/path?q HTTP/1.1\r\nHost: a\r\n\r\n", True),
    ],
)
def test_the_connection_stays_open_where_both_want_it(data: bytes, stays: bool) -> None:
    wire = talk(data)
    assert len(wire.requests) == 1
    assert wire.is_closed != stays
    assert ("connection" in wire.responses()[0][1]) != stays
    wire = talk(data, is_stopping=True)
    assert wire.is_closed


def test_head_has_no_body() -> None:
    wire = talk(b"HEAD /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert wire.sent.endswith(b"\r\n\r\n")
    assert b"content-length: 3\r\n" in wire.sent


def test_a_client_that_does_not_read_gets_no_more() -> None:
    async def main() -> None:
        wire = Wire()
        wire.connection.pause_writing()
        wire.send(encode("GET", "/1", b"") + encode("GET", "/2", b""))
        assert not wire.requests
        wire.connection.resume_writing()
        assert [request.path for request in wire.requests] == ["/1", "/2"]

    asyncio.run(main())


def test_a_client_that_sends_on_while_it_waits_is_slowed_down() -> None:
    async def main() -> None:
        wire = Wire(answers_later=True)
        flood = encode("GET", "/", b"") * 2000
        sent = 0
        while not wire.is_paused:
            room = wire.connection.get_buffer(-1)
            piece = flood[sent : sent + len(room)]
            room[: len(piece)] = piece
            sent += len(piece)
            wire.connection.buffer_updated(len(piece))
        assert len(wire.requests) == 1
        assert sent <= 2 * MAX_HEAD_BYTES
        wire.answer_next()
        assert len(wire.requests) == 2
        assert not wire.is_paused

    asyncio.run(main())


def test_an_answer_reaches_a_client_that_has_closed_its_half() -> None:
    async def main() -> None:
        wire = Wire(answers_later=True)
        room = wire.connection.get_buffer(-1)
        data = encode("GET", "/", b"")
        room[: len(data)] = data
        wire.connection.buffer_updated(len(data))
        assert wire.connection.eof_received()
        wire.answer_next()
        assert wire.responses()[0][0] == 200
        assert wire.is_closed

    asyncio.run(main())


def test_a_silent_connection_is_closed_and_a_busy_one_is_not() -> None:
    async def main() -> None:
        wire = Wire(answers_later=True)
        later = asyncio.get_running_loop().time() + 61
        room = wire.connection.get_buffer(-1)
        data = encode("GET", "/", b"")
        room[: len(data)] = data
        wire.connection.buffer_updated(len(data))
        wire.connection.abort_if_idle(later)
        assert not wire.is_closed
        wire.answer_next()
        wire.connection.abort_if_idle(later)
        assert wire.is_closed

    asyncio.run(main())
