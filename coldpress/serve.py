"""``coldpress serve``: the endpoint that Lambda would run, on this machine, from a bundle or the registry."""

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

from coldpress.errors import CommandError
from coldpress.handles import BUNDLE, add_bucket_argument, bundle_at
from coldpress.server.supervisor import Supervisor
from coldpress.server.worker import Options

_BACKLOG = 1024


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "bundle",
        metavar=BUNDLE,
        help="a bundle's folder, or a model in the registry by digest, version or label",
    )
    add_bucket_argument(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0: any free one (default: %(default)s)")
    parser.add_argument("--workers", type=_count, help="processes (default: one for each core and thread)")
    parser.add_argument("--threads", type=_count, default=1, help="of one inference (default: %(default)s)")
    parser.add_argument(
        "--max-batch",
        type=_count,
        default=32,
        metavar="ROWS",
        help="rows of several requests that may run as one; how many do is measured (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-delay",
        type=_milliseconds,
        default=1.0,
        metavar="MS",
        help="how long a request may be held back for others that are arriving (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="how long a request may wait for its run to end, before it gets 504 (default: %(default)s)",
    )
    parser.add_argument(
        "--transform",
        metavar="MODULE:CLASS",
        help="your own code at :transform, from this folder or installed (docs/transforms.md)",
    )


def run(options: argparse.Namespace) -> int:
    """Start the workers, say where the model is served, and watch over them."""
    bundle = bundle_at(options.bundle, options.bucket)
    stop = _stop_pipe()
    if options.transform is not None and (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    workers = options.workers or max(1, len(os.sched_getaffinity(0)) // options.threads)
    told = Options(
        bundle=bundle,
        threads=options.threads,
        batch_delay=options.batch_delay / 1e3,
        max_batch=options.max_batch,
        timeout=options.timeout,
        transform=options.transform,
    )
    with _listener(options.host, options.port) as listener:
        supervisor = Supervisor(listener, workers, told)
        try:
            name = supervisor.start(stop)
            if name is None:
                return 0
            host = f"[{options.host}]" if ":" in options.host else options.host
            sys.stdout.write(f"http://{host}:{listener.getsockname()[1]}/v2/models/{name}\n")
            sys.stdout.flush()
            supervisor.watch(stop)
        finally:
            supervisor.end()
    return 0


def _stop_pipe() -> int:
    """Where a byte arrives with the first SIGINT or SIGTERM, both an ordinary way to stop a server."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise CommandError(
            f"port {port} cannot be used ({error}): name another with --port, or an address of this machine "
            "with --host."
        ) from None
    listener.setblocking(False)
    return listener


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number above 0")
    return int(text)


def _milliseconds(text: str) -> float:
    number = _number(text)
    if not 0 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of milliseconds from 0 to 1000")
    return number


def _seconds(text: str) -> float:
    number = _number(text)
    if not 0 < number <= 86_400:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds above 0 and up to a day (86400)")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1
