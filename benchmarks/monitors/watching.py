"""What the tools' scripts share: they watch streams and say after which requests they raised an alarm.

Usage: python -m benchmarks.monitors.TOOL FOLDER REPORT.json; FOLDER holds ``.npz`` files with ``reference``
and
``stream``, float32 [requests, columns], and ``at``, the request that the change is at.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
# After which request, and by which of the tool's rules there is an alarm.
Said = tuple[int, dict[str, bool]]


def main(watch: Callable[[Array, Array], Iterator[Said]], rules: tuple[str, ...]) -> None:
    """Watch all streams and write by stream and rule the requests with an alarm, and the CPU's seconds."""
    folder, report = Path(sys.argv[1]), Path(sys.argv[2])
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as archive:  # noqa: TID251 - written by benchmarks.monitor
            reference, stream, at = archive["reference"], archive["stream"], int(archive["at"])
        alarms: dict[str, list[int]] = {rule: [] for rule in rules}
        start, error, end = time.process_time(), "", 0
        try:
            for end, said in watch(reference, stream):
                for rule, alarm in said.items():
                    if alarm:
                        alarms[rule].append(end)
                if all(any(one > at for one in ends) for ends in alarms.values()):
                    break
        except Exception as problem:  # noqa: BLE001 - what a tool raises is its result
            error = f"{type(problem).__name__}: {problem}"[:200]
        seconds = time.process_time() - start
        found[path.stem] = {"alarms": alarms, "seen": end, "seconds": seconds, "error": error}
        print(path.stem, {rule: len(ends) for rule, ends in alarms.items()}, end, error, file=sys.stderr)
    report.write_text(json.dumps(found))


def windows(stream: Array, size: int) -> Iterator[tuple[int, Array]]:
    """One after the other; the number of requests up to its end, and its requests."""
    for end in range(size, len(stream) + 1, size):
        yield end, stream[end - size : end]
