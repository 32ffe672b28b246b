"""A share of the requests, sent to a second version with the answers that they had (handlers/shadow).

Lambda queues them (an asynchronous Invoke): however slow, throttled or broken the second version is, nothing
here waits for it.
"""

from handlers.inference.after import Refused, TooLarge, share_from
from handlers.inference.fetch.aws import Service
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
        self._path = f"/2015-03-31/functions/{function}/invocations"
        self._lambda = Service("lambda", environ)

    @classmethod
    def from_environment(cls, environ: "Mapping[str, str]", version: str) -> "Self":
        """What ``COLDPRESS_SHADOW_FUNCTION`` and ``COLDPRESS_SHADOW_SHARE`` say.

        Raises:
            InitError: the share is none.
        """
        share = share_from(environ, "COLDPRESS_SHADOW_SHARE")
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
        status, kind = self._lambda.post(self._path, _HEADERS, payload, due)
        if status == _TOO_LARGE:
            raise TooLarge(f"{len(payload)} bytes are refused by Lambda")
        if status != _ACCEPTED:
            raise Refused(f"Lambda refuses it with status {status} {kind}".rstrip())
