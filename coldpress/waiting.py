"""Waiting for the end: Ctrl-C or SIGTERM, both an ordinary way to stop a server."""

import signal
import threading


def stop_requested() -> threading.Event:
    """An event that the process's first SIGINT or SIGTERM sets; call it from the main thread."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
