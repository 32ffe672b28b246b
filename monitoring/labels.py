"""Ground truth: what a request's label is, and whose prediction it belongs to.

A label comes before its capture or days after it, and sometimes twice. Both sides wait, in bounded memory,
until the other is there.
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from bundle.sampling import is_among

# Unlike its line in a file of labels, what a label may be is not restricted: a number, a text, or a list.
Label = Any


class WrongLabel(ValueError):
    """A line that is no label; the message is a clause that says what of it is wrong."""


class GroundTruth(NamedTuple):
    """What was right for a request, by what the client called it."""

    inference_id: str
    label: Label


class _Line(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    inference_id: str
    label: Label


class _Data(msgspec.Struct):
    data: str
    encoding: str


class _Event(msgspec.Struct, rename="camel"):
    event_id: str


class _SageMaker(msgspec.Struct, rename="camel"):
    """https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html ."""

    ground_truth_data: _Data
    event_metadata: _Event
    event_version: str


def read_line(line: bytes | str) -> GroundTruth:
    """A line of JSON: ``{"inferenceId": …, "label": …}``, or SageMaker's ground truth.

    Raises:
        WrongLabel: it is neither.
    """
    try:
        content = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise WrongLabel(f"it is no JSON ({error})") from None
    if not isinstance(content, dict):
        raise WrongLabel('it is no object like {"inferenceId": "order-17", "label": 1}')
    if "groundTruthData" in content:
        return _from_sagemaker(content)
    try:
        found = msgspec.convert(content, _Line)
    except msgspec.ValidationError as error:
        raise WrongLabel(f'it is not like {{"inferenceId": "order-17", "label": 1}} ({error})') from None
    return check(GroundTruth(found.inference_id, found.label))


def check(truth: GroundTruth) -> GroundTruth:
    """The same.

    Raises:
        WrongLabel: it belongs to no request, or says nothing.
    """
    if not truth.inference_id:
        raise WrongLabel("its inferenceId is empty")
    if truth.label is None or isinstance(truth.label, dict) or truth.label in ("", []):
        raise WrongLabel("its label is no number, text, true, false or list of them")
    return truth


def write_line(truth: GroundTruth) -> bytes:
    """As ``read_line`` takes it."""
    return msgspec.json.encode({"inferenceId": truth.inference_id, "label": truth.label}) + b"\n"


def value_of(text: str) -> Label:
    """A cell of CSV, or a command's argument: a number, true or false as such, anything else as text."""
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


def _from_sagemaker(content: dict[str, Any]) -> GroundTruth:
    try:
        found = msgspec.convert(content, _SageMaker)
    except msgspec.ValidationError as error:
        raise WrongLabel(f"it is no ground truth of SageMaker ({error})") from None
    if found.event_version != "0":
        raise WrongLabel(f'its eventVersion is "{found.event_version}", and only "0" is known')
    data = found.ground_truth_data
    if data.encoding == "CSV":
        cells = [value_of(cell) for cell in next(csv.reader(io.StringIO(data.data)), [])]
        label: Label = cells[0] if len(cells) == 1 else cells
    elif data.encoding == "JSON":
        try:
            label = msgspec.json.decode(data.data)
        except msgspec.DecodeError as error:
            raise WrongLabel(f"its data are no JSON ({error})") from None
    else:
        raise WrongLabel(f'its encoding is "{data.encoding}", and only "CSV" and "JSON" are known')
    return check(GroundTruth(found.event_metadata.event_id, label))


class Joined(NamedTuple):
    """A request's predictions, one a row, and its label."""

    inference_id: str
    predictions: list[Any]
    label: Label

    def pairs(self) -> Iterator[tuple[Any, Label]]:
        """By row, the prediction and what was right.

        Raises:
            WrongLabel: of several rows the label is no list of as many.
        """
        if len(self.predictions) == 1:
            yield self.predictions[0], self.label
            return
        if not isinstance(self.label, list) or len(self.label) != len(self.predictions):
            raise WrongLabel(f"its label is no list of the request's {len(self.predictions)} rows")
        yield from zip(self.predictions, self.label, strict=True)


class Join(msgspec.Struct, kw_only=True):
    """State: what waits for its other half, the last ``capacity`` of each, and the last that were joined.

    Of a request's labels the first counts, so that no later one makes it count twice. ``counts``: ``joined``;
    ``repeated`` and ``contradicted`` labels; predictions that came ``twice``; and what was forgotten, because
    too much came after it: ``unlabelled`` predictions, ``unmatched`` labels. Labels of requests that are not
    among the ``rate`` of those that are captured are ``uncaptured``, and wait for nothing.

    Keys are 8 bytes of a hash. Predictions are what the caller compares with, and small: a class, a number.
    """

    capacity: int = 50_000
    rate: float = 1.0
    predictions: dict[int, list[Any]] = {}
    labels: dict[int, Label] = {}
    done: dict[int, Label] = {}
    counts: dict[str, int] = {}

    def predicted(self, inference_id: str, predictions: list[Any]) -> Joined | None:
        """A request was captured, with a prediction for each of its rows; joined if its label is there."""
        key = _key(inference_id)
        if key in self.done or key in self.predictions:
            self._count("twice")
            return None
        if key in self.labels:
            return self._join(inference_id, key, predictions, self.labels.pop(key))
        self._wait(self.predictions, key, predictions, "unlabelled")
        return None

    def labelled(self, truth: GroundTruth) -> Joined | None:
        """A label came; joined if its request was captured."""
        if not is_among(truth.inference_id, self.rate):
            self._count("uncaptured")
            return None
        key = _key(truth.inference_id)
        for known in (self.done, self.labels):
            if key in known:
                self._count("repeated" if known[key] == truth.label else "contradicted")
                return None
        if key in self.predictions:
            return self._join(truth.inference_id, key, self.predictions.pop(key), truth.label)
        self._wait(self.labels, key, truth.label, "unmatched")
        return None

    def _join(self, inference_id: str, key: int, predictions: list[Any], label: Label) -> Joined:
        self._wait(self.done, key, label)
        self._count("joined")
        return Joined(inference_id, predictions, label)

    def _wait(self, place: dict[int, Any], key: int, value: Any, forgotten: str = "") -> None:
        place[key] = value
        if len(place) > self.capacity:
            del place[next(iter(place))]
            if forgotten:
                self._count(forgotten)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def encode(join: Join) -> bytes:
    """State, to go on from."""
    return msgspec.msgpack.encode(join)


def decode(data: bytes) -> Join:
    """What ``encode`` gave.

    Raises:
        msgspec.DecodeError: it is something else.
    """
    return msgspec.msgpack.decode(data, type=Join)


def _key(inference_id: str) -> int:
    digest = hashlib.blake2b(inference_id.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big")
