"""Evidently's DataDriftPreset: of the data set, where half of the columns drift, and of any column."""

from collections.abc import Iterator

import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset

from benchmarks.monitors.watching import Array, Said, main, windows

_SIZE = 200
_REFERENCE = 1000


def watch(reference: Array, stream: Array) -> Iterator[Said]:
    """In windows of 200 against 1,000 samples, as it takes seconds for each."""
    before = _frame(reference[:_REFERENCE])
    for end, window in windows(stream, _SIZE):
        result = Report([DataDriftPreset()]).run(_frame(window), before).dict()
        value = next(m["value"] for m in result["metrics"] if "DriftedColumnsCount" in m["metric_name"])
        yield end, {"data set": value["share"] >= 0.5, "any column": value["count"] > 0}


def _frame(rows: Array) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[f"c{index}" for index in range(rows.shape[1])])


if __name__ == "__main__":
    main(watch, ("data set", "any column"))
