"""Metrics of sequences that a network with connectionist temporal classification (CTC) reads."""

import numpy as np

from optimizer.errors import InputError
from optimizer.metrics.base import NamedMetric, Rows, has_classes
from optimizer.runtime import Array

BLANK = 0


def decode(output: Array) -> Array:
    """Greedy CTC (Graves et al. 2006): the best class of each step, repetitions once, blanks left out.

    ``output`` is [1, steps, classes] or [steps, classes]; class 0 is the blank.
    """
    if not has_classes(output) or output.ndim < 2 or output.size != np.prod(output.shape[-2:]):
        raise InputError("the metric cer needs scores [1, steps, classes] of one sequence: use accuracy.")
    best = output.reshape(output.shape[-2:]).argmax(axis=-1)
    changed = np.r_[True, best[1:] != best[:-1]]
    return np.asarray(best[changed & (best != BLANK)])


def _errors(output: Array, label: Array) -> list[float]:
    """Edit distance (Levenshtein) to the label, and the label's length; blanks and less pad a label."""
    actual = label.reshape(-1)
    actual = actual[actual > BLANK]
    return [float(distance(decode(output).tolist(), actual.tolist())), float(actual.size)]


def distance(left: list[int], right: list[int]) -> int:
    """The fewest insertions, deletions and substitutions that make one sequence the other."""
    row = list(range(len(right) + 1))
    for index, one in enumerate(left, 1):
        previous, row[0] = row[0], index
        for column, other in enumerate(right, 1):
            step = previous + (one != other)
            previous, row[column] = row[column], min(step, row[column] + 1, row[column - 1] + 1)
    return row[-1]


def _rate(rows: Rows) -> float:
    """Minus the character error rate: errors in all samples over characters in all labels."""
    return 0.0 - float(rows[:, 0].sum() / max(rows[:, 1].sum(), 1.0))


METRICS = (NamedMetric("cer", _errors, _rate, as_label=decode),)
