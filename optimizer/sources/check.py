"""Does a converted model answer as its framework does?"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from optimizer.errors import InputError, first_line
from optimizer.runtime import Array, run, serving_session

# Of the largest value: what float sums in another order may differ by.
ALLOWED = 1e-3

Arrays = Mapping[str, Array]


def check(path: Path, what: str, framework: str, feeds: Sequence[Arrays], answers: Sequence[Arrays]) -> None:
    """Refuse the ONNX file of a model, called ``what``, that answers otherwise than its framework did.

    ``answers``: the framework's, by output, to ``feeds``.

    Raises:
        InputError: it does, or it does not run; the sentence has the figure.
    """
    try:
        session = serving_session(path)
        found = [run(session, one, list(answer)) for one, answer in zip(feeds, answers, strict=True)]
    except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
        raise InputError(f"{what} became an ONNX model that does not run ({first_line(error)}).") from None
    for name in answers[0]:
        pairs = [(answer[name], ours[name]) for answer, ours in zip(answers, found, strict=True)]
        gap = difference(pairs)
        if gap > ALLOWED:
            raise InputError(
                f"{what} as ONNX answers otherwise than in {framework}: its output '{name}' differs by "
                f"{gap:.2g} of the largest value, where {ALLOWED:g} is allowed."
            )


def difference(pairs: Sequence[tuple[Array, Array]]) -> float:
    """The largest difference of two answers to several samples, as a share of the largest value.

    Infinite where shapes differ, or one has numbers where the other has none.
    """
    largest, gap = 0.0, 0.0
    for left, right in pairs:
        if left.shape != right.shape or left.dtype.kind in "OSU" or right.dtype.kind in "OSU":
            if left.shape != right.shape or not np.array_equal(left.astype(str), right.astype(str)):
                return float("inf")
            continue
        one, other = np.asarray(left, np.float64), np.asarray(right, np.float64)
        finite = np.isfinite(one)
        if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
            return float("inf")
        if finite.any():
            largest = max(largest, float(np.abs(one[finite]).max()))
            gap = max(gap, float(np.abs(one[finite] - other[finite]).max()))
    return gap / max(largest, 1e-6)
