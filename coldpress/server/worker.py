"""One worker: a process with an event loop, the model, and its share of the connections."""

import asyncio
import contextlib
import ctypes
import signal
import socket
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import msgspec

from coldpress.server.batching import BatchedModel
from coldpress.server.counters import Counters, protocol_of
from coldpress.server.http1 import Connection, Reply
from coldpress.server.reporter import PAGE, STATUS, Reporter
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.service import Service

# Of a request that is still arriving when the server is asked to stop.
_GRACE_SECONDS = 10
_SWEEP_SECONDS = 5
_OWN_PATHS = ("/metrics", PAGE, STATUS)
# malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# How long a connection waits for a worker that has fewer, before this one takes it.
_POLITE_SECONDS = 0.002


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What every worker is told."""

    bundle: Path
    threads: int
    batch_delay: float
    max_batch: int
    timeout: float
    transform: str | None = None


class Worker:
    """Answers on the event loop: with a worker for each core, a thread would have none to run on."""

    def __init__(
        self, number: int, listener: socket.socket, counters: Counters, options: Options, monitor: Path
    ) -> None:
        """Args are those of the supervisor; ``monitor``: the socket of the process that watches."""
        self.is_stopping = False
        self._number = number
        self._listener = listener
        self._counters = counters
        self._row = counters.of(number)
        self._options = options
        self._reporter = Reporter(monitor, self._row, f"worker-{number}")
        self._pages: set[asyncio.Task[None]] = set()
        self._connections: set[Connection] = set()
        self._accepting: set[asyncio.Task[object]] = set()
        self._may_take = False

    def run(self, parent: int, ready: Callable[[str], None]) -> None:
        """Load the model, say its name, and serve until SIGTERM, SIGINT, or the parent's end.

        Args:
            parent: a pipe whose other end the parent holds as long as it lives.
            ready: told the model's name.

        Raises:
            InitError: the model cannot be loaded.
        """
        _keep_freed_memory()
        told = self._options
        service = Service.from_folder(told.bundle, threads=told.threads, transform=told.transform)
        asyncio.run(self._serve(service, parent, ready))

    async def _serve(self, service: Service, parent: int, ready: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        self._loop.add_reader(parent, self._stop.set)
        self._model = BatchedModel(
            service.model,
            limit=lambda: self._counters.best_rows,
            delay=self._options.batch_delay,
            others_arrive=lambda: any(connection.is_receiving for connection in self._connections),
            ran=self._row.ran,
            timeout=self._options.timeout,
        )
        self._service = Service(self._model, transform=service.transform)
        await self._reporter.connect()
        self._row.started()
        self._loop.add_reader(self._listener, self._accept)
        ready(self._model.name)
        sweep = asyncio.create_task(self._sweep())
        await self._stop.wait()
        self._loop.remove_reader(parent)
        sweep.cancel()
        await self._drain()

    def opened(self, connection: Connection) -> None:
        """A connection begins."""
        self._connections.add(connection)
        self._row.set_connections(len(self._connections))

    def closed(self, connection: Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)
        self._row.set_connections(len(self._connections))

    def answer(self, request: Request, reply: Reply) -> None:
        """Call ``reply`` with the answer, now or when its batch has run."""
        started = time.perf_counter()

        def send(response: Response) -> None:
            self._row.answered(protocol_of(request.path), response.status, time.perf_counter() - started)
            reply(response)

        if request.path not in _OWN_PATHS:
            self._model.start(lambda: self._infer(request, send))
        elif request.method not in ("GET", "HEAD"):
            send(json_response({"error": f"{request.path} takes GET."}, 405, {"allow": "GET"}))
        elif request.path == "/metrics":
            send(self._metrics())
        else:
            self._send_page(request.path, send)

    def _infer(self, request: Request, send: Reply) -> None:
        self._model.take_kept()
        response = self._service.answer(request)
        kept = self._model.take_kept()
        send(response)
        # After the answer, which may let this connection's next request begin.
        if kept is not None and response.status == HTTPStatus.OK:
            self._reporter.tell(request, *kept)

    def _send_page(self, path: str, send: Reply) -> None:
        async def page() -> None:
            send(await self._reporter.page(as_json=path == STATUS))

        task = asyncio.create_task(page())
        self._pages.add(task)
        task.add_done_callback(self._pages.discard)

    def _metrics(self) -> Response:
        model = self._model
        labels = {"model": model.name, "version": model.version, "digest": model.manifest.digest}
        text = self._counters.exposition(labels)
        return Response(200, {"content-type": "text/plain; version=0.0.4; charset=utf-8"}, text.encode())

    def _accept(self) -> None:
        """Take one connection; they stay for long, so they are spread evenly and not as chance has it."""
        held = self._counters.connections()
        if held[self._number] > min(held) and not self._may_take:
            self._may_take = True
            self._pause_accepting(_POLITE_SECONDS)
            return
        self._may_take = False
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the client is gone
        except OSError as error:
            sys.stderr.write(f"coldpress serve: a connection cannot be taken ({error.strerror}).\n")
            self._pause_accepting(1)
            return
        client.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(lambda: Connection(self), client)
        )
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    def _pause_accepting(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._loop.call_later(seconds, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if not self.is_stopping:
            self._loop.add_reader(self._listener, self._accept)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self._loop.time()
            for connection in list(self._connections):
                connection.abort_if_idle(now)

    async def _drain(self) -> None:
        """Answer what is here or arriving, take nothing new."""
        self.is_stopping = True
        self._loop.remove_reader(self._listener)
        self._listener.close()
        end = self._loop.time() + _GRACE_SECONDS
        if self._accepting:
            await asyncio.wait(self._accepting)
        while self._connections and self._loop.time() < end:
            for connection in list(self._connections):
                connection.end()
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        with contextlib.suppress(TimeoutError):
            await asyncio.sleep(0)


def _keep_freed_memory() -> None:
    """A body's memory is used again for the next one, and not given back and zeroed anew: 5 % less CPU."""
    with contextlib.suppress(AttributeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 * 1024**2)
        mallopt(_M_TRIM_THRESHOLD, 64 * 1024**2)
