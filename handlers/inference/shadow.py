"""A share of the requests, sent to a second version with the answers that they had (handlers/shadow).

Lambda queues them (an asynchronous Invoke): however slow, throttled or broken the second version is, nothing
here waits for it.
"""

import time

from handlers.inference.after import TooLarge
from handlers.inference.errors import InitError
from handlers.inference.fetch.credentials import credentials_from
from handlers.inference.fetch.http import Connection, Endpoint, Interrupted, other_endpoint
from handlers.inference.fetch.sigv4 import sign_post
from handlers.inference.messages import to_json
from handlers.inference.routes import is_inference

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from handlers.inference.after import Answered

# What Lambda takes of an asynchronous invocation, a quarter of which it took until October 2025.
MAX_BYTES = 1024**2
_OK, _ACCEPTED, _TOO_LARGE = 200, 202, 413
_HEADERS = {"content-type": "application/json", "x-amz-invocation-type": "Event"}


class Refused(Exception):
    """Lambda does not take it; the message says how it calls the reason."""


class Shadow:
    """Sends requests and their answers to a function.

    Args:
        function: its name.
        share: of the requests, above 0 and up to 1.
        version: what answered.
        environ: the environment's variables: credentials and endpoint.
    """

    name = "Shadow"

    def __init__(self, function: str, share: float, version: str, environ: "Mapping[str, str]") -> None:
        self._share = share
        self._version = version
        self._environ = environ
        self._path = f"/2015-03-31/functions/{function}/invocations"
        self._endpoint: Endpoint | None = None
        self._connection: Connection | None = None

    @classmethod
    def from_environment(cls, environ: "Mapping[str, str]", version: str) -> "Self":
        """What ``COLDPRESS_SHADOW_FUNCTION`` and ``COLDPRESS_SHADOW_SHARE`` say.

        Raises:
            InitError: the share is none.
        """
        try:
            share = float(environ.get("COLDPRESS_SHADOW_SHARE", ""))
        except ValueError:
            share = 0.0
        if not 0 < share <= 1:
            raise InitError("COLDPRESS_SHADOW_SHARE is no share of the requests: set it above 0 and up to 1.")
        return cls(environ["COLDPRESS_SHADOW_FUNCTION"], share, version, environ)

    def run(self, answered: "Answered", due: float) -> None:
        """Send it, if it is among the share, asked the model, and had an answer that can be compared.

        Raises:
            TooLarge: Lambda does not take so much.
            Refused: Lambda refuses it.
            OSError: Lambda cannot be reached in time.
        """
        is_comparable = answered.status == _OK and is_inference(answered.head)
        if not is_comparable or not answered.is_among(self._share):
            return
        about = to_json({"version": self._version, "request_id": answered.request_id}).encode()
        payload = b'{"shadow":%b,"event":%b,"reply":%b}' % (about, answered.event, answered.reply)
        if len(payload) > MAX_BYTES:
            raise TooLarge(f"{len(payload)} bytes of the {MAX_BYTES} that an asynchronous invocation takes")
        self._send(payload, due)

    def _send(self, payload: bytes, due: float) -> None:
        kept, self._connection = self._connection, None
        if kept is not None:
            try:
                self._post(kept, payload, due)
            except OSError as error:
                # Its other end may have closed it while this environment was frozen. What only takes too long
                # may have arrived, and is not sent twice.
                if isinstance(error, TimeoutError) or time.monotonic() > due:
                    raise
            else:
                return
        self._post(self._connect(due), payload, due)

    def _connect(self, due: float) -> Connection:
        left = due - time.monotonic()
        if left <= 0:
            raise Interrupted("no time was left")
        if self._endpoint is None:
            self._endpoint = _endpoint(self._environ)
        return Connection(self._endpoint, left / 2)

    def _post(self, connection: Connection, payload: bytes, due: float) -> None:
        try:
            credentials = credentials_from(self._environ)
            host = connection.host
            signed = sign_post(host, self._path, _HEADERS, payload, "lambda", credentials)
            status = connection.post(self._path, signed, payload, due)
            for _ in connection.read(memoryview(bytearray(connection.length))):
                pass
        except BaseException:
            connection.close()
            raise
        if connection.is_reusable:
            self._connection = connection
        else:
            connection.close()
        if status == _TOO_LARGE:
            raise TooLarge(f"{len(payload)} bytes are refused by Lambda")
        if status != _ACCEPTED:
            kind = connection.headers.get("x-amzn-errortype", "").partition(":")[0]
            raise Refused(f"Lambda refuses it with status {status} {kind}".rstrip())


def _endpoint(environ: "Mapping[str, str]") -> Endpoint:
    """Lambda's, in the function's region."""
    other = other_endpoint(environ, "LAMBDA")
    if other is not None:
        return other[0]
    region = environ.get("AWS_REGION", "")
    return Endpoint("https", f"lambda.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}")
