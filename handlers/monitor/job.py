"""One run over the versions that are watched: the deployed one, and those that were asked shortly before."""

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from bundle.errors import BundleError
from bundle.manifest import Manifest
from handlers.monitor import page
from handlers.monitor.metrics import line_of, problem_line
from handlers.monitor.pressed import NotWatchable, Pressed, read_pressed
from handlers.monitor.replay import Original
from handlers.monitor.run import Limits, News, Run
from handlers.monitor.scope import Scope, narrowed
from handlers.monitor.status import Other, Status, decode, encode, other_of, status_of, unwatchable
from handlers.monitor.store import PAGE, STATUS, Moved, Store

# The version before a deployment is watched as long as it is asked, as in a canary, and so much longer.
_LINGERS_S = 3600.0
# So long what a run has told stands where nothing has changed; `coldpress watch` reckons with it.
_RETOLD_S = 3000.0
_SHARE_OF_REPLAYS = 0.4
_OTHERS = 5
# A warm environment need not open it again.
_originals: dict[str, Original] = {}


class Settings(NamedTuple):
    """What the function's variables say (docs/architecture.md)."""

    model: str
    version: str
    digest: str
    registry: str
    captures: str
    capture_rate: float
    scope: Scope
    agreement_share: float
    max_drop: float
    memory_mb: int

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Of the environment's variables."""
        return cls(
            model=environ["COLDPRESS_MODEL"],
            version=environ.get("COLDPRESS_VERSION", "1"),
            digest=environ["COLDPRESS_DIGEST"],
            registry=environ["COLDPRESS_BUCKET"],
            captures=environ["COLDPRESS_CAPTURES"],
            capture_rate=float(environ.get("COLDPRESS_CAPTURE_RATE", "1")),
            scope=Scope(
                sides=tuple(environ.get("COLDPRESS_CAPTURE_TENSORS", "inputs outputs").split()),
                redacted=tuple(json.loads(environ.get("COLDPRESS_CAPTURE_REDACT") or "[]")),
            ),
            agreement_share=float(environ.get("COLDPRESS_AGREEMENT_SHARE", "0")),
            max_drop=float(environ.get("COLDPRESS_MAX_DROP", "0")),
            memory_mb=int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024")),
        )


class Job:
    """What one invocation does.

    Attributes:
        trouble: why nothing is known of the version that is deployed, or nobody asks it; empty: all is well.
    """

    def __init__(self, client: Any, settings: Settings) -> None:
        self.trouble = ""
        self._client, self._settings = client, settings
        self._store = Store(client, settings.captures, settings.model)

    def run(self, now: float, due: float) -> Iterator[str]:
        """Watch until ``due`` (``time.monotonic``); the lines for the log."""
        settings = self._settings
        earlier = list(self._earlier())
        others = [status for status in map(self._status, [digest for digest, _ in earlier]) if status]
        compared = [other_of(status) for status in others]
        yield from self._watch(settings.digest, settings.version, now, due, compared)
        for digest, version in earlier:
            if self._is_asked(digest, now):
                yield from self._watch(digest, version, now, due, [])

    def _watch(self, digest: str, version: str, now: float, due: float, others: list[Other]) -> Iterator[str]:
        settings = self._settings
        began = time.monotonic()
        limits = Limits(
            due=due,
            replay_due=began + (due - began) * _SHARE_OF_REPLAYS,
            capture_rate=settings.capture_rate,
            agreement_share=settings.agreement_share,
            max_drop=settings.max_drop,
        )
        try:
            pressed = self._pressed(digest)
            run = Run(
                self._store,
                pressed,
                version,
                now=now,
                limits=limits,
                open_original=self._original,
            )
            news = run.work()
        except (NotWatchable, BundleError) as error:
            self._tell(unwatchable(settings.model, version, digest, now=now, why=str(error)))
            self._note(digest, str(error))
            yield problem_line(settings.model, version, str(error))
            return
        except Moved:
            yield json.dumps({"model": settings.model, "version": version, "note": "another run was quicker"})
            return
        status = _status_of(news, pressed, now, others)
        if not self._is_told(status):
            self._tell(status)
        if news.is_silent:
            self._note(digest, "no requests come, when many should")
        yield line_of(status, news.counts)

    def _note(self, digest: str, why: str) -> None:
        """A version that was deployed before may be silent."""
        if digest == self._settings.digest:
            self.trouble = why

    def _is_told(self, status: Status) -> bool:
        """Whether the last run said the same, and not long ago: a put costs as much as twelve gets."""
        last = self._status(status.digest)
        if last is None or status.updated - last.updated > _RETOLD_S:
            return False
        return encode(msgspec.structs.replace(status, updated=last.updated)) == encode(last)

    def _tell(self, status: Status) -> None:
        self._store.put(status.digest, STATUS, encode(status), "application/json")
        self._store.put(status.digest, PAGE, page.render(status).encode(), "text/html; charset=utf-8")

    def _earlier(self) -> Iterator[tuple[str, str]]:
        """The versions that were watched before, the latest first: their digests, and their numbers."""
        found = [(digest, self._status(digest)) for digest in self._store.digests()]
        known = [(d, s) for d, s in found if s is not None and d != self._settings.digest]
        known.sort(key=lambda entry: -entry[1].updated)
        for digest, status in known[:_OTHERS]:
            yield digest, status.version

    def _is_asked(self, digest: str, now: float) -> bool:
        status = self._status(digest)
        last = None if status is None else status.last_request or status.begun
        return last is not None and now - last < _LINGERS_S

    def _status(self, digest: str) -> Status | None:
        saved = self._store.load(digest, STATUS)
        try:
            return None if saved is None else decode(saved.data)
        except msgspec.DecodeError:
            return None

    def _pressed(self, digest: str) -> Pressed:
        settings = self._settings
        pressed = _read_pressed(self._client, settings.registry, settings.model, digest)
        return pressed._replace(baseline=narrowed(pressed.baseline, settings.scope))

    def _original(self, manifest: Manifest) -> Original:
        sha256, settings = manifest.source.sha256, self._settings
        if sha256 not in _originals:
            folder = Path(tempfile.gettempdir())
            found = Original.fetch(self._client, settings.registry, manifest, folder, settings.memory_mb)
            _originals.clear()  # one at a time fits
            _originals[sha256] = found
        return _originals[sha256]


def _status_of(news: News, pressed: Pressed, now: float, others: list[Other]) -> Status:
    status = status_of(news.watched, news.monitor, pressed.manifest, now=now, silent=news.is_silent)
    return msgspec.structs.replace(status, versions=others)


@lru_cache(maxsize=2)
def _read_pressed(client: Any, bucket: str, name: str, digest: str) -> Pressed:
    """A warm environment need not read it again."""
    return read_pressed(client, bucket, name, digest)
