"""The workers of one server: started, replaced when they die, ended together."""

import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from ipaddress import ip_address
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path

from coldpress.errors import CommandError
from coldpress.server.batch_size import best_rows
from coldpress.server.counters import Counters
from coldpress.server.monitor import watch
from coldpress.server.worker import Options, Worker
from handlers.inference.errors import InitError
from handlers.inference.service import Service

_FORK = multiprocessing.get_context("fork")
# Longer than what a worker grants to requests that are still arriving.
_END_SECONDS = 30


class Supervisor:
    """Starts the workers and watches them. It loads no model itself, so that it can be forked at any time.

    Raises:
        CommandError: the model cannot be loaded, or a worker dies right after its start.
    """

    def __init__(self, listener: socket.socket, workers: int, options: Options) -> None:
        self._listener = listener
        self._options = options
        self._counters = Counters(workers)
        self._workers: dict[int, ForkProcess] = {}
        self._reports: dict[int, Connection] = {}
        self._helper: ForkProcess | None = None
        self._monitor: ForkProcess | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="coldpress-"))
        self._monitored = _unix_listener(self._folder / "monitor")
        self._alive_reader, self._alive_writer = os.pipe()

    def start(self, stop: int) -> str | None:
        """Start all workers and wait until they serve: its name, or None if ``stop`` is readable first."""
        for number in range(self._counters.workers):
            self._spawn(number)
        name = ""
        for number, report in self._reports.items():
            if stop in wait([report, stop]):
                return None
            name = self._name_from(number)
        self._monitor = _FORK.Process(target=self._watch_requests, daemon=True)
        self._monitor.start()
        if self._options.max_batch > 1:
            self._helper = _FORK.Process(target=self._measure, daemon=True)
            self._helper.start()
        return name

    def watch(self, stop: int) -> None:
        """Replace workers that die, until there is something to read from ``stop``."""
        while True:
            sentinels = {process.sentinel: number for number, process in self._workers.items()}
            monitor = [] if self._monitor is None else [self._monitor.sentinel]
            ready = wait([stop, *monitor, *sentinels])
            if stop in ready:
                return
            if self._monitor is not None and self._monitor.sentinel in ready:
                self._give_up_watching(self._monitor)
            for number in (sentinels[sentinel] for sentinel in sentinels if sentinel in ready):
                # One that never served would not serve another time.
                if not self._reports[number].closed:
                    self._name_from(number)
                how = _how(self._workers[number])
                sys.stderr.write(f"coldpress serve: a worker {how}; another one takes its place.\n")
                sys.stderr.flush()
                self._spawn(number)

    def end(self) -> None:
        """Ask all workers to finish what they have, and wait for them."""
        for process in self._workers.values():
            process.terminate()
        deadline = time.monotonic() + _END_SECONDS
        for process in self._workers.values():
            process.join(max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        # The others have nothing to finish, and one that was forked just now would miss a SIGTERM.
        for other in (self._monitor, self._helper):
            if other is not None:
                other.kill()
                other.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _name_from(self, number: int) -> str:
        """The model's name, which a worker tells when it serves."""
        try:
            is_ready, text = self._reports[number].recv()
        except EOFError:
            how = _how(self._workers[number])
            raise CommandError(
                f"a worker {how} while it loaded the model: free some memory, or ask for fewer "
                "workers with --workers."
            ) from None
        self._reports[number].close()
        if not is_ready:
            raise CommandError(text)
        return str(text)

    def _spawn(self, number: int) -> None:
        reader, writer = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=self._work, args=(number, writer))
        process.start()
        writer.close()
        self._workers[number] = process
        self._reports[number] = reader

    def _work(self, number: int, report: Connection) -> None:
        """In the new process."""
        self._forget_parent()
        worker = Worker(number, self._listener, self._counters, self._options, self._folder / "monitor")

        def ready(name: str) -> None:
            _tell(report, is_ready=True, text=name)

        try:
            worker.run(self._alive_reader, ready)
        except InitError as error:
            _tell(report, is_ready=False, text=str(error))

    def _watch_requests(self) -> None:
        """In a process of its own, which no answer waits for."""
        self._forget_parent()
        address = self._listener.getsockname()[0]
        is_private = ip_address(address).is_loopback
        self._listener.close()
        watch(
            self._monitored,
            self._options.bundle,
            parent=self._alive_reader,
            shows_requests=is_private,
        )

    def _give_up_watching(self, monitor: ForkProcess) -> None:
        """The state is gone with it, and workers go on without."""
        sys.stderr.write(
            f"coldpress serve: the process that watches the requests {_how(monitor)}: they are answered, "
            "but not watched any more until the server is started anew.\n"
        )
        sys.stderr.flush()
        self._monitor = None
        self._monitored.close()

    def _measure(self) -> None:
        """In a process of its own, while the workers serve: batching begins when it is known to pay."""
        self._forget_parent()
        model = Service.from_folder(self._options.bundle, threads=self._options.threads).model
        golden = self._options.bundle / "golden.npz"
        self._counters.best_rows = best_rows(model, golden, self._options.max_batch)

    def _forget_parent(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.close(self._alive_writer)


def _unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise CommandError(
            f"the folder for temporary files cannot be used ({path}: {error}): name another with TMPDIR."
        ) from None
    listener.listen()
    return listener


def _tell(report: Connection, *, is_ready: bool, text: str) -> None:
    report.send((is_ready, text))
    report.close()


def _how(process: ForkProcess) -> str:
    process.join()
    code = process.exitcode
    return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with status {code}"
