"""The function's AWS credentials: from the environment, or from the container's endpoint.

Which variables, and whom to ask over plain HTTP:
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from bundle.json_text import loads
from handlers.inference.errors import InitError
from handlers.inference.fetch.http import Interrupted, parse_url
from handlers.inference.fetch.retries import Connections, Patience

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.inference.fetch.http import Connection

_RELATIVE, _FULL = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_TOKEN, _TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
# Where the credentials do not leave the machine: ECS, EKS by either protocol, and the machine itself.
_HOSTS = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23", "localhost", "::1"})
_MAX_BYTES = 64 * 1024


class Credentials:
    """Whose requests these are, and in which region."""

    __slots__ = ("access_key", "region", "secret_key", "session_token")

    def __init__(self, access_key: str, secret_key: str, session_token: str | None, region: str) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.session_token = session_token
        self.region = region

    def __repr__(self) -> str:
        return f"Credentials(region={self.region!r})"


def credentials_from(environ: "Mapping[str, str]", patience: Patience | None = None) -> Credentials:
    """The function's credentials.

    Raises:
        InitError: there are none, or no region; the sentence names the variable or the endpoint.
    """
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise InitError("the environment has no AWS_REGION: set it to the region of the registry's bucket.")
    access_key, secret_key = environ.get("AWS_ACCESS_KEY_ID"), environ.get("AWS_SECRET_ACCESS_KEY")
    if access_key and secret_key:
        session_token = environ.get("AWS_SESSION_TOKEN") or None
        if not all(_is_header_text(part) for part in (access_key, secret_key, session_token or "-")):
            raise InitError(
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN holds characters that no "
                "credentials have, such as a line's end: set them anew."
            )
        return Credentials(access_key, secret_key, session_token, region)
    if environ.get(_RELATIVE) or environ.get(_FULL):
        return _from_container(environ, region, patience or Patience(tries=3, read=2.0))
    raise InitError(
        "the environment has no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to read the bundle with: "
        "give the function a role, or set them."
    )


def _from_container(environ: "Mapping[str, str]", region: str, patience: Patience) -> Credentials:
    relative = environ.get(_RELATIVE)
    variable = _RELATIVE if relative else _FULL
    url = f"http://169.254.170.2{relative}" if relative else environ[_FULL]
    endpoint, path = parse_url(url, variable)
    if endpoint.scheme == "http" and not _stays_here(endpoint.address):
        raise InitError(
            f"{variable} names a host that must be asked over https: only this machine and the container's "
            "own addresses may be asked over http."
        )
    headers = {"accept": "application/json", **_authorization(environ)}
    answer = b""

    def once(connection: "Connection") -> None:
        nonlocal answer
        status = connection.get(path or "/", headers, patience.deadline(_MAX_BYTES))
        if status != 200:
            raise Interrupted(f"status {status}")
        body = bytearray(min(connection.length, _MAX_BYTES))
        for _ in connection.read(memoryview(body)):
            pass
        answer = bytes(body)

    connections = Connections(endpoint, patience)
    what = f"the credentials that {variable} points to"
    connections.attempt(what, "check the variable, and that the function or task has a role", once)
    connections.close()
    return _parsed(answer, what, region)


def _parsed(answer: bytes, what: str, region: str) -> Credentials:
    try:
        content = loads(answer)
        access_key, secret_key, token = (content[n] for n in ("AccessKeyId", "SecretAccessKey", "Token"))
    except (ValueError, KeyError, TypeError):
        access_key = secret_key = token = None
    if not all(_is_header_text(part) for part in (access_key, secret_key, token)):
        raise InitError(f"{what} are not what AWS describes: check the endpoint.")
    return Credentials(access_key, secret_key, token, region)


def _authorization(environ: "Mapping[str, str]") -> dict[str, str]:
    path = environ.get(_TOKEN_FILE)
    token = environ.get(_TOKEN, "")
    if path:
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 - without pathlib
                token = file.read(_MAX_BYTES).strip()
        except (OSError, ValueError):
            raise InitError(f"{_TOKEN_FILE} names a file that cannot be read: check it.") from None
    if token and not _is_header_text(token):
        raise InitError(f"{_TOKEN_FILE if path else _TOKEN} holds no token: it has other characters.")
    return {"authorization": token} if token else {}


def _is_header_text(text: object) -> bool:
    """Whether it can be sent as a header's value without becoming another header."""
    return isinstance(text, str) and text != "" and text.isascii() and text.isprintable()


def _stays_here(address: str) -> bool:
    """Whether ``address`` is one that the SDKs ask for credentials over plain HTTP."""
    numbers = address.split(".")
    is_loopback = len(numbers) == 4 and numbers[0] == "127" and all(n.isdecimal() for n in numbers)
    return address in _HOSTS or is_loopback
