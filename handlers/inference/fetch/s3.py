"""Objects of one S3 bucket: where it is, how a request is signed, and what a refusal means."""

from handlers.inference.errors import InitError
from handlers.inference.fetch.http import Endpoint, Interrupted, other_endpoint
from handlers.inference.fetch.retries import Connections, Patience
from handlers.inference.fetch.sigv4 import encode_path, presign_put, sign_get

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.inference.fetch.credentials import Credentials
    from handlers.inference.fetch.http import Connection

_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_HOST_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")
_OF_CREDENTIALS = frozenset(
    {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)


class Changed(Exception):
    """The object is not what it was, or not what was pushed: nothing that was read of it may be used."""


class Refused(InitError):
    """S3 does not give an object, and another try would not change that.

    Attributes:
        status: of S3's answer.
        code: S3's name for the reason, or "".
    """

    def __init__(self, sentence: str, status: int, code: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


class Bucket:
    """A bucket and the way to it."""

    __slots__ = ("_connections", "credentials", "endpoint", "name", "patience", "prefix")

    def __init__(
        self, name: str, endpoint: Endpoint, prefix: str, credentials: "Credentials", patience: Patience
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.prefix = prefix
        self.credentials = credentials
        self.patience = patience
        self._connections = Connections(endpoint, patience)

    @classmethod
    def from_environment(
        cls,
        name: str,
        credentials: "Credentials",
        environ: "Mapping[str, str]",
        patience: Patience | None = None,
    ) -> "Bucket":
        """Virtual-hosted style on AWS; path style elsewhere, and where a dot in the name breaks TLS.

        Raises:
            InitError: a variable holds what cannot be an address; the sentence names it.
        """
        region = credentials.region
        for variable, value in (("COLDPRESS_BUCKET", name), ("AWS_REGION", region)):
            if not _HOST_LETTERS.issuperset(value):
                raise InitError(f"{variable} is '{ascii(value)[1:-1]}', which cannot be one: correct it.")
        aws = f"s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
        other = other_endpoint(environ, "S3")
        if other is not None:
            endpoint, path = other
            prefix = f"{path.rstrip('/')}/{name}"
        elif "." in name:
            endpoint, prefix = Endpoint("https", aws), f"/{name}"
        else:
            endpoint, prefix = Endpoint("https", f"{name}.{aws}"), ""
        return cls(name, endpoint, prefix, credentials, patience or Patience())

    def get(self, key: str, limit: int) -> bytes:
        """The object ``key``.

        Raises:
            InitError: S3 refuses, has no such object, or fails in every try, or the object has more than
                ``limit`` bytes; the sentence names cause and key.
        """
        body = bytearray()

        def once(connection: "Connection") -> None:
            nonlocal body
            self.ask(connection, key, limit, {})
            if connection.length > limit:
                raise InitError(f"{self.where(key)} has more than {limit} bytes: push it again.")
            body = bytearray(connection.length)
            for _ in connection.read(memoryview(body)):
                pass

        self.attempt(key, once)
        return bytes(body)

    def ask(self, connection: "Connection", key: str, size: int, headers: "Mapping[str, str]") -> None:
        """Ask for ``size`` bytes of ``key``; the answer's head has been read and is good.

        Raises:
            Refused: S3 refuses or has no such object.
            Changed: the object is another, or another size, than ``headers`` demand.
            OSError: another try may help.
        """
        path = encode_path(f"{self.prefix}/{key}")
        signed = sign_get(self.endpoint.host, path, self.credentials)
        status = connection.get(path, {**signed, **headers}, self.patience.deadline(size))
        if status in (412, 416):
            raise Changed
        if status != (206 if "range" in headers else 200):
            raise self._refusal(connection, key)

    def attempt(self, key: str, once: "Callable[[Connection], None]") -> None:
        """Do ``once``, which reads ``key``, until it succeeds or no try is left."""
        advice = "check the function's way to S3, and try again"
        self._connections.attempt(self.where(key), advice, once)

    def presigned_put(self, key: str, size: int, seconds: int) -> str:
        """A URL to which whoever has it may PUT the object ``key`` of exactly ``size`` bytes, for so long."""
        path = encode_path(f"{self.prefix}/{key}")
        query = presign_put(self.endpoint.host, path, size, seconds, self.credentials)
        return f"{self.endpoint.scheme}://{self.endpoint.host}{path}?{query}"

    def where(self, key: str) -> str:
        """The object's address, for sentences."""
        return f"s3://{self.name}/{key}"

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def _refusal(self, connection: "Connection", key: str) -> Exception:
        status = connection.status
        code = _code(connection.explanation())
        cause = f"{status} {code}" if code else str(status)
        if status < 300:
            return Interrupted(f"status {status} in answer to another question")
        if status in _TRANSIENT:
            return Interrupted(cause)
        if code in _OF_CREDENTIALS:
            advice = "its credentials have expired or are wrong; start the function anew, with good ones"
        elif code == "RequestTimeTooSkewed":
            advice = "set this machine's clock"
        elif status == 404:
            advice = "push the bundle, or correct COLDPRESS_BUCKET, COLDPRESS_MODEL and COLDPRESS_DIGEST"
        elif status == 403:
            advice = "allow the function's role s3:GetObject on it (S3 also says so of a missing object)"
        elif status in (301, 307, 400):
            advice = (
                f"set the region and endpoint to the bucket's{_region(connection)}, and check the credentials"
            )
        else:
            advice = "check the endpoint"
        return Refused(f"S3 does not give {self.where(key)} ({cause}): {advice}.", status, code)


def _code(explanation: str) -> str:
    """S3's name for what is wrong, such as ``NoSuchKey``; nothing else of what it says is repeated."""
    code = explanation.partition("<Code>")[2].partition("</Code>")[0]
    return code if code.isascii() and code.isalnum() and len(code) <= 64 else ""


def _region(connection: "Connection") -> str:
    region = connection.headers.get("x-amz-bucket-region", "")
    return f" ({region})" if region and _HOST_LETTERS.issuperset(region) else ""
