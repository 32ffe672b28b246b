"""Samples in batches, and what the teacher says to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor

from optimizer.data import Sample
from optimizer.quantize.ranges import with_outputs
from optimizer.runtime import Array, Feeds, optimised_session
from optimizer.train.errors import CannotTrain
from optimizer.train.interpreter import Interpreter, Values, as_feeds
from optimizer.train.operators import as_tensor

T = TypeVar("T")

_FEWEST = 16
_HELD, _MOST_HELD = 0.25, 64
_SMALLEST = 1e-12
_ALIKE = 0.02  # of the standard deviation: roundings that fall the other way


@dataclass(frozen=True)
class Batch:
    """Samples of equal shapes, and their labels where there are any."""

    samples: tuple[Feeds, ...]
    labels: tuple[Array, ...] = ()

    @property
    def feeds(self) -> Values:
        """One tensor for each input."""
        return as_feeds(self.samples)


def split(samples: Sequence[T], seed: int) -> tuple[list[T], list[T]]:
    """To train on, and held out, by chance.

    Raises:
        CannotTrain: they are too few.
    """
    if len(samples) < _FEWEST:
        raise CannotTrain(
            f"it needs {_FEWEST} calibration samples, better some hundreds, and there are {len(samples)}."
        )
    order = np.random.default_rng(seed).permutation(len(samples))
    held = min(int(len(samples) * _HELD), _MOST_HELD)
    return [samples[index] for index in order[held:]], [samples[index] for index in order[:held]]


def batches_of(samples: Sequence[Feeds], size: int, labels: Sequence[Array] = ()) -> list[Batch]:
    """Samples of equal shapes together, at most ``size``; ``labels``: of all samples, or none."""
    by_shape: dict[object, list[int]] = {}
    for at, feeds in enumerate(samples):
        by_shape.setdefault(tuple((name, feeds[name].shape) for name in sorted(feeds)), []).append(at)
    together = [alike[at : at + size] for alike in by_shape.values() for at in range(0, len(alike), size)]
    return [
        Batch(tuple(samples[at] for at in places), tuple(labels[at] for at in places) if labels else ())
        for places in together
    ]


def labelled_batches(samples: Sequence[Sample], size: int) -> list[Batch]:
    """The same with the samples' labels."""
    return batches_of([sample.feeds for sample in samples], size, labels_of(samples))


def labels_of(samples: Sequence[Sample]) -> list[Array]:
    """Of all, or none."""
    return [sample.label for sample in samples if sample.label is not None]


@torch.no_grad()
def batches_well(interpreter: Interpreter, samples: Sequence[Feeds]) -> bool:
    """Whether two samples of equal shapes at once give what they give alone, one after the other."""
    pair = next((batch for batch in batches_of(samples, 2) if len(batch.samples) == 2), None)
    if pair is None:
        return False
    alone = [interpreter(as_feeds([feeds])) for feeds in pair.samples]
    try:
        interpreter.samples = 2
        together = interpreter(pair.feeds)
    except RuntimeError:
        return False
    finally:
        interpreter.samples = 1
    for name, tensor in together.items():
        expected = torch.cat([one[name] for one in alone])
        if expected.shape != tensor.shape or not _is_alike(expected.float(), tensor.float()):
            return False
    return True


def _is_alike(expected: Tensor, found: Tensor) -> bool:
    return bool((expected - found).abs().mean() <= _ALIKE * expected.std(unbiased=False) + _SMALLEST)


class Teacher:
    """The float graph, run by ONNX Runtime; each sample runs alone."""

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._sessions: dict[tuple[str, ...], ort.InferenceSession] = {}

    def targets(self, names: Sequence[str], batches: Sequence[Batch]) -> list[Values]:
        """What it has for the named values, of each batch.

        Raises:
            CannotTrain: some of it is not finite.
        """
        found = self.values(names, batches)
        for values in found:
            for name, tensor in values.items():
                if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                    raise CannotTrain(f"the original gives NaN or infinity at {name}.")
        return found

    def values(self, names: Sequence[str], batches: Sequence[Batch]) -> list[Values]:
        """The same, finite or not."""
        wanted = tuple(names)
        if wanted not in self._sessions:
            self._sessions = {wanted: optimised_session(with_outputs(self._model, wanted))}
        session = self._sessions[wanted]
        return [self._of(session, wanted, batch) for batch in batches]

    def _of(self, session: ort.InferenceSession, names: tuple[str, ...], batch: Batch) -> Values:
        rows = [session.run(list(names), dict(feeds)) for feeds in batch.samples]
        found = {
            name: np.concatenate([row[at] for row in rows]) if len(rows) > 1 else rows[0][at]
            for at, name in enumerate(names)
        }
        return {name: as_tensor(np.asarray(array)) for name, array in found.items()}


def error(found: Tensor, wanted: Tensor) -> Tensor:
    """Squared error, as a share of the variance; of probabilities the divergence from the teacher's."""
    if not wanted.is_floating_point():
        return torch.zeros(())
    if are_probabilities(wanted):
        logs = found.clamp_min(_SMALLEST).log()
        return (wanted * (wanted.clamp_min(_SMALLEST).log() - logs)).sum(-1).mean()
    return (found - wanted).square().mean() / (wanted.var(unbiased=False) + _SMALLEST)


def are_probabilities(wanted: Tensor) -> bool:
    """Whether they are those of classes along the last axis."""
    if wanted.ndim < 2 or wanted.shape[-1] < 2 or bool((wanted < 0).any()):
        return False
    return bool(((wanted.sum(-1) - 1).abs() < 1e-3).all())
