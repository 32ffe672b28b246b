"""Try again while that can help, over connections that are kept as long as they are good."""

import os
import time

from handlers.inference.errors import InitError
from handlers.inference.fetch.http import Connection, Untrusted

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.inference.fetch.http import Endpoint


class Patience:
    """How long to wait and how often to try again.

    A try may take ``start`` seconds plus one for every ``slowest`` bytes; no single wait may take longer than
    ``read`` seconds. Between tries: up to ``backoff`` seconds, doubled each time ("full jitter").
    """

    __slots__ = ("backoff", "read", "slowest", "start", "tries")

    def __init__(
        self,
        *,
        tries: int = 5,
        read: float = 5.0,
        start: float = 5.0,
        slowest: float = 2e6,
        backoff: float = 0.1,
    ) -> None:
        self.tries = tries
        self.read = read
        self.start = start
        self.slowest = slowest
        self.backoff = backoff

    def deadline(self, size: int) -> float:
        """When a try that begins now and reads ``size`` bytes must be done, on ``time.monotonic``'s clock."""
        return time.monotonic() + self.start + size / self.slowest


class Connections:
    """Connections to one endpoint, for one caller or several threads."""

    def __init__(self, endpoint: "Endpoint", patience: Patience) -> None:
        self.endpoint = endpoint
        self.patience = patience
        self._idle: list[Connection] = []

    def attempt(self, what: str, advice: str, once: "Callable[[Connection], None]") -> None:
        """Do ``once`` over a connection, and again over another where it fails with an OSError.

        Raises:
            InitError: it failed in every try, or the host is not to be trusted; the sentence names ``what``
                was to be read, the cause, and gives the advice.
        """
        cause = ""
        for number in range(self.patience.tries):
            if number:
                time.sleep(_share() * self.patience.backoff * 2**number)
            try:
                connection = self._idle.pop() if self._idle else self._connect()
                try:
                    once(connection)
                finally:
                    self._keep(connection)
            except OSError as error:
                cause = str(error) or type(error).__name__
            except Untrusted as error:
                raise InitError(
                    f"{what} could not be read: {error}. Check the endpoint and this system's certificates."
                ) from None
            else:
                return
        raise InitError(
            f"{what} could not be read in {self.patience.tries} tries (the last: {cause}): {advice}."
        )

    def close(self) -> None:
        """Close what is open and idle."""
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> Connection:
        return Connection(self.endpoint, self.patience.read)

    def _keep(self, connection: Connection) -> None:
        if connection.is_reusable:
            self._idle.append(connection)
        else:
            connection.close()


def _share() -> float:
    """Evenly distributed from 0 to 1; ``random`` takes 2 ms to import."""
    return int.from_bytes(os.urandom(4), "big") / 2**32
