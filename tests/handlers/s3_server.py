"""A server that speaks S3's GET and PUT well enough, and misbehaves as its script says."""

import contextlib
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Step = Callable[["Handler", bytes], None]


class Server(ThreadingHTTPServer):
    """Serves a folder's files by the last part of the path, each after what ``script`` does for that file.

    ``script`` holds for a name the steps of the first, second, … request; the last is repeated. ``asked``
    holds the requests: the name and their headers; ``puts`` the path and the query of what was put.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.script: dict[str, list[Step]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.puts: list[tuple[str, str]] = []
        self.connections = 0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, name: str) -> int:
        return [asked for asked, _ in self.asked].count(name)

    def step(self, name: str) -> Step:
        with self._lock:
            steps = self.script.get(name, [give])
            return steps.pop(0) if len(steps) > 1 else steps[0]

    def get_request(self) -> tuple[socket.socket, object]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are no news."""


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    with Server(folder) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked.append((name, {key.lower(): value for key, value in self.headers.items()}))
        path = self.server.folder / name
        if path.exists():
            self.server.step(name)(self, path.read_bytes())
        else:
            refuse(404, "NoSuchKey")(self, b"")

    def do_PUT(self) -> None:
        """Whoever signed it, and whatever its length: what S3 checks is tested by its signature."""
        path, _, query = self.path.partition("?")
        self.server.puts.append((path, query))
        body = self.rfile.read(int(self.headers["content-length"]))
        (self.server.folder / path.rpartition("/")[2]).write_bytes(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass

    def wanted(self, data: bytes) -> tuple[int, int]:
        """First and end of the range that is asked for, or of the whole."""
        text = self.headers.get("range")
        if text is None:
            return 0, len(data)
        first, last = text.removeprefix("bytes=").split("-")
        return int(first), min(int(last) + 1, len(data))

    def send(
        self, data: bytes, body: bytes, *, etag: str | None = None, content_range: str | None = None
    ) -> None:
        """The answer about ``data`` with ``body`` in place of the bytes that are asked for."""
        first, end = self.wanted(data)
        self.head(data, etag=etag, content_range=content_range, length=max(len(body), end - first))
        self.wfile.write(body)
        self.close_connection = self.close_connection or len(body) != end - first

    def head(
        self, data: bytes, *, length: int, etag: str | None = None, content_range: str | None = None
    ) -> None:
        first, end = self.wanted(data)
        is_part = "range" in self.headers
        self.send_response(206 if is_part else 200)
        self.send_header("ETag", etag or etag_of(data))
        if is_part:
            self.send_header("Content-Range", content_range or f"bytes {first}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(length))
        self.end_headers()


def etag_of(data: bytes) -> str:
    return f'"{zlib.crc32(data):08x}"'


def give(handler: Handler, data: bytes) -> None:
    etag = etag_of(data)
    if handler.headers.get("if-match", etag) != etag:
        return refuse(412, "PreconditionFailed")(handler, data)
    first, end = handler.wanted(data)
    return handler.send(data, data[first:end])


def give_cut(handler: Handler, data: bytes) -> None:
    first, end = handler.wanted(data)
    handler.send(data, data[first : (first + end) // 2])


def give_flipped(handler: Handler, data: bytes) -> None:
    give(handler, data[:-1] + bytes([data[-1] ^ 1]))


def give_longer(handler: Handler, data: bytes) -> None:
    give(handler, data + b"x")


def give_shorter(handler: Handler, data: bytes) -> None:
    give(handler, data[:-1])


def give_all(handler: Handler, data: bytes) -> None:
    """The whole, whatever range was asked for."""
    del handler.headers["range"]
    give(handler, data)


def give_another_range(handler: Handler, data: bytes) -> None:
    first, end = handler.wanted(data)
    handler.send(data, data[first:end], content_range=f"bytes {first + 1}-{end}/{len(data)}")


def give_another_etag(handler: Handler, data: bytes) -> None:
    first, end = handler.wanted(data)
    handler.send(data, data[first:end], etag='"another"')


def give_no_length(handler: Handler, data: bytes) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True


def give_more_than_it_says(handler: Handler, data: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nmuch more")
    handler.close_connection = True


def say_nothing(handler: Handler, _data: bytes) -> None:
    with contextlib.suppress(OSError):
        handler.connection.recv(1)  # returns when the client has gone
    handler.close_connection = True


def stop_in_the_middle(handler: Handler, data: bytes) -> None:
    first, end = handler.wanted(data)
    handler.head(data, length=end - first)
    handler.wfile.write(data[first : (first + end) // 2])
    say_nothing(handler, data)


def trickle(handler: Handler, data: bytes) -> None:
    first, end = handler.wanted(data)
    handler.head(data, length=end - first)
    with contextlib.suppress(OSError):
        for byte in data[first:end]:
            handler.wfile.write(bytes([byte]))
            time.sleep(0.05)
    handler.close_connection = True


def trickle_the_head(handler: Handler, _data: bytes) -> None:
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"H")
            time.sleep(0.05)


def speak_no_http(handler: Handler, _data: bytes) -> None:
    handler.wfile.write(b"220 mail.example.org ESMTP\r\n\r\n")
    handler.close_connection = True


def hang_up(handler: Handler, _data: bytes) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def refuse(status: int, code: str, **headers: str) -> Step:
    """An error in chunks, as S3 sends it; what it quotes must not be repeated."""

    def step(handler: Handler, _data: bytes) -> None:
        body = f"<Error><Code>{code}</Code><Message>AKIA secret token</Message></Error>".encode()
        handler.send_response(status)
        handler.send_header("Transfer-Encoding", "chunked")
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    step.__name__ = f"refuse {status} {code}"
    return step
