"""One of AWS's services, asked by signed POSTs over a connection that is kept."""

import time

from bundle.json_text import loads
from handlers.inference.fetch.credentials import credentials_from
from handlers.inference.fetch.http import Connection, Endpoint, Interrupted, other_endpoint
from handlers.inference.fetch.sigv4 import sign_post

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

_OK = range(200, 300)


class Service:
    """A service that is not S3.

    Args:
        name: as its host and its signature have it: ``lambda``, ``firehose``.
        environ: the environment's variables: credentials and endpoint.
    """

    def __init__(self, name: str, environ: "Mapping[str, str]") -> None:
        self._name = name
        self._environ = environ
        self._endpoint: Endpoint | None = None
        self._connection: Connection | None = None

    def post(self, path: str, headers: "Mapping[str, str]", body: bytes, due: float) -> tuple[int, str]:
        """Send ``body`` to ``path``: the status, and what the service calls a refusal, if it says so.

        Args:
            path: holds nothing that would have to be encoded, and no query.
            headers: are sent and signed.
            body: is sent.
            due: when there must be an answer (``time.monotonic``).

        Raises:
            OSError: the service cannot be reached in time.
            InitError: there are no credentials.
        """
        kept, self._connection = self._connection, None
        if kept is not None:
            try:
                return self._post(kept, path, headers, body, due)
            except OSError as error:
                # Its other end may have closed it while this environment was frozen. What only takes too long
                # may have arrived, and is not sent twice.
                if isinstance(error, TimeoutError) or time.monotonic() > due:
                    raise
        return self._post(self._connect(due), path, headers, body, due)

    def _connect(self, due: float) -> Connection:
        left = due - time.monotonic()
        if left <= 0:
            raise Interrupted("no time was left")
        if self._endpoint is None:
            self._endpoint = _endpoint(self._name, self._environ)
        return Connection(self._endpoint, left / 2)

    def _post(
        self, connection: Connection, path: str, headers: "Mapping[str, str]", body: bytes, due: float
    ) -> tuple[int, str]:
        try:
            credentials = credentials_from(self._environ)
            signed = sign_post(connection.host, path, headers, body, self._name, credentials)
            status = connection.post(path, signed, body, due)
            answer = bytearray(connection.length)
            for _ in connection.read(memoryview(answer)):
                pass
        except BaseException:
            connection.close()
            raise
        if connection.is_reusable:
            self._connection = connection
        else:
            connection.close()
        return status, "" if status in _OK else _kind(connection.headers, bytes(answer))


def _kind(headers: "Mapping[str, str]", answer: bytes) -> str:
    """A refusal's name: REST says it in a header, AWS's JSON protocol in the body."""
    kind = headers.get("x-amzn-errortype", "")
    if not kind:
        try:
            kind = str(loads(answer)["__type"])
        except (ValueError, KeyError, TypeError):
            return ""
    return kind.partition(":")[0].rpartition("#")[2]


def _endpoint(name: str, environ: "Mapping[str, str]") -> Endpoint:
    """The service's, in the function's region."""
    other = other_endpoint(environ, name.upper())
    if other is not None:
        return other[0]
    region = environ.get("AWS_REGION", "")
    return Endpoint("https", f"{name}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}")
