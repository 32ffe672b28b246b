"""HTTP/1.1 (RFC 9112) on one connection: bytes to Request, Response to bytes; the ambiguous is refused."""

import asyncio
import re
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol

from handlers.inference.messages import Request, Response, json_response

# What API Gateway carries; a server on one machine need not be more generous.
MAX_BODY_BYTES = 10 * 1024**2
MAX_HEAD_BYTES = 64 * 1024
# How long a client may keep a connection without a byte, and how long one that was refused may go on sending.
IDLE_SECONDS = 60
_LINGER_SECONDS = 2

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP/(\d)\.(\d)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00\r\n]*)")
_DIGITS = re.compile(r"[0-9]{1,15}")
_REASONS = {status.value: f" {status.phrase}" for status in HTTPStatus}

Reply = Callable[[Response], None]


class Refused(Exception):
    """The bytes are no request that this server reads: the answer's status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.response = json_response({"error": sentence}, status)


class Head:
    """A request without its body.

    Attributes:
        length: of the body, in bytes.
        keeps_alive: whether the client wants the connection for another request.
        awaits_continue: whether the body is sent only after "100 Continue".
    """

    __slots__ = ("awaits_continue", "headers", "keeps_alive", "length", "method", "path", "query")

    def __init__(self, data: bytes) -> None:
        """Read the bytes before the empty line.

        Raises:
            Refused: they are malformed, ambiguous, or announce a body that is not read.
        """
        first, *lines = data.split(b"\r\n")
        line = _REQUEST_LINE.fullmatch(first)
        if line is None:
            raise Refused(400, "the request line is not METHOD PATH HTTP/1.1.")
        if line[3] != b"1":
            raise Refused(505, "speak HTTP/1.1.")
        self.method = line[1].decode()
        target = line[2].decode("latin-1")
        if not target.startswith("/"):
            # A proxy's form: http://host/path.
            target = "/" + target.partition("://")[2].partition("/")[2]
        self.path: str
        self.query: str
        self.path, _, self.query = target.partition("?")
        self.headers = _fields(lines)
        is_current = line[4] != b"0"
        if is_current and "host" not in self.headers:
            raise Refused(400, "the header Host is missing.")
        self.length = _body_length(self.headers)
        wishes = {word.strip() for word in self.headers.get("connection", "").lower().split(",")}
        self.keeps_alive = "close" not in wishes if is_current else "keep-alive" in wishes
        expected = self.headers.get("expect", "").lower()
        if expected not in ("", "100-continue"):
            raise Refused(417, "the header Expect may only be 100-continue.")
        self.awaits_continue = bool(expected) and is_current


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise Refused(400, "a header is malformed.")
        name, value = field[1].decode().lower(), field[2].rstrip(b" \t").decode("latin-1")
        if name not in fields:
            fields[name] = value
        elif name in ("content-length", "host", "transfer-encoding"):
            raise Refused(400, f"the header {name} is there twice.")
        else:
            fields[name] = f"{fields[name]}, {value}"
    return fields


def _body_length(headers: dict[str, str]) -> int:
    length = headers.get("content-length", "0")
    if "transfer-encoding" in headers or _DIGITS.fullmatch(length) is None:
        raise Refused(411, "send the body's length in Content-Length.")
    if int(length) > MAX_BODY_BYTES:
        raise Refused(413, f"a body has at most {MAX_BODY_BYTES} bytes.")
    return int(length)


class Host(Protocol):
    """What a connection tells its server, and asks of it."""

    is_stopping: bool

    def opened(self, connection: "Connection") -> None:
        """It begins."""

    def closed(self, connection: "Connection") -> None:
        """It is gone, and asks nothing more."""

    def answer(self, request: Request, reply: Reply) -> None:
        """Call ``reply`` once, now or later, on this thread."""


class Connection(asyncio.BufferedProtocol):
    """One client's connection: its requests one after the other, also where it sends them all at once.

    Attributes:
        is_receiving: a request has begun to arrive and is not whole yet.
    """

    def __init__(self, host: Host) -> None:
        self.is_receiving = False
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._last_byte = self._loop.time()
        # What is not yet a whole head, and whatever came after a body.
        self._buffer = bytearray(MAX_HEAD_BYTES)
        self._filled = 0
        # The request whose body is arriving; its bytes go straight to where they are read from.
        self._head: Head | None = None
        self._body = bytearray()
        self._received = 0
        self._is_answering = False
        self._is_advancing = False
        self._is_choked = False
        self._is_refused = False
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first event."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """The last event."""
        self._transport = None
        self.is_receiving = False
        self._host.closed(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        """Where the next bytes go."""
        if self._is_refused:
            return memoryview(self._buffer)
        if self._head is not None:
            return memoryview(self._body)[self._received :]
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have arrived."""
        self._last_byte = self._loop.time()
        if self._is_refused:
            return
        if self._head is not None:
            self._received += nbytes
        else:
            self._filled += nbytes
        self._advance()

    def eof_received(self) -> bool:
        """The client sends no more; an answer on its way still goes out."""
        self._is_ending = True
        return self._is_answering

    def pause_writing(self) -> None:
        """The client does not read its answers: it gets no more of them until it does."""
        self._is_choked = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_choked = False
        self._advance()

    def end(self) -> None:
        """Close as soon as the request that is there, or arriving, is answered."""
        self._is_ending = True
        if self._transport is not None and not self._is_answering and not self.is_receiving:
            self._transport.close()

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    def abort_if_idle(self, now: float) -> None:
        """Close what has been silent for too long."""
        if not self._is_answering and now - self._last_byte > IDLE_SECONDS:
            self.abort()

    def _advance(self) -> None:
        """Answer what is whole. Answers may come at once, and must not do so recursively."""
        if self._is_advancing:
            return
        self._is_advancing = True
        while self._transport is not None and not (self._is_answering or self._is_choked or self._is_refused):
            try:
                if self._head is None and not self._begin():
                    break
            except Refused as refused:
                self._refuse(refused.response)
                break
            if self._received < len(self._body):
                break
            self._finish()
        self._is_advancing = False
        self._set_reading()

    def _begin(self) -> bool:
        """Take a head off the buffer, and what is there of its body."""
        start = 0
        while self._buffer.startswith(b"\r\n", start, self._filled):
            start += 2
        end = self._buffer.find(b"\r\n\r\n", start, self._filled)
        self.is_receiving = self._filled > start
        if end < 0:
            if self._filled == MAX_HEAD_BYTES:
                raise Refused(431, f"the headers have more than {MAX_HEAD_BYTES} bytes.")
            return False
        head = Head(bytes(memoryview(self._buffer)[start:end]))
        begun = memoryview(self._buffer)[end + 4 : min(self._filled, end + 4 + head.length)]
        self._body = bytearray(head.length)
        self._body[: len(begun)] = begun
        self._received = len(begun)
        rest = bytes(memoryview(self._buffer)[end + 4 + len(begun) : self._filled])
        self._buffer[: len(rest)] = rest
        self._filled = len(rest)
        self._head = head
        if head.awaits_continue and self._received < head.length and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _finish(self) -> None:
        """Hand the whole request over."""
        head, body = self._head, bytes(self._body)
        assert head is not None  # noqa: S101 - for the type checker
        self._head, self._body, self._received = None, bytearray(), 0
        self.is_receiving = False
        self._is_answering = True

        def reply(response: Response) -> None:
            self._is_answering = False
            keeps_alive = head.keeps_alive and not self._is_ending and not self._host.is_stopping
            self._write(response, with_body=head.method != "HEAD", keeps_alive=keeps_alive)
            self._advance()

        self._host.answer(Request(head.method, head.path, head.query, head.headers, body), reply)

    def _refuse(self, response: Response) -> None:
        """Answer, and let the client finish: a reset would take the answer from it before it has read it."""
        self._is_refused = True
        self.is_receiving = False
        transport = self._transport
        if transport is None:
            return
        transport.write(_head_of(response, keeps_alive=False) + response.body)
        transport.write_eof()
        self._loop.call_later(_LINGER_SECONDS, transport.abort)

    def _write(self, response: Response, *, with_body: bool, keeps_alive: bool) -> None:
        if self._transport is None:
            return
        head = _head_of(response, keeps_alive=keeps_alive)
        self._transport.write(head + response.body if with_body else head)
        if not keeps_alive:
            self._transport.close()

    def _set_reading(self) -> None:
        """Read no further where there is no room for it."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._head is None and self._filled == MAX_HEAD_BYTES and not self._is_refused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _head_of(response: Response, *, keeps_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status}{_REASONS.get(response.status, ' ')}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += [f"content-length: {len(response.body)}", f"date: {_now()}"]
    if not keeps_alive:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


_date = (0, "")


def _now() -> str:
    global _date  # noqa: PLW0603 - a second's worth of requests share it
    second = int(time.time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    return _date[1]
