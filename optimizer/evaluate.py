"""Run models over samples, and compare their metric with the original's."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeVar

import msgspec
import numpy as np
import onnxruntime as ort

from optimizer.data import Sample
from optimizer.errors import InputError, first_line
from optimizer.metrics import FunctionMetric, Metric
from optimizer.runtime import Array, run

# Sessions have one thread each, and let several callers run at once: better used so than one run by two
# threads.
_THREADS = 2
# So that a drop from 1 to 0.99 is not above 0.01.
_DIGITS = 12
_UPPER = 0.975  # an interval's end
_RESAMPLES = 1000
_RESAMPLES_OF_FUNCTIONS = 100

T = TypeVar("T")


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """A metric before and after on the same samples; ``low`` and ``high`` bound the drop at 95 %.

    ``error`` is the drop's standard error by bootstrap. Where each sample is right or wrong and none changed,
    that is zero, whatever their number: ``unseen`` is then what the number alone leaves open.
    """

    before: float
    after: float
    drop: float
    low: float
    high: float
    error: float
    unseen: float = 0.0
    samples: int


@dataclass(frozen=True)
class Compared:
    """Scores, and what they come from: of each sample the truth, the original's row and the model's."""

    scores: Scores
    truths: list[Any]
    before: list[Any]
    after: list[Any]


def outputs_of(
    session: ort.InferenceSession,
    samples: Sequence[Sample],
    names: Sequence[str],
    keep: Callable[[int, dict[str, Array]], T],
) -> list[T]:
    """``keep(index, outputs)`` for every sample, in order; the outputs themselves are let go."""
    pool = ThreadPoolExecutor(_THREADS)
    try:
        return list(
            pool.map(lambda at: keep(at, run(session, samples[at].feeds, names)), range(len(samples)))
        )
    finally:
        pool.shutdown(cancel_futures=True)


def model_fails(where: str, error: Exception) -> InputError:
    """What to say when ONNX Runtime refuses to run the original model on the user's data."""
    return InputError(
        f"the model fails on {where} ({first_line(error)}): check the sample, or repair the model."
    )


class Judge:
    """A metric, some evaluation samples, and the original's answers to them."""

    def __init__(
        self, metric: Metric, original: ort.InferenceSession, outputs: Sequence[str], seed: int
    ) -> None:
        """``outputs``: those that the metric sees."""
        self.metric = metric
        self.outputs = outputs
        self.original = original
        self._seed = seed
        self._known: dict[int, tuple[Any, Any]] = {}

    def score(self, session: ort.InferenceSession, samples: Sequence[Sample]) -> Scores:
        """Compare a model with the original on these samples.

        Raises:
            InputError: the metric does not fit the outputs, raises, or has no value for the original.
        """
        return self.compare(session, samples).scores

    def compare(self, session: ort.InferenceSession, samples: Sequence[Sample]) -> Compared:
        """The same, and the figures of each sample."""
        known = self._originals(samples)
        truths, originals = [truth for truth, _ in known], [row for _, row in known]
        rows = outputs_of(
            session, samples, self.outputs, lambda at, outputs: self.metric.row(outputs, truths[at])
        )
        before = self.metric.value(originals)
        if not np.isfinite(before):
            raise InputError(
                f"the metric {self.metric.name} of the original model is {before} on {len(samples)} "
                "evaluation samples: its outputs are empty or not finite, or all labels are of one class; "
                "repair the model or the data."
            )
        return Compared(self._scores(before, originals, rows), truths, originals, rows)

    def _originals(self, samples: Sequence[Sample]) -> list[tuple[Any, Any]]:
        """(truth, row) of the original model for each sample, computed once."""
        missing = [sample for sample in samples if id(sample) not in self._known]

        def keep(at: int, outputs: dict[str, Array]) -> tuple[Any, Any]:
            label = missing[at].label
            truth = self.metric.truth(outputs) if label is None else dict.fromkeys(self.outputs, label)
            return truth, self.metric.row(outputs, truth)

        for sample, pair in zip(missing, self._run_original(missing, keep), strict=True):
            self._known[id(sample)] = pair
        return [self._known[id(sample)] for sample in samples]

    def _run_original(
        self, samples: Sequence[Sample], keep: Callable[[int, dict[str, Array]], tuple[Any, Any]]
    ) -> list[tuple[Any, Any]]:
        try:
            return outputs_of(self.original, samples, self.outputs, keep)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
            raise model_fails("an evaluation sample", error) from None

    def _scores(self, before: float, original: list[Any], rows: list[Any]) -> Scores:
        """Paired bootstrap: the same resampled samples for both models."""
        after = self.metric.value(rows)
        random = np.random.default_rng(self._seed)
        count = _RESAMPLES_OF_FUNCTIONS if isinstance(self.metric, FunctionMetric) else _RESAMPLES
        drops = []
        for chosen in random.integers(0, len(rows), (count, len(rows))):
            resampled = ([side[index] for index in chosen] for side in (original, rows))
            drops.append(self.metric.value(next(resampled)) - self.metric.value(next(resampled)))
        finite = np.array(drops)[np.isfinite(drops)]
        drop = round(before - after, _DIGITS)
        low, high = np.quantile(finite, [1 - _UPPER, _UPPER]) if finite.size else (drop, drop)
        at_most = self._none_of(original, rows)
        return Scores(
            before=before,
            after=after,
            drop=drop,
            low=float(low),
            high=max(float(high), at_most),
            error=float(finite.std()) if finite.size else float("nan"),
            unseen=at_most / NormalDist().inv_cdf(_UPPER),
            samples=len(rows),
        )

    def _none_of(self, original: list[Any], rows: list[Any]) -> float:
        """The largest share of changes that are not seen once in so many samples; 0 if that is no question.

        Clopper and Pearson 1934: the upper end of the exact interval for no success in n trials.
        """
        values = [
            (self.metric.of_one(one), self.metric.of_one(other))
            for one, other in zip(original, rows, strict=True)
        ]
        if all(before == after and before in (0.0, 1.0) for before, after in values):
            return float(1 - (1 - _UPPER) ** (1 / len(rows)))
        return 0.0
