"""NannyML's UnivariateDriftCalculator at its defaults (Jensen-Shannon), an alert of any column."""

import os
from collections.abc import Iterator

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"  # it reports its use to its makers else

import pandas as pd
from nannyml import UnivariateDriftCalculator

from benchmarks.monitors.watching import Array, Said, main

_SIZE = 100


def watch(reference: Array, stream: Array) -> Iterator[Said]:
    """In chunks of 100."""
    columns = [f"c{index}" for index in range(reference.shape[1])]
    calculator = UnivariateDriftCalculator(column_names=columns, chunk_size=_SIZE)
    calculator.fit(pd.DataFrame(reference, columns=columns))
    whole = len(stream) // _SIZE * _SIZE
    result = calculator.calculate(pd.DataFrame(stream[:whole], columns=columns))
    table = result.filter(period="analysis").to_df(multilevel=False)
    alerts = table[[name for name in table.columns if name.endswith("_alert")]].any(axis=1)
    for index, alert in enumerate(alerts):
        yield (index + 1) * _SIZE, {"any column": bool(alert)}


if __name__ == "__main__":
    main(watch, ("any column",))
