"""What a bundle holds beside the model: golden samples."""

import io
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from bundle.arrays import golden_arrays
from optimizer.data import Sample
from optimizer.metrics.base import difference
from optimizer.runtime import Array, Feeds, run

_GOLDEN_SAMPLES = 4
_GOLDEN_BYTES = 8 * 1024**2

Golden = list[tuple[dict[str, Array], dict[str, Array]]]


def golden_samples(
    original: ort.InferenceSession, samples: Sequence[Sample], outputs: Sequence[str]
) -> Golden:
    """A few real inputs with the original model's outputs: at least one, and together not much over 8 MiB."""
    golden: Golden = []
    size = 0
    for sample in samples[:_GOLDEN_SAMPLES]:
        answers = run(original, sample.feeds, outputs)
        size += sum(array.nbytes for array in [*sample.feeds.values(), *answers.values()])
        if golden and size > _GOLDEN_BYTES:
            break
        golden.append(({name: _plain(a) for name, a in sample.feeds.items()}, _all_plain(answers)))
    return golden


def golden_npz(golden: Golden) -> bytes:
    """``golden.npz``; equal samples give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **golden_arrays(golden))
    return buffer.getvalue()


def golden_error(session: ort.InferenceSession, golden: Golden) -> dict[str, float]:
    """By output, the largest absolute difference to the golden outputs (for text, 1 where it differs)."""
    largest: dict[str, float] = {}
    for inputs, expected in golden:
        answers = run(session, _as_fed(session, inputs), list(expected))
        for name, want in expected.items():
            largest[name] = max(largest.get(name, 0.0), difference(_plain(answers[name]), want))
    return largest


def _plain(array: Array) -> Array:
    """Text as numpy's own text type, which needs no pickle."""
    return array.astype(str) if array.dtype == object else array


def _all_plain(arrays: dict[str, Array]) -> dict[str, Array]:
    return {name: _plain(array) for name, array in arrays.items()}


def _as_fed(session: ort.InferenceSession, inputs: Feeds) -> dict[str, Array]:
    text = {arg.name for arg in session.get_inputs() if arg.type == "tensor(string)"}
    return {name: array.astype(object) if name in text else array for name, array in inputs.items()}
