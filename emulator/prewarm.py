"""A runtime that is initialised ahead: Lambda's Runtime API, passed on between it and the RIE.

The RIE starts a runtime only when an invocation arrives. So the emulator sends one for nothing, and it is
answered here, as soon as the runtime has finished its initialisation and asks for its first event. The
function's code never sees it.

Run as a script, with the standard library alone: ``python -I prewarm.py COMMAND...``.
"""

import http.client
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_RIE = os.environ["AWS_LAMBDA_RUNTIME_API"]
_NOT_PASSED_ON = ("connection", "content-length", "transfer-encoding")


class _Bridge(BaseHTTPRequestHandler):
    """One connection of the runtime's."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    answered_the_first = False

    def setup(self) -> None:
        super().setup()
        self._rie = http.client.HTTPConnection(_RIE)

    def do_GET(self) -> None:
        """The next invocation; before it, the one for nothing."""
        if not _Bridge.answered_the_first and self.path.endswith("/invocation/next"):
            _Bridge.answered_the_first = True
            request_id = self._ask("GET", self.path)[1]["Lambda-Runtime-Aws-Request-Id"]
            self._ask("POST", self.path.replace("next", f"{request_id}/response"), b"null")
        self._pass_on()

    def do_POST(self) -> None:
        """An answer, or what went wrong."""
        self._pass_on(self._body())

    def log_message(self, *_: object) -> None:
        """Nothing: the function's log is its own."""

    def _body(self) -> bytes:
        """What the runtime sends, whose length it says first, or in pieces where it streams."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers, of which the RIE makes nothing
        return b"".join(pieces)

    def _pass_on(self, body: bytes | None = None) -> None:
        status, headers, content = self._ask(self.command, self.path, body)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _NOT_PASSED_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _ask(
        self, method: str, path: str, body: bytes | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower().startswith(("lambda-", "content-type"))
        }
        self._rie.request(method, path, body, headers)
        response = self._rie.getresponse()
        return response.status, response.headers, response.read()


def main() -> int:
    """Run the command until it ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Bridge)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    runtime_api = f"127.0.0.1:{server.server_port}"
    return subprocess.run(
        sys.argv[1:], env={**os.environ, "AWS_LAMBDA_RUNTIME_API": runtime_api}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
