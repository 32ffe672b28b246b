"""The samples on which a pressed model differs most from the original."""

from collections.abc import Mapping, Sequence

import msgspec
import onnxruntime as ort

from optimizer.data import Sample
from optimizer.evaluate import Compared, Judge
from optimizer.metrics.base import difference
from optimizer.runtime import run

_COUNT = 5


class WorstSample(msgspec.Struct, frozen=True, kw_only=True):
    """One sample: its place in the user's evaluation data, and figures. Never what it holds.

    ``before`` and ``after`` are the metric of this sample alone, None where there is no such thing;
    ``difference`` is the largest of an output.
    """

    place: int
    before: float | None
    after: float | None
    difference: float


def worst_samples(
    judge: Judge,
    session: ort.InferenceSession,
    samples: Sequence[Sample],
    compared: Compared,
    places: Mapping[int, int],
) -> list[WorstSample]:
    """The few samples whose figures fell most, worst first; none where nothing fell.

    ``places`` are those of the samples in the evaluation data, by ``id``.
    """
    metric = judge.metric
    fell = [
        metric.apart(after, before) for before, after in zip(compared.before, compared.after, strict=True)
    ]
    order = sorted(range(len(samples)), key=lambda at: (-fell[at], places[id(samples[at])]))
    worst = []
    for at in order[:_COUNT]:
        if not fell[at] > 0:
            break
        feeds = samples[at].feeds
        expected, got = (run(one, feeds, judge.outputs) for one in (judge.original, session))
        worst.append(
            WorstSample(
                place=places[id(samples[at])],
                before=metric.of_one(compared.before[at]),
                after=metric.of_one(compared.after[at]),
                difference=max(difference(got[name], expected[name]) for name in judge.outputs),
            )
        )
    return worst
