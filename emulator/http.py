"""The HTTP server: werkzeug's, on loopback, with connections kept open (werkzeug closes each)."""

import logging
import socket
from io import BytesIO
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug import serving
from werkzeug.test import run_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger(__name__)


class _Handler(MotoRequestHandler):
    """One connection. A request is read completely before it is answered, so that the next one can follow."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet

    def run_wsgi(self) -> None:
        """Answer one request."""
        environ = self.make_environ()
        body = self._read_body(environ)
        environ["wsgi.input"] = BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        environ.pop("wsgi.input_terminated", None)
        chunks, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        content = b"".join(chunks)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        if self.command == "HEAD" and "content-length" in headers:
            self.send_header("Content-Length", headers["content-length"])
        elif int(code) not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def handle_expect_100(self) -> bool:
        """Ask for the body at once: a client (boto3's S3) waits a second for this, then goes on anyway."""
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def _read_body(self, environ: dict[str, Any]) -> bytes:
        if environ.get("wsgi.input_terminated"):  # chunked
            body: bytes = environ["wsgi.input"].read()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return body

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 - not ours
        """Method, path without its query (it may hold a signature), and status; to the log file."""
        _log.info("%s %s %s", self.command, self.path.partition("?")[0], code)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Anything else that werkzeug has to say."""
        _log.info("%s %s", type, message % args if args else message)


def make_server(port: int, application: "WSGIApplication") -> serving.BaseWSGIServer:
    """A server of ``application`` on loopback, listening.

    Raises:
        OSError: the port is taken.
    """
    # Bound here, because werkzeug ends the process if it cannot.
    with socket.create_server(("127.0.0.1", port), backlog=128) as listening:
        return serving.ThreadedWSGIServer(
            "127.0.0.1", port, application, handler=_Handler, fd=listening.fileno()
        )
