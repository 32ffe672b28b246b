"""What was predicted, and whether a label says that it was right: of classes, and of numbers and scores.

Classes as the metric accuracy of `optimize` has them: the place of the largest score, a lone score of two
classes against 0.5, or what is no float as it is. Of numbers and scores, how near they are to the label
(monitoring/deviation.py).
"""

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from bundle.manifest import Manifest
from handlers.monitor.watched import RECENT, Tested
from monitoring import deviation
from monitoring.baseline import Baseline
from monitoring.deviation import Deviation
from monitoring.features import Rows, Tensor
from monitoring.labels import Label, WrongLabel
from monitoring.quality import Quality

LEARNED = 200  # labels by which it is known how often a version is right where no figure was verified
_OF_CLASSES = ("accuracy", "exact-match", "f1", "auc", "log-loss", "top1", "agreement")
_SHARES_OF_RIGHT = ("accuracy", "exact-match", "top1")


class Truth(Protocol):
    """How labels are held against one ``output``; ``says`` is what is said of the share that is right."""

    output: str
    says: str

    def predictions(self, rows: Rows) -> list[Any]:
        """By row what a label is held against: small, for it waits for the label."""

    def values(self, pairs: Iterable[tuple[Any, Label]], quality: Tested) -> list[float]:
        """By prediction and label what the test takes, from 0 to 1; raises WrongLabel where there is none."""

    def test(self, max_drop: float) -> Quality | None:
        """Against how often it should be right; None where no figure is known."""


class Unknown(Exception):
    """Labels say nothing of this model; the message is a clause that says why."""


def truth_of(baseline: Baseline, manifest: Manifest) -> Truth:
    """What the manifest's metric, and what was kept and verified, let labels say.

    Raises:
        Unknown: nothing.
    """
    outputs = [tensor for tensor in baseline.tensors if tensor.side == "outputs"]
    if not outputs:
        raise Unknown("the answers are not kept")
    watched = {tensor.name: tensor for tensor in outputs if _is_watched(tensor, baseline)}
    known = baseline.deviation
    if isinstance(known, Deviation) and known.output in watched:
        return Deviations(known, manifest.class_labels)
    if manifest.metric.name in ("rmse", "mae"):
        raise Unknown(
            "the bundle does not say how far answers may be off: press the model with labels beside its "
            "evaluation data"
        )
    for tensor in watched.values():
        if _tells_classes(tensor, manifest):
            return Classes(tensor, manifest, baseline)
    raise Unknown("the model predicts no classes")


class Classes:
    """Right is the class that the label names."""

    says = "are right"

    def __init__(self, tensor: Tensor, manifest: Manifest, baseline: Baseline) -> None:
        self.output = tensor.name
        self._tensor, self._manifest, self._baseline = tensor, manifest, baseline

    def predictions(self, rows: Rows) -> list[Any]:
        """By row, the class that was predicted: its number, or what the model calls it."""
        flat = np.asarray(rows).reshape(len(rows), -1)
        if flat.dtype.kind != "f" or not self._tensor.dtype.startswith("float"):
            return [
                value.decode(errors="replace") if isinstance(value, bytes) else value
                for value in flat[:, 0].tolist()
            ]
        found = flat.argmax(axis=1) if flat.shape[1] > 1 else (flat[:, 0] > 0.5).astype(int)
        return [int(value) for value in found]

    def values(self, pairs: Iterable[tuple[Any, Label]], quality: Tested) -> list[float]:  # noqa: ARG002
        """1 where the label names the predicted class."""
        return [float(self._is_right(prediction, label)) for prediction, label in pairs]

    def _is_right(self, prediction: Any, label: Label) -> bool:
        """By the class's number, or by its name, which may be a number, too."""
        if isinstance(label, list) and len(label) == 1:
            (label,) = label
        class_labels = self._manifest.class_labels
        is_number = isinstance(prediction, int) and 0 <= prediction < len(class_labels)
        if is_number and str(label) in class_labels:
            return bool(class_labels[prediction] == str(label))
        if isinstance(prediction, str) or isinstance(label, str):
            return str(prediction) == str(label)
        return bool(prediction == label)

    def test(self, max_drop: float) -> Quality | None:
        """Against the verified figure, else the calibration data's labels."""
        metric, reliability = self._manifest.metric, self._baseline.reliability
        if metric.name in _SHARES_OF_RIGHT:
            return tested(metric.after, metric.samples, max_drop)
        if reliability is not None:
            correct, samples = (int(np.sum(part)) for part in (reliability.correct, reliability.counts))
            return tested(correct / samples, samples, max_drop) if samples else None
        return None


class Deviations:
    """The nearer to the label, the better; a verified sample is further off every other time."""

    says = "are nearer to the label than verified ones"

    def __init__(self, known: Deviation, class_labels: list[str]) -> None:
        self.output = known.output
        self._known, self._class_labels = known, class_labels

    def predictions(self, rows: Rows) -> list[Any]:
        """By row, its numbers."""
        return deviation.answers(self._known.metric, np.asarray(rows)) or []

    def values(self, pairs: Iterable[tuple[Any, Label]], quality: Tested) -> list[float]:
        """How near each is; the urn, and the last errors, are the state's."""
        try:
            errors = [
                deviation.error(self._known.metric, answer, self._number(label)) for answer, label in pairs
            ]
        except ValueError as wrong:
            raise WrongLabel(str(wrong)) from None
        quality.errors = [*quality.errors, *errors][-RECENT:]
        return deviation.nearness(self._known, quality.urn, errors)

    def test(self, max_drop: float) -> Quality | None:
        """The urn knows what few samples leave open, so the figure is exact."""
        return tested(deviation.EXPECTED, 0, max_drop)

    def _number(self, label: Label) -> Label:
        name = str(label)
        return self._class_labels.index(name) if name in self._class_labels else label


def tested(share: float, samples: int, max_drop: float) -> Quality:
    """A test that a share of samples has not dropped by more than ``max_drop``."""
    return Quality(verified=min(max(share - max_drop, 0.001), 0.999), samples=samples)


def _is_watched(tensor: Tensor, baseline: Baseline) -> bool:
    """What is redacted counts nothing."""
    counting = (str(name) for name, share in zip(baseline.names, baseline.shares, strict=True) if share)
    return any(
        name == tensor.name or name.startswith((f"{tensor.name}[", f"{tensor.name}: ")) for name in counting
    )


def _tells_classes(tensor: Tensor, manifest: Manifest) -> bool:
    if tensor.kind == "text" or -1 in tensor.shape:
        return False
    size, is_float = int(np.prod(tensor.shape)), tensor.dtype.startswith("float")
    if not is_float:
        return size == 1
    return (size > 1 and len(tensor.shape) == 1) or (size == 1 and manifest.metric.name in _OF_CLASSES)
