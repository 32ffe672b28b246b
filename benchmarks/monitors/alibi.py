"""Alibi Detect's KSDrift at its defaults: p of 0.05, columns corrected by Bonferroni."""

from collections.abc import Iterator

import numpy as np
from alibi_detect.cd import KSDrift

from benchmarks.monitors.watching import Array, Said, main, windows


def watch(reference: Array, stream: Array) -> Iterator[Said]:
    """In windows of 100."""
    detector = KSDrift(np.nan_to_num(reference), p_val=0.05)
    for end, window in windows(stream, 100):
        yield end, {"KSDrift": bool(detector.predict(np.nan_to_num(window))["data"]["is_drift"])}


if __name__ == "__main__":
    main(watch, ("KSDrift",))
