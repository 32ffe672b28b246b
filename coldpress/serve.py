"""``coldpress serve``: the endpoint that Lambda would run, on this machine, from a bundle or the registry."""

import argparse
import re
import sys
import tempfile
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from bundle.registry import Registry
from coldpress import aws
from coldpress.errors import CommandError
from coldpress.waiting import stop_requested
from handlers.inference.errors import InitError
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.service import Service

# What API Gateway carries; a server on one machine need not be more generous.
_MAX_BODY_BYTES = 10 * 1024**2
_S3_ADDRESS = re.compile(
    r"s3://(?P<bucket>[^/]+)/(models/)?(?P<name>[^/]+)/(versions/|labels/)?(?P<reference>[^/]+)/?"
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "bundle",
        metavar="BUNDLE|s3://BUCKET/NAME/REFERENCE",
        help="a bundle's folder, or a model in the registry by digest, version or label",
    )
    parser.add_argument("--port", type=int, default=8080, help="0: any free one (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of one inference (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Load the bundle, say where it is served, and serve it."""
    stop = stop_requested()
    with tempfile.TemporaryDirectory(prefix="coldpress-serve-") as folder:
        try:
            service = Service.from_folder(_bundle(options.bundle, Path(folder)), threads=options.threads)
        except InitError as error:
            raise CommandError(str(error)) from None
        server = _server(options.port, service)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}/v2/models/{service.model.name}\n")
        sys.stdout.flush()
        stop.wait()
        server.shutdown()
        thread.join()
        server.server_close()
    return 0


def _bundle(address: str, folder: Path) -> Path:
    if not address.startswith("s3://"):
        return Path(address)
    match = _S3_ADDRESS.fullmatch(address)
    if match is None:
        raise CommandError(f"'{address}' is not s3://BUCKET/NAME/REFERENCE (a digest, a version or a label).")
    registry = Registry(match["bucket"], aws.s3_client())
    return registry.fetch(match["name"], registry.resolve(match["name"], match["reference"]), folder)


def _server(port: int, service: Service) -> ThreadingHTTPServer:
    handler = type("Handler", (_Handler,), {"service": service})
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        raise CommandError(f"port {port} cannot be used ({error}): name another with --port.") from None


class _Handler(BaseHTTPRequestHandler):
    """HTTP to the service's Request and back."""

    service: ClassVar[Service]
    protocol_version = "HTTP/1.1"
    timeout = 60

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal():
            return self._refuse(HTTPStatus.LENGTH_REQUIRED, "send the body's length in Content-Length.")
        if int(length) > _MAX_BODY_BYTES:
            return self._refuse(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {_MAX_BODY_BYTES} bytes."
            )
        body = self.rfile.read(int(length))
        return self._send(self.service.answer(Request(self.command, path, query, headers, body)))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _answer  # noqa: N815 - http.server's names

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        # The body was not read, so the connection cannot be used again.
        self.close_connection = True
        self._send(json_response({"error": sentence}, status))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: what a client sent does not belong on a terminal."""
