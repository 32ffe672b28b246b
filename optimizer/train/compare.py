"""Whether a trained model is better than the untrained one, and not by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from optimizer.data import Sample
from optimizer.evaluate import Judge

_RESAMPLES = 1000
_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Gain:
    """By how much a metric rose, and the interval of that at 95 %."""

    gain: float
    low: float
    high: float

    @property
    def is_real(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0


def gain(
    judge: Judge,
    untrained: ort.InferenceSession,
    trained: ort.InferenceSession,
    samples: Sequence[Sample],
    seed: int,
) -> Gain:
    """Paired bootstrap: the same resampled samples for both."""
    before, after = (judge.compare(session, samples).after for session in (untrained, trained))
    value, dice = judge.metric.value, np.random.default_rng(seed)
    gains = [
        value([after[at] for at in chosen]) - value([before[at] for at in chosen])
        for chosen in dice.integers(0, len(before), (_RESAMPLES, len(before)))
    ]
    finite = np.array(gains)[np.isfinite(gains)]
    low, high = np.quantile(finite, _TAILS) if finite.size else (0.0, 0.0)
    return Gain(float(value(after) - value(before)), float(low), float(high))
