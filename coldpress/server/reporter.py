"""The worker's end of the watching: answered requests go out, and the page comes in."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path

from coldpress.server.counters import Row
from coldpress.server.frames import Answered, Given, PageAsked, encode
from handlers.inference.after import ID_HEADER
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.tensor import Tensor

PAGE, STATUS = "/monitor", "/monitor/status.json"
# What is larger than a capture may be is not watched; nor is what comes faster than it is looked at.
_MOST_BYTES = 1000 * 1024
_MOST_WAITING_BYTES = 4 * 1024**2
_PAGE_SECONDS = 10.0

Tensors = Mapping[str, Tensor]


class Reporter(asyncio.Protocol):
    """Tells the process that watches.

    Args:
        socket: where it listens.
        row: counts what is left out.
        name: of the worker, for requests that their clients gave none.
    """

    def __init__(self, socket: Path, row: Row, name: str) -> None:
        self._socket, self._row, self._name = socket, row, name
        self._transport: asyncio.WriteTransport | None = None
        self._number = 0
        self._unwatched = 0

    async def connect(self) -> None:
        """Begin; where nobody listens any more, nothing is told."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().create_unix_connection(lambda: self, str(self._socket))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody listens."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checker
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        """Nobody does any more: the bundle cannot be watched, or the process has ended."""
        self._transport = None

    def tell(self, request: Request, inputs: Tensors, outputs: Tensors) -> None:
        """Of a request that has its answer; left out, and counted, where the last ones are still waiting."""
        if self._transport is None:
            return
        size = sum(map(_size, (*inputs.values(), *outputs.values())))
        if size > _MOST_BYTES or self._transport.get_write_buffer_size() > _MOST_WAITING_BYTES:
            self._unwatched += 1
            self._row.unwatched()
            return
        self._number += 1
        name = request.headers.get(ID_HEADER) or f"{self._name}-{self._number}"
        told = Answered(name, time.time(), _given(inputs), _given(outputs), self._unwatched)
        self._unwatched = 0
        self._transport.write(encode(told))

    async def page(self, *, as_json: bool) -> Response:
        """The page, or as JSON what is on it."""
        try:
            async with asyncio.timeout(_PAGE_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                writer.write(encode(PageAsked(as_json)))
                body = await reader.read()
                writer.close()
        except (OSError, TimeoutError):
            body = b""
        if not body:
            sentence = "nobody watches the requests any more: the server's log says why; start it anew."
            return json_response({"error": sentence}, 503)
        kind = "application/json" if as_json else "text/html; charset=utf-8"
        return Response(200, {"content-type": kind, "cache-control": "no-store"}, body)


def _size(tensor: Tensor) -> int:
    return sum(map(len, tensor.data)) if isinstance(tensor.data, list) else len(tensor.data)


def _given(tensors: Tensors) -> list[Given]:
    return [Given(name, tensor.dtype, tensor.shape, tensor.data) for name, tensor in tensors.items()]
