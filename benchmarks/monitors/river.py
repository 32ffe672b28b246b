"""River's ADWIN and KSWIN at their defaults, one for each column, and an alarm where any detects a change."""

import math
from collections.abc import Iterator

from river import base, drift

from benchmarks.monitors.watching import Array, Said, main

_KSWIN_COLUMNS = 16  # it takes a millisecond a value, so for wide tables it is left out


def watch(reference: Array, stream: Array) -> Iterator[Said]:
    """Request by request, after the last of the reference, which warms them up."""
    count = reference.shape[1]
    adwin = [drift.ADWIN() for _ in range(count)]
    kswin = [drift.KSWIN(seed=0) for _ in range(count if count <= _KSWIN_COLUMNS else 0)]
    for row in reference[-500:].tolist():
        _update(adwin, row)
        _update(kswin, row)
    for index, row in enumerate(stream.tolist()):
        yield index + 1, {"ADWIN": _update(adwin, row), "KSWIN": _update(kswin, row)}


def _update(detectors: list[base.DriftDetector], row: list[float]) -> bool:
    found = False
    for detector, value in zip(detectors, row, strict=False):
        if not math.isnan(value):
            detector.update(value)
            found |= detector.drift_detected
    return found


if __name__ == "__main__":
    main(watch, ("ADWIN", "KSWIN"))
