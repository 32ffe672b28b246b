"""HTTP/1.1 over a bare socket, straight into the caller's memory; http.client takes 40 ms to import."""

import _socket
import time

from handlers.inference.errors import InitError

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_PORTS = {"http": 80, "https": 443}
_HEAD_PIECE_BYTES = 4096
_MAX_HEAD_BYTES = 16 * 1024
_MAX_EXPLANATION_BYTES = 4096
# One read: few of them, and still in the CPU's cache when it is hashed.
_PIECE_BYTES = 1024**2


class Interrupted(OSError):
    """The answer did not come whole, in time or as it should; another try may heal that."""


class Untrusted(Exception):
    """Whoever answers cannot show that it is the host that was meant; another try will not heal that."""


class Endpoint:
    """Where to connect, by what scheme, and what to write as ``Host``."""

    __slots__ = ("address", "host", "port", "scheme")

    def __init__(self, scheme: str, host: str) -> None:
        """``host`` may end in a port; an IPv6 address is in brackets."""
        address, colon, port = host.rpartition(":")
        if not colon or port.endswith("]"):
            address, port = host, ""
        self.scheme = scheme
        self.host = host
        self.address = address.strip("[]")
        self.port = int(port) if port else _PORTS[scheme]


def parse_url(url: str, variable: str) -> tuple[Endpoint, str]:
    """The endpoint and the path of an http(s) URL that an environment variable holds.

    Raises:
        InitError: it is none.
    """
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    try:
        endpoint = Endpoint(scheme.lower(), host)
    except (KeyError, ValueError):
        endpoint = None
    # What may not stand in a request's head, or holds a password, is not repeated.
    is_plain = url.isascii() and url.isprintable() and " " not in url and "@" not in host
    if endpoint is None or not endpoint.address or not is_plain:
        raise InitError(f"{variable} is no http(s) URL: write it as http://HOST:PORT or https://HOST.")
    return endpoint, slash + path


def other_endpoint(environ: "Mapping[str, str]", service: str) -> tuple[Endpoint, str] | None:
    """Where AWS's own variables say that a service (``S3``) is, and the path there; None: at AWS.

    Raises:
        InitError: a variable holds no URL.
    """
    for variable in (f"AWS_ENDPOINT_URL_{service}", "AWS_ENDPOINT_URL"):
        if environ.get(variable):
            return parse_url(environ[variable], variable)
    return None


class Connection:
    """One connection, which may carry several requests, one after the other.

    Attributes:
        host: what it sends as ``Host``.
        status: of the answer that is being read.
        headers: of that answer, by their names in lower case.
        is_reusable: its answer was read to the end, and the server lets another request follow.

    Everything raises Interrupted, or another OSError, where the connection fails.
    """

    def __init__(self, endpoint: Endpoint, patience: float) -> None:
        """Connect; no single wait takes longer than ``patience`` seconds.

        Raises:
            Untrusted: its certificate is not of this host, or not signed by anybody that the system trusts.
        """
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_reusable = False
        self.host = endpoint.host
        self._deadline = 0.0
        self._ahead = b""  # of the body, received together with the head
        self._may_stay = False
        self._socket = _connect(endpoint, patience)
        self._read_into: Callable[[memoryview], int] = self._socket.recv_into
        self._send: Callable[[bytes], object] = self._socket.sendall
        if endpoint.scheme == "https":
            # Only here: it costs 5 ms, and a bundle in the image or another endpoint does without.
            from handlers.inference.fetch.tls import secure  # noqa: PLC0415

            try:
                self._read_into, self._send = secure(self._socket, endpoint.address)
            except BaseException:
                self._socket.close()
                raise

    def get(self, path: str, headers: "Mapping[str, str]", deadline: float) -> int:
        """Ask for ``path``, which is encoded, and read the answer's head; the status.

        All of the answer must be here by ``deadline``, on the clock of ``time.monotonic``.
        """
        return self._ask(f"GET {path}", headers, b"", deadline)

    def post(self, path: str, headers: "Mapping[str, str]", body: bytes, deadline: float) -> int:
        """Send ``body`` to ``path``, as ``get`` asks for it; the status."""
        sized = {**headers, "content-length": str(len(body))}
        return self._ask(f"POST {path}", sized, body, deadline)

    def _ask(self, what: str, headers: "Mapping[str, str]", body: bytes, deadline: float) -> int:
        self.is_reusable = False
        self._deadline = deadline
        lines = [f"{what} HTTP/1.1", f"host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name != "host"]
        self._send(("\r\n".join(lines) + "\r\n\r\n").encode("ascii") + body)
        head, self._ahead = self._receive_head()
        self._parse(head)
        return self.status

    @property
    def length(self) -> int:
        """How many bytes the answer's body has.

        Raises:
            Interrupted: the answer does not say so.
        """
        length = self.headers.get("content-length", "")
        if "transfer-encoding" in self.headers or not (length.isascii() and length.isdecimal()):
            raise Interrupted("an answer that does not say how long it is")
        return int(length)

    def read(self, target: memoryview) -> "Iterator[int]":
        """Read the body, which is as long as ``target``, into it; yield how many bytes came with each read.

        Raises:
            Interrupted: the connection ended before the body did, or the deadline has passed.
        """
        position, end = len(self._ahead), len(target)
        if position > end:
            raise Interrupted(f"more than the {end} bytes that the answer was to have")
        target[:position] = self._ahead
        if position:
            yield position
        while position < end:
            count = self._receive(target[position : position + _PIECE_BYTES])
            if not count:
                raise Interrupted(f"the connection ended after {position} of {end} bytes")
            position += count
            yield count
        self.is_reusable = self._may_stay

    def explanation(self) -> str:
        """The beginning of an error's body, as text; the connection is of no use afterwards."""
        text, piece = self._ahead, memoryview(bytearray(_MAX_EXPLANATION_BYTES))
        try:
            # Where S3 sends it in chunks, their lengths do not disturb whoever looks for a word.
            while len(text) < _MAX_EXPLANATION_BYTES and b"</Error>" not in text:
                count = self._receive(piece)
                if not count:
                    break
                text += piece[:count]
        except OSError:
            pass  # the status alone must do
        return text[:_MAX_EXPLANATION_BYTES].decode("utf-8", "replace")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _receive(self, target: memoryview) -> int:
        count = self._read_into(target)
        if time.monotonic() > self._deadline:
            raise Interrupted("too slow: the deadline has passed")
        return count

    def _receive_head(self) -> tuple[bytes, bytes]:
        """The head without its empty line, and what came of the body with it."""
        received, piece = b"", memoryview(bytearray(_HEAD_PIECE_BYTES))
        while b"\r\n\r\n" not in received:
            count = self._receive(piece)
            if not count:
                raise Interrupted("the connection ended before an answer came")
            received += piece[:count]
            if len(received) > _MAX_HEAD_BYTES:
                raise Interrupted("an answer whose head does not end")
        head, _, ahead = received.partition(b"\r\n\r\n")
        return head, ahead

    def _parse(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdecimal()):
            raise Interrupted("an answer that is not HTTP")
        self.status = int(status)
        self.headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        self._may_stay = version != "HTTP/1.0" and self.headers.get("connection", "").lower() != "close"


class Socket(_socket.socket):
    """A socket that TLS can hold weakly."""

    __slots__ = ("__weakref__",)


def _connect(endpoint: Endpoint, patience: float) -> Socket:
    """Connect to the first of the host's addresses that lets us."""
    # As bytes, or Python would load its tables of international names.
    found = _socket.getaddrinfo(
        endpoint.address.encode("ascii"), endpoint.port, _socket.AF_UNSPEC, _socket.SOCK_STREAM
    )
    failure: OSError | None = None
    for family, kind, protocol, _, address in found:
        connection = Socket(family, kind, protocol)
        try:
            connection.settimeout(patience)
            connection.connect(address)
            connection.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure or Interrupted("its name has no address")
