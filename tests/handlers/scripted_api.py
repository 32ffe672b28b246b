"""Lambda's runtime API with its answers written down beforehand, and what a process asked it."""

import json
import socket
import threading
import time

from handlers.inference.runtime_api import RuntimeApi

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n" + b'{"status":"OK"}\n'
TOO_LARGE = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n"
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}"
CUT = b""
GONE = None


class ScriptedApi:
    """Answers requests by raw bytes in order: CUT closes the connection unanswered, GONE the whole API."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0
        self.script: list[bytes | list[bytes] | None] = []
        self.is_asked = threading.Semaphore(0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def play(self, *script: bytes | list[bytes] | None) -> RuntimeApi:
        self.script = list(script)
        self._thread.start()
        return RuntimeApi(self.address)

    def _serve(self) -> None:
        while self.script:
            if self.script[0] is GONE:
                break
            connection, _ = self._listener.accept()
            self.connections += 1
            with connection, connection.makefile("rb") as stream:
                while self._answer(connection, stream):
                    pass
        self._listener.close()

    def _answer(self, connection: socket.socket, stream) -> bool:
        """Whether the connection stays."""
        first = stream.readline().decode().strip()
        if not first:
            return False
        headers = {}
        while line := stream.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name] = value
        self.requests.append((first, headers, stream.read(int(headers.get("content-length", 0)))))
        self.is_asked.release()
        answer = self.script.pop(0) if self.script else GONE
        if not answer:
            if answer is GONE:
                self._listener.close()
            return False
        for piece in answer if isinstance(answer, list) else [answer]:
            connection.sendall(piece)
        return bool(self.script)


class Held(list):
    """An answer that is sent when ``now`` is set."""

    def __init__(self, answer: bytes) -> None:
        super().__init__([answer])
        self.now = threading.Event()

    def __iter__(self):
        self.now.wait(120)
        return super().__iter__()


def event(body: bytes = b"{}", *, request_id: str = "1", deadline_s: float = 60, more: str = "") -> bytes:
    deadline = int((time.time() + deadline_s) * 1000)
    return (
        f"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: {request_id}\r\n"
        f"lambda-runtime-deadline-ms: {deadline}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def asking(content: object, *, request_id: str, seconds: float, path: str = ":predict") -> bytes:
    """An event of API Gateway whose answer is taken for so many seconds."""
    http = {"version": "2.0", "requestContext": {"http": {"method": "POST"}}, "body": json.dumps(content)}
    http["rawPath"] = f"/v1/models/toy{path}"
    return event(json.dumps(http).encode(), request_id=request_id, deadline_s=seconds)


def answered(scripted: ScriptedApi) -> dict[str, list[int]]:
    """The statuses that each request id was answered with."""
    statuses: dict[str, list[int]] = {}
    for first, _, body in scripted.requests:
        path = first.split()[1]
        if path.endswith("/response"):
            statuses.setdefault(path.split("/")[-2], []).append(json.loads(body)["statusCode"])
    return statuses


def wait_for(scripted: ScriptedApi, requests: int) -> None:
    for _ in range(requests):
        assert scripted.is_asked.acquire(timeout=60)
