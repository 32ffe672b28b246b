"""Lambda's runtime API: its four calls, over one kept connection of the builtin ``_socket``.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

``socket`` and ``http.client`` cost a cold start 9 and 40 ms of CPU, for what these calls do not need.
"""

import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = "/2018-06-01/runtime"
_OK, _ACCEPTED = 200, 202
_PIECE_BYTES = 64 * 1024
_LARGE_PIECE_BYTES = 1024 * 1024
_MAX_HEAD_BYTES = 1024 * 1024
# How API Gateway's format of a stream is announced, and what stands between its head and its body.
_STREAM = (
    "lambda-runtime-function-response-mode: streaming\r\n"
    "content-type: application/vnd.awslambda.http-integration-response\r\n"
    "transfer-encoding: chunked\r\n"
)
_HEAD_END = bytes(8)
_ERROR_TYPE = "lambda-runtime-function-error-type"


class ApiError(Exception):
    """The API cannot be reached, or says what it never should; nothing more can be done in this process."""


class _Cut(Exception):
    """The connection ended before an answer did."""


class Invocation:
    """One event to answer.

    Attributes:
        request_id: what Lambda calls it.
        deadline_ms: until when an answer is taken, in milliseconds since 1970.
        trace_id: X-Ray's header, if the request is traced.
        event: the event's JSON.
    """

    __slots__ = ("deadline_ms", "event", "request_id", "trace_id")

    def __init__(self, headers: "Mapping[str, str]", event: bytes) -> None:
        self.request_id = headers["lambda-runtime-aws-request-id"]
        self.deadline_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)
        self.trace_id = headers.get("lambda-runtime-trace-id")
        self.event = event


class Stream:
    """An answer that is sent as a stream, of which Lambda carries 200 MB; REST APIs of API Gateway take it.

    Attributes:
        head: the JSON of status and headers.
        body: as the client gets it.
    """

    __slots__ = ("body", "head")

    def __init__(self, head: bytes, body: bytes) -> None:
        self.head = head
        self.body = body

    def __len__(self) -> int:
        return len(self.head) + len(self.body)


class RuntimeApi:
    """The API at ``address`` (HOST:PORT), which is ``AWS_LAMBDA_RUNTIME_API``.

    A connection that was cut is made again, once a call: the API knows each request by its id, and takes one
    answer only.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ApiError(
                f"AWS_LAMBDA_RUNTIME_API is '{address}', which is not HOST:PORT: this process is started by "
                "Lambda, or by its Runtime Interface Emulator."
            )
        self._address = host, int(port)
        self._socket: _socket.socket | None = None
        self._buffer = bytearray()
        self._has_event = False

    def next(self) -> Invocation:
        """Wait for the next event, as long as it takes: Lambda freezes the process meanwhile.

        Raises:
            ApiError: there will be none.
        """
        status, headers, body = self._call("GET", "/invocation/next", waits=True)
        if status != _OK or "lambda-runtime-aws-request-id" not in headers:
            raise ApiError(f"Lambda's runtime API gives no next event, but status {status}.")
        return Invocation(headers, body)

    def is_idle(self) -> bool:
        """Whether there is no event to answer, not even one that begins to come; for signal handlers."""
        return not self._has_event and not self._has_bytes()

    def release(self) -> None:
        """All is done for the event that ``next`` gave."""
        self._has_event = False

    def respond(self, request_id: str, reply: "bytes | Stream") -> bool:
        """Send the answer (JSON, or a stream); whether it was taken. JSON larger than 6 MB is not.

        Raises:
            ApiError: the API cannot be reached.
        """
        path = f"/invocation/{request_id}/response"
        if isinstance(reply, Stream):
            # One chunk for each part, and none that is empty, because that ends it.
            parts = [part for part in (reply.head + _HEAD_END, reply.body) if part]
            chunks = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
            return self._call("POST", path, b"".join([*chunks, b"0\r\n\r\n"]), _STREAM)[0] == _ACCEPTED
        return self._call("POST", path, reply)[0] == _ACCEPTED

    def fail(self, request_id: str, kind: str, error: bytes) -> bool:
        """Say that the request failed: ``error`` is JSON with errorType, errorMessage and stackTrace.

        Raises:
            ApiError: the API cannot be reached.
        """
        headers = f"{_ERROR_TYPE}: {kind}\r\n"
        return self._call("POST", f"/invocation/{request_id}/error", error, headers)[0] == _ACCEPTED

    def fail_init(self, kind: str, error: bytes) -> bool:
        """Say that there will be no answers; the process must end then.

        Raises:
            ApiError: the API cannot be reached.
        """
        return self._call("POST", "/init/error", error, f"{_ERROR_TYPE}: {kind}\r\n")[0] == _ACCEPTED

    def _call(
        self, method: str, path: str, body: bytes = b"", headers: str = "", *, waits: bool = False
    ) -> "tuple[int, dict[str, str], bytes]":
        head = f"{method} {_ROOT}{path} HTTP/1.1\r\nhost: {self._address[0]}:{self._address[1]}\r\n{headers}"
        if method == "POST" and headers is not _STREAM:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        message = f"{head}\r\n".encode("latin-1")
        is_kept = self._socket is not None
        try:
            return self._exchange(message, body, waits)
        except (OSError, _Cut) as error:
            self._close()
            if not is_kept:
                raise ApiError(f"Lambda's runtime API cannot be reached ({error}).") from None
        try:
            return self._exchange(message, body, waits)
        except (OSError, _Cut) as error:
            self._close()
            raise ApiError(f"Lambda's runtime API was there, and is gone ({error}).") from None

    def _exchange(self, message: bytes, body: bytes, waits: bool) -> "tuple[int, dict[str, str], bytes]":
        if self._socket is None:
            self._socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
            self._socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
            self._socket.connect(self._address)
        if len(body) <= _PIECE_BYTES:
            self._socket.sendall(message + body)
        else:
            self._socket.sendall(message)
            self._socket.sendall(body)
        if waits:
            # Looking at the first byte takes nothing, so a signal in this moment loses nothing.
            self._has_event = False  # the one that was cut in the middle is given again
            self._has_event = bool(self._socket.recv(1, _socket.MSG_PEEK))
        return self._read_answer()

    def _has_bytes(self) -> bool:
        try:
            return self._socket is not None and bool(
                self._socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
            )
        except OSError:
            return False

    def _read_answer(self) -> "tuple[int, dict[str, str], bytes]":
        status, headers = 100, {}
        while status < 200:  # 1xx only announce
            first, *lines = self._take_line(b"\r\n\r\n").decode("latin-1").split("\r\n")
            status = int(first.split(" ", 2)[1]) if first.startswith("HTTP/1.") else 0
            if not status:
                raise _Cut("what answers there is not HTTP")
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._take_chunks()
        else:
            body = self._take(int(headers.get("content-length") or 0))
        if headers.get("connection", "").lower() == "close":
            self._close()
        return status, headers, body

    def _take_chunks(self) -> bytes:
        pieces = []
        while size := int(self._take_line(b"\r\n").partition(b";")[0], 16):
            pieces.append(self._take(size))
            self._take_line(b"\r\n")
        while self._take_line(b"\r\n"):
            pass  # trailers
        return b"".join(pieces)

    def _take_line(self, end: bytes) -> bytes:
        """What comes before ``end``."""
        searched = 0
        while (found := self._buffer.find(end, searched)) < 0:
            searched = max(0, len(self._buffer) - len(end) + 1)
            if searched > _MAX_HEAD_BYTES:
                raise _Cut("an answer has no end")
            self._buffer += self._receive()
        line = bytes(self._buffer[:found])
        del self._buffer[: found + len(end)]
        return line

    def _take(self, size: int) -> bytes:
        """Exactly ``size`` bytes."""
        if size <= len(self._buffer):
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            return data
        pieces, missing = [bytes(self._buffer)], size - len(self._buffer)
        self._buffer.clear()
        while missing:
            pieces.append(self._receive(min(missing, _LARGE_PIECE_BYTES)))
            missing -= len(pieces[-1])
        return b"".join(pieces)

    def _receive(self, size: int = _PIECE_BYTES) -> bytes:
        """At most ``size`` bytes, at least one."""
        if self._socket is None:
            raise _Cut("not connected")
        data = self._socket.recv(size)
        if not data:
            raise _Cut("it ended in the middle of an answer")
        return data

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer.clear()
