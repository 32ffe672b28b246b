"""Closed-loop load: some clients, each with one kept connection, each sending the same bytes again and again.

One thread over epoll with a prepared request: a few tens of microseconds of CPU each, which no server here is
near to.
"""

import selectors
import socket
import time
from collections.abc import Sequence


class Failed(Exception):
    """The server gave another answer than 200, or none."""


class _Client:
    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._request = memoryview(request)
        self.start()

    def start(self) -> None:
        self.began = time.perf_counter()
        self.sent, self.answer = 0, b""
        self.send()

    @property
    def is_sending(self) -> bool:
        return self.sent < len(self._request)

    def send(self) -> None:
        while self.is_sending:
            try:
                self.sent += self.socket.send(self._request[self.sent :])
            except BlockingIOError:
                return

    def receive(self) -> bytes | None:
        """The whole answer's body, or None if there is more to come."""
        piece = self.socket.recv(1 << 16)
        self.answer += piece
        if not piece:
            raise Failed(f"the server closed the connection after {self.answer[:200]!r}")
        return body_of(self.answer)


def body_of(answer: bytes) -> bytes | None:
    """The body of an answer with status 200; None if it is not whole."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    if not head.startswith(b"HTTP/1.1 200"):
        raise Failed(f"the server answered {answer[:300]!r}")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in fields:
        return body if len(body) == int(fields[b"content-length"]) else None
    return _unchunked(body) if body.endswith(b"0\r\n\r\n") else None


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole, body = whole + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return whole


def ask(port: int, request: bytes) -> bytes:
    """One answer's body, over a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        return _exchange(connection, request)


def _exchange(connection: socket.socket, request: bytes) -> bytes:
    connection.sendall(request)
    answer = b""
    while (body := body_of(answer)) is None:
        piece = connection.recv(1 << 16)
        if not piece:
            raise Failed(f"the server closed the connection after {answer[:200]!r}")
        answer += piece
    return body


def load_times(port: int, request: bytes, times: int) -> list[float]:
    """The latencies, in seconds, of so many requests, one after the other over one connection."""
    latencies = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            start = time.perf_counter()
            _exchange(connection, request)
            latencies.append(time.perf_counter() - start)
    return latencies


def load(port: int, request: bytes, clients: int, seconds: float) -> Sequence[float]:
    """The latencies, in seconds, of all requests that were answered within so many seconds."""
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(clients):
            client = _Client(port, request)
            selector.register(client.socket, _events(client), client)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            ready = selector.select(20)
            if not ready:
                raise Failed("no answer for 20 seconds")
            for key, events in ready:
                client = key.data
                if events & selectors.EVENT_WRITE:
                    client.send()
                if events & selectors.EVENT_READ and client.receive() is not None:
                    latencies.append(time.perf_counter() - client.began)
                    client.start()
                if key.events != _events(client):
                    selector.modify(client.socket, _events(client), client)
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return latencies


def _events(client: _Client) -> int:
    return selectors.EVENT_READ | (selectors.EVENT_WRITE if client.is_sending else 0)
