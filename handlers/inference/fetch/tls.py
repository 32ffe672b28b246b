"""TLS for a connected socket, trusting whom the system trusts.

By Python's C module alone: ``ssl`` adds enumerations, a socket class of its own and 12 ms of CPU, and none of
it is needed. Certificates are looked up in the system's folder by their names where it has one, because
reading all of some 140 from one file takes 20 ms.
"""

import _ssl
import os

from handlers.inference.fetch.http import Untrusted

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.inference.fetch.http import Socket

# Where distributions of Red Hat's kind keep the folder, which their OpenSSL does not look into by default.
_AMAZON_LINUX = "/etc/pki/ca-trust/extracted/pem/directory-hash"
_CERTIFICATE_REQUIRED = 2  # ssl.CERT_REQUIRED
_context: "_ssl._SSLContext | None" = None


def secure(connected: "Socket", host: str) -> "tuple[Callable[[memoryview], int], Callable[[bytes], object]]":
    """Shake hands as a client of ``host``; what reads into memory, and what sends.

    Raises:
        Untrusted: the certificate is not of ``host``, or not signed by anybody that the system trusts.
        OSError: the connection fails.
    """
    global _context  # noqa: PLW0603 - one for the process: the second connection to S3 is 2 ms cheaper
    context = _context = _context or _new_context()
    connection = context._wrap_socket(connected, False, host)  # type: ignore[attr-defined]
    try:
        connection.do_handshake()
    except _ssl.SSLCertVerificationError as error:
        raise Untrusted(f"the certificate of {host} is not trusted ({error.verify_message})") from None

    def read_into(target: memoryview) -> int:
        count: int = connection.read(len(target), target)
        return count

    def send(data: bytes) -> None:
        while data:
            data = data[connection.write(data) :]

    return read_into, send


def _new_context() -> "_ssl._SSLContext":
    context = _ssl._SSLContext(_ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = _CERTIFICATE_REQUIRED
    context.check_hostname = True
    _trust_the_system(context)
    return context


def _trust_the_system(context: "_ssl._SSLContext") -> None:
    _, _, _, folder = _ssl.get_default_verify_paths()
    if "SSL_CERT_FILE" not in os.environ and "SSL_CERT_DIR" not in os.environ:
        for hashed in (folder, _AMAZON_LINUX):
            if _is_hashed(hashed):
                context.load_verify_locations(None, hashed, None)
                return
    context.set_default_verify_paths()


def _is_hashed(folder: str) -> bool:
    """Whether OpenSSL finds certificates in ``folder`` by the hash of their names (``1a2b3c4d.0``)."""
    try:
        return any(name.endswith(".0") for name in os.listdir(folder))  # noqa: PTH208 - without pathlib
    except OSError:
        return False
