"""``baseline.json``: what the monitors compare with, from the calibration data."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import onnxruntime as ort

from monitoring.baseline import encode
from monitoring.build import build
from monitoring.deviation import METRICS, Deviation, answers, error, measure
from monitoring.features import Rows
from monitoring.seasons import seasons_told_by
from optimizer.data import Sample
from optimizer.evaluate import model_fails
from optimizer.runtime import Array, Feeds, run

_ANSWERS_BYTES = 512 * 1024**2


def baseline_json(
    session: ort.InferenceSession,
    samples: Sequence[Sample],
    outputs: Sequence[str],
    seed: int,
    deviation: Deviation | None = None,
) -> bytes:
    """``baseline.json``: what inputs, and the served model's outputs, are like on the calibration data.

    A request is one along the first axis, where the model has one for them, else one run; of many runs with
    large answers only as many are looked at as memory holds.
    """
    seen: list[Sample] = []
    answers: list[dict[str, Array]] = []
    size = 0
    for sample in samples:
        found = _run_or_explain(session, sample, outputs)
        size += sum(array.nbytes for array in found.values())
        if answers and size > _ANSWERS_BYTES:
            break
        seen.append(sample)
        answers.append(found)
    feeds = [sample.feeds for sample in seen]
    split = _has_rows(session) and all(
        len({array.shape[:1] for array in [*fed.values(), *answered.values()]}) == 1
        for fed, answered in zip(feeds, answers, strict=True)
    )
    rows_of_answers = _rows(answers, split=split)
    times = _times(seen, feeds if split else None)
    built = build(
        _rows(feeds, split=split),
        rows_of_answers,
        correct=_correct([sample.label for sample in seen], rows_of_answers),
        times=times,
        seasons="none" if times is None else seasons_told_by(times),
        seed=seed,
    )
    return encode(msgspec.structs.replace(built, deviation=deviation or msgspec.UNSET))


def deviation_from(
    session: ort.InferenceSession, samples: Sequence[Sample], output: str, metric: str
) -> Deviation | None:
    """How far the served model's answers are from the labels of samples that no choice was made on.

    None where the metric is one of classes, there are no labels, or they are not one for each answer.
    """
    known = next((name for name in METRICS if name == metric), None)
    if known is None:
        return None
    has_rows = _has_rows(session)
    errors: list[float] = []
    for sample in samples:
        answer = run(session, sample.feeds, [output])[output]
        rows = answers(known, answer if has_rows else answer[np.newaxis])
        if rows is None or sample.label is None or not len(rows) or sample.label.size % len(rows):
            return None
        labels = sample.label.reshape(len(rows), -1)
        try:
            errors += [error(known, row, label) for row, label in zip(rows, labels, strict=True)]
        except ValueError:
            return None
    return measure(output, known, errors)


def _has_rows(session: ort.InferenceSession) -> bool:
    """Whether each tensor's first axis is one of any length, or of one."""
    shapes = [arg.shape for arg in [*session.get_inputs(), *session.get_outputs()]]
    return all(shape and (not isinstance(shape[0], int) or shape[0] == 1) for shape in shapes)


def _rows(runs: Sequence[Feeds], *, split: bool) -> dict[str, Rows]:
    """By tensor, one array for each request; in one array where all are of one shape."""
    found: dict[str, Rows] = {}
    for name in runs[0]:
        arrays = [run[name] for run in runs] if split else [run[name][np.newaxis] for run in runs]
        alike = len({array.shape[1:] for array in arrays}) == 1
        found[name] = np.concatenate(arrays) if alike else [row for array in arrays for row in array]
    return found


def _times(samples: Sequence[Sample], rows_of: Sequence[Feeds] | None) -> Array | None:
    """Of each request; ``rows_of`` have several a sample."""
    if samples[0].time is None:
        return None
    counts = [1] * len(samples) if rows_of is None else [len(next(iter(fed.values()))) for fed in rows_of]
    return np.repeat(np.array([sample.time for sample in samples], np.float64), counts)


def _correct(labels: Sequence[Array | None], answers: Mapping[str, Rows]) -> Array | None:
    """Whether the largest class score is the label's, where labels are numbers of classes."""
    floats = [rows for rows in answers.values() if isinstance(rows, np.ndarray) and rows.dtype.kind == "f"]
    numbers = [label.reshape(-1) for label in labels if label is not None and label.dtype.kind in "iu"]
    if not floats or floats[0].ndim != 2 or floats[0].shape[1] < 2 or len(numbers) != len(labels):
        return None
    scores = floats[0]
    wanted = np.concatenate(numbers)
    return scores.argmax(axis=1) == wanted if len(wanted) == len(scores) else None


def _run_or_explain(
    session: ort.InferenceSession, sample: Sample, outputs: Sequence[str]
) -> dict[str, Array]:
    try:
        return run(session, sample.feeds, outputs)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
        raise model_fails("a calibration sample", error) from None
