"""What was predicted, and whether a label says that it was right.

As the metric accuracy of `optimize` has it: the place of the largest score, a lone score of two classes
against 0.5, or what is no float as it is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bundle.manifest import Manifest
from monitoring.baseline import Baseline
from monitoring.features import Rows, Tensor
from monitoring.labels import Label
from monitoring.quality import Quality

LEARNED = 200  # labels by which it is known how often a version is right where no figure was verified
_OF_CLASSES = ("accuracy", "exact-match", "f1", "auc", "log-loss", "top1", "agreement")
_SHARES_OF_RIGHT = ("accuracy", "exact-match", "top1")


def predicted_by(baseline: Baseline, manifest: Manifest) -> Tensor | None:
    """The output that says which class it is; none where the model predicts no classes."""
    watched = {str(name) for name, share in zip(baseline.names, baseline.shares, strict=True) if share}
    for tensor in baseline.tensors:
        # What is redacted counts nothing.
        if not any(
            name == tensor.name or name.startswith((f"{tensor.name}[", f"{tensor.name}: "))
            for name in watched
        ):
            continue
        if tensor.side != "outputs" or tensor.kind == "text" or -1 in tensor.shape:
            continue
        size = int(np.prod(tensor.shape))
        is_float = tensor.dtype.startswith("float")
        if not is_float and size == 1:
            return tensor
        if is_float and size > 1 and len(tensor.shape) == 1:
            return tensor
        if is_float and size == 1 and manifest.metric.name in _OF_CLASSES:
            return tensor
    return None


def predictions(tensor: Tensor, outputs: Mapping[str, Rows]) -> list[Any]:
    """By row, the class that was predicted: its number, or what the model calls it."""
    flat = np.asarray(outputs[tensor.name]).reshape(len(outputs[tensor.name]), -1)
    if flat.dtype.kind != "f" or not tensor.dtype.startswith("float"):
        return [
            value.decode(errors="replace") if isinstance(value, bytes) else value
            for value in flat[:, 0].tolist()
        ]
    found = flat.argmax(axis=1) if flat.shape[1] > 1 else (flat[:, 0] > 0.5).astype(int)
    return [int(value) for value in found]


def is_right(prediction: Any, label: Label, class_labels: list[str]) -> bool:
    """Whether the label says so: by the class's number, or by its name, which may be a number, too."""
    if isinstance(label, list) and len(label) == 1:
        (label,) = label
    is_number = isinstance(prediction, int) and 0 <= prediction < len(class_labels)
    if is_number and str(label) in class_labels:
        return bool(class_labels[prediction] == str(label))
    if isinstance(prediction, str) or isinstance(label, str):
        return str(prediction) == str(label)
    return bool(prediction == label)


def verified_quality(manifest: Manifest, baseline: Baseline, max_drop: float) -> Quality | None:
    """The test against how often the version should be right; none where no figure is known."""
    metric = manifest.metric
    if metric.name in _SHARES_OF_RIGHT:
        return tested(metric.after, metric.samples, max_drop)
    if baseline.reliability is not None:
        correct, samples = (
            int(np.sum(part)) for part in (baseline.reliability.correct, baseline.reliability.counts)
        )
        return tested(correct / samples, samples, max_drop) if samples else None
    return None


def tested(share: float, samples: int, max_drop: float) -> Quality:
    """A test that a share of samples has not dropped by more than ``max_drop``."""
    return Quality(verified=min(max(share - max_drop, 0.001), 0.999), samples=samples)
