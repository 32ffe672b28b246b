"""Is it still right: the process that looks at what the workers were asked, and renders the page."""

import asyncio
import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bundle.folder import read
from coldpress.server.frames import LENGTH_BYTES, Answered, Given, PageAsked, decode
from handlers.monitor import page
from handlers.monitor.arrays import array_of
from handlers.monitor.examples import Examples
from handlers.monitor.look import Look
from handlers.monitor.pressed import NotWatchable, Pressed, pressed_in
from handlers.monitor.status import Status, encode, status_of, unwatchable
from handlers.monitor.watched import begin
from monitoring.captures import Batch, Misfit, Place, Seen, fitted, joined
from monitoring.features import Rows, Side, Tensor

# It gives way to the workers, and rests so much longer than it works: a twentieth of a core, whatever comes.
_NICE = 10
_REST = 19.0
_AT_ONCE_BYTES = 128 * 1024  # so that a page never waits for long
_WAITING = 64  # requests; what comes beyond waits in the workers, and is left out there
_VERSION = "1"  # as in the URLs of `serve`
_CATCH_UP_S = 0.5  # before a page, until nothing more has come for so long:
_QUIET_S = 0.02
# The last requests, of which the page may show some.
_KEPT_BYTES = 32 * 1024**2
_KEPT_BATCHES = 512

Array = npt.NDArray[Any]


def watch(listener: socket.socket, bundle: Path, *, parent: int, shows_requests: bool) -> None:
    """Watch until the parent ends.

    Args:
        listener: where workers tell, and ask for the page.
        bundle: the folder of what is served.
        parent: a pipe whose other end the parent holds as long as it lives.
        shows_requests: whether the page may show requests, not only how they are distributed.
    """
    os.nice(_NICE)
    asyncio.run(_Watching(bundle, shows_requests=shows_requests).run(listener, parent))


class _Watching:
    """The state, the requests that wait to be looked at, and whoever asks for the page."""

    def __init__(self, bundle: Path, *, shows_requests: bool) -> None:
        self._manifest = read(bundle)
        self._seen = Seen()
        self._count = 0  # of the requests that came
        self._kept: deque[tuple[str, Batch, int]] = deque()
        self._shows_requests = shows_requests
        self._look: Look | None = None
        self._why = ""
        try:
            self._look = _begin(pressed_in(bundle, self._manifest), time.time())
        except NotWatchable as error:
            self._why = str(error)

    async def run(self, listener: socket.socket, parent: int) -> None:
        """Until there is something to read from ``parent``."""
        self._queue: asyncio.Queue[tuple[Answered, int]] = asyncio.Queue(_WAITING)
        self._hurry = asyncio.Event()
        over = asyncio.Event()
        asyncio.get_running_loop().add_reader(parent, over.set)
        work = asyncio.create_task(self._work())
        async with await asyncio.start_unix_server(self._connected, sock=listener):
            await over.wait()
        work.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A worker tells, one request after the other, or wants the page."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                size = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "little")
                frame = decode(await reader.readexactly(size))
                if isinstance(frame, PageAsked):
                    writer.write(await self._told(as_json=frame.as_json))
                    break
                if self._look is None:
                    break
                await self._queue.put((frame, size))
        writer.close()

    async def _work(self) -> None:
        while True:
            told, size = await self._queue.get()
            waiting = [told]
            while size < _AT_ONCE_BYTES and not self._queue.empty():
                told, more = self._queue.get_nowait()
                waiting.append(told)
                size += more
            began = time.process_time()
            self._count += len(waiting)
            self._look_at(waiting)
            spent = time.process_time() - began
            for _ in waiting:
                self._queue.task_done()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), _REST * spent)

    def _look_at(self, waiting: list[Answered]) -> None:
        assert self._look is not None  # noqa: S101 - else nothing waits
        tally = self._look.state.tally
        requests = []
        for told in waiting:
            if told.unwatched:
                self._look.state.count("unwatched", told.unwatched)
            if not self._seen.add(told.id):
                tally.note("duplicated", told.id)
                continue
            try:
                requests.append(fitted(told.id, told.time, _arrays(told), self._tensors))
            except Misfit as error:
                tally.note("misfit", told.id, str(error))
        for batch in joined(requests):
            key = batch.ids[0]
            tally.note("read", key, count=len(set(batch.ids)))
            if self._look.look_at(batch, key) and self._shows_requests:
                self._keep(key, batch)

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        assert self._look is not None  # noqa: S101 - else nothing waits
        return self._look.monitor.baseline.tensors

    def _keep(self, key: str, batch: Batch) -> None:
        self._kept.append((key, batch, sum(map(_bytes, (*batch.inputs.values(), *batch.outputs.values())))))
        while len(self._kept) > _KEPT_BATCHES or sum(kept for _, _, kept in self._kept) > _KEPT_BYTES:
            self._kept.popleft()

    def _batches_of(self, key: str) -> Iterable[Batch]:
        return [batch for known, batch, _ in self._kept if known == key]

    async def _told(self, *, as_json: bool) -> bytes:
        """The page, of all that has come so far if that is soon looked at."""
        self._hurry.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_S):
                count = -1
                while count != self._count:
                    count = self._count
                    await asyncio.sleep(_QUIET_S)
                    await self._queue.join()
        self._hurry.clear()
        status = self._status(time.time())
        return encode(status) if as_json else page.render(status).encode()

    def _status(self, now: float) -> Status:
        manifest, look = self._manifest, self._look
        if look is None:
            return unwatchable(manifest.name, _VERSION, manifest.digest, now=now, why=self._why)
        Examples(self._batches_of).refresh(look.state, look.monitor, now)
        return status_of(look.state, look.monitor, manifest, now=now, silent=look.is_silent(now))


def _begin(pressed: Pressed, now: float) -> Look:
    state = begin(pressed.manifest.digest, _VERSION, now)
    look = Look(state, pressed, max_drop=0.0, now=now)
    state.quality.unknown = state.quality.unknown or "`coldpress serve` takes no labels"
    state.agreement.unknown = "`coldpress serve` does not ask the original model"
    return look


def _arrays(told: Answered) -> dict[Place, Array]:
    sides: tuple[tuple[Side, list[Given]], ...] = ("inputs", told.inputs), ("outputs", told.outputs)
    return {
        (side, given.name): array_of(given.dtype, given.shape, given.data)
        for side, all_given in sides
        for given in all_given
    }


def _bytes(rows: Rows) -> int:
    return sum(row.nbytes for row in rows) if isinstance(rows, list) else np.asarray(rows).nbytes
