"""Starting and stopping the emulator: in this process (``main``) or as one of its own (``Emulator``)."""

import argparse
import contextlib
import http.client
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from emulator import settings

_START_SECONDS = 60.0


class CannotStart(Exception):
    """The emulator did not start; the sentence says why."""


class Emulator:
    """An emulator in a process of its own, which ends with this one whatever happens.

        with Emulator() as emulator:
            subprocess.run(["cdk", "deploy"], env={**os.environ, **emulator.environment()})

    Without a ``state_dir`` (images and logs) it has a temporary one, deleted by ``stop``. What was deployed
    is in memory and gone after ``stop`` in any case.
    """

    def __init__(self, port: int = 0, state_dir: Path | None = None) -> None:
        self._requested_port = port
        self._temporary = None if state_dir else tempfile.TemporaryDirectory(prefix="coldpress-emulator-")
        self.state_dir = state_dir or Path(self._temporary.name)  # type: ignore[union-attr]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises:
            CannotStart: the port is taken, or something is not installed.
        """
        self.state_dir.mkdir(parents=True, exist_ok=True)
        errors = self.state_dir / "emulator.err"
        with errors.open("wb") as error_file:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "emulator", "--stop-with-stdin"),
                    *("--port", str(self._requested_port), "--state-dir", str(self.state_dir)),
                ],
                stdin=subprocess.PIPE,  # its end of file tells the emulator that this process is gone
                stdout=subprocess.PIPE,
                stderr=error_file,
                start_new_session=True,
            )
        assert self._process.stdout is not None  # noqa: S101 - as asked for above
        first_line = self._process.stdout.readline().decode().strip()
        if not first_line:
            self.stop()
            reason = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
            raise CannotStart(f"The emulator did not start: {' '.join(reason) or 'it said nothing'}")
        self.url = first_line
        return self

    @property
    def pid(self) -> int:
        """The emulator's process id; start it first."""
        if self._process is None:
            raise CannotStart("The emulator is not started: call start().")
        return self._process.pid

    def stop(self) -> None:
        """Stop it and all that it started; deletes the state if it is temporary."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()
            self._process = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def advance(self, seconds: float) -> None:
        """Let emulated time pass: what is due until then is done when this returns."""
        self._clock("POST", {"advance_seconds": seconds})

    @contextlib.contextmanager
    def held_clock(self) -> Iterator[None]:
        """Within this, a rollout waits for ``advance``, and does not let the time pass by itself."""
        self._clock("POST", {"hold": True})
        try:
            yield
        finally:
            self._clock("POST", {"hold": False})

    def now(self) -> float:
        """Emulated time, in seconds since 1970."""
        return float(self._clock("GET")["now"])

    def _clock(self, method: str, change: dict[str, Any] | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.url.partition("//")[2])
        with contextlib.closing(connection):
            body = json.dumps(change) if change else None
            connection.request(method, f"{settings.CONTROL_PREFIX}clock", body)
            response = connection.getresponse()
            content: dict[str, Any] = json.load(response)
        if response.status != http.HTTPStatus.OK:
            raise ValueError(content["message"])
        return content

    def environment(self) -> dict[str, str]:
        """What to add to a process's environment so that AWS's tools and SDKs, and cdk, use the emulator."""
        return environment(self.url, self.state_dir)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def environment(url: str, state_dir: Path) -> dict[str, str]:
    """The variables of ``Emulator.environment`` for an emulator at ``url``."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": settings.ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": settings.SECRET_ACCESS_KEY,
        "AWS_REGION": settings.REGION,
        "AWS_DEFAULT_REGION": settings.REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "CDK_DEFAULT_ACCOUNT": settings.ACCOUNT,
        "CDK_DEFAULT_REGION": settings.REGION,
        "CDK_DOCKER": str(_docker_program(state_dir)),
        "CDK_DISABLE_VERSION_CHECK": "true",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_NOTICES": "false",
    }


def _docker_program(state_dir: Path) -> Path:
    """Write the program that the CDK takes for docker; see ``emulator.docker``."""
    program = state_dir.resolve() / "docker"
    words = [sys.executable, "-P", "-m", "emulator.docker", "--images", str(state_dir.resolve() / "images")]
    temporary = program.with_suffix(".tmp")
    temporary.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    temporary.chmod(0o755)
    temporary.replace(program)
    return program


def serve_forever(port: int, state_dir: Path, *, stop_with_stdin: bool = False) -> None:
    """Serve on loopback until SIGTERM, Ctrl-C or (if asked) the end of standard input.

    Prints the URL as its first line when it is ready.

    Raises:
        CannotStart: the port is taken, or something is not installed.
    """
    # Imported here: moto takes a second, and Emulator's users do not need it.
    from emulator.application import Application  # noqa: PLC0415 - see above
    from emulator.environments import find_rie  # noqa: PLC0415 - see above
    from emulator.http import make_server  # noqa: PLC0415 - see above

    state_dir = state_dir.resolve()
    state_dir.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(
        filename=state_dir / "emulator.log", level=logging.INFO, format="%(asctime)s %(name)s %(message)s"
    )
    find_rie()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    application = Application(state_dir)
    try:
        server = make_server(port, application)
    except OSError as error:
        application.close()
        raise CannotStart(
            f"Port {port} cannot be used ({error.strerror}): name another with --port."
        ) from None
    settings.set_port(server.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if stop_with_stdin:
        threading.Thread(target=_wait_for_end, args=(stopping,), daemon=True).start()
    try:
        sys.stdout.write(f"{settings.endpoint()}\n")
        sys.stdout.flush()
        stopping.wait()
    finally:
        application.close()
        server.server_close()


def _wait_for_end(stopping: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stopping.set()


def main(arguments: list[str] | None = None) -> int:
    """``python -m emulator``; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m emulator", description="AWS on this machine.")
    parser.add_argument("--port", type=int, default=settings.DEFAULT_PORT, help="0 takes any free one")
    parser.add_argument("--state-dir", type=Path, default=Path(".coldpress/emulator"), help="images and logs")
    parser.add_argument("--stop-with-stdin", action="store_true", help="stop at the end of standard input")
    options = parser.parse_args(arguments)
    try:
        serve_forever(options.port, options.state_dir, stop_with_stdin=options.stop_with_stdin)
    except Exception as error:  # noqa: BLE001 - one sentence, whatever it is
        sys.stderr.write(f"{error}\n")
        return 2
    return 0
