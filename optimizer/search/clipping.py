"""Which of several ranges each activation gets: the one that changes the model's answers least.

What is lost in a layer and what is lost in the answers are not the same: an outlier may be all that matters,
or nothing. So each value is rounded alone, in each of its ranges, and the model run on from there.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from optimizer.quantize.ranges import Range, rounded_to_u8
from optimizer.runtime import Feeds
from optimizer.search.probe import Probe, over_samples

_SAMPLES = 4


def pick_ranges(
    clean: bytes,
    several: Mapping[str, Sequence[Range]],
    samples: Sequence[Feeds],
    outputs: Sequence[str],
    until: float,
) -> dict[str, Range]:
    """One of ``several`` ranges for each value.

    Tried on up to 4 samples; on fewer where that many would not be done by the time ``until``.
    """
    model = onnx.load_model_from_string(clean)
    fixed = {value.name for value in model.graph.output}  # what is never rounded
    rounded = {name: ranges for name, ranges in several.items() if name not in fixed}
    probe = Probe(model, rounded, outputs)
    found = over_samples(lambda feeds: _of_sample(probe, rounded, feeds), samples, _SAMPLES, until)
    least = {name: int(np.argmin(np.mean([one[name] for one in found], axis=0))) for name in rounded}
    return {name: ranges[least.get(name, 0)] for name, ranges in several.items()}


def _of_sample(probe: Probe, several: Mapping[str, Sequence[Range]], feeds: Feeds) -> dict[str, list[float]]:
    """How far the answers move for each of the ranges."""
    values = probe.values(feeds)
    return {
        name: [
            probe.distance(values, {name: rounded_to_u8(values[name], *limits) - values[name]})
            for limits in ranges
        ]
        for name, ranges in several.items()
    }
