"""The original model, and whether the pressed one agrees with it on what is asked now.

`coldpress push --original MODEL.onnx` puts it beside the bundles, under the digest of its file that the
manifest has.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from botocore.exceptions import ClientError

from bundle.manifest import Manifest, TensorSpec
from bundle.registry import original_key
from handlers.inference.ort import LibraryError, OrtError, Session
from handlers.inference.tensor import Tensor
from handlers.monitor.arrays import array_of

_ABSENT = ("NoSuchKey", "404", "AccessDenied")
# A session holds the weights, and while it opens a copy of them; the rest of the function needs room as well.
_SHARE_OF_MEMORY = 0.3
# As the metric agreement of `optimize` has it, for what is no score of classes.
_RELATIVE, _ABSOLUTE = 0.01, 0.001

Array = npt.NDArray[Any]


class NoOriginal(Exception):
    """There is none to ask; one clause says why."""


class NotComparable(Exception):
    """The original does not take the request, or answers otherwise; one clause without a payload says how."""


class Original:
    """The model that was pressed.

    Args:
        path: its file.
        manifest: what the pressed one takes and gives.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._session = Session(str(path))
        self._specs = {spec.name: spec for spec in (*manifest.signature.inputs, *manifest.signature.outputs)}
        self._outputs = [spec for spec in manifest.signature.outputs if spec.name in self._session.outputs]
        self._classes = len(manifest.class_labels)

    @classmethod
    def fetch(cls, client: Any, bucket: str, manifest: Manifest, folder: Path, memory_mb: int) -> "Original":
        """Of the registry, checked by its digest and kept in ``folder``.

        Raises:
            NoOriginal: it was not pushed, is not what was pushed, or does not fit.
        """
        source = manifest.source
        if source.size > memory_mb * 1024**2 * _SHARE_OF_MEMORY:
            raise NoOriginal(f"it has {source.size // 1024**2} MB: raise monitor.memory_mb")
        path = folder / source.sha256
        if not path.exists():
            _download(client, bucket, original_key(manifest.name, source.sha256), path)
        try:
            return cls(path, manifest)
        except (OrtError, LibraryError) as error:
            raise NoOriginal(f"ONNX Runtime does not open it ({str(error)[:200]})") from None

    def agreement(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> list[float]:
        """By row of one request, from 0 to 1 how far the worst output agrees with the original's.

        Of scores of classes it is the share whose largest is at the same place, of other numbers the share
        that is within a hundredth. Inputs and outputs have an axis of rows in front, also where the model has
        none.

        Raises:
            NotComparable: see there.
        """
        if not self._outputs:
            raise NotComparable("it has none of the outputs")
        tensors = {}
        for name in self._session.inputs:
            if name not in inputs or name not in self._specs:
                raise NotComparable(f"'{name}' was not captured")
            tensors[name] = self._tensor(self._specs[name], inputs[name])
        names = [spec.name for spec in self._outputs]
        try:
            answers = self._session.run(names, tensors)
        except (OrtError, ValueError, TypeError, BufferError, KeyError):
            raise NotComparable("it refuses the request") from None
        rows = len(next(iter(outputs.values())))
        shares = [
            self._shares(spec, outputs[spec.name], array_of(answer.dtype, answer.shape, answer.data), rows)
            for spec, answer in zip(self._outputs, answers, strict=True)
            if spec.name in outputs
        ]
        return np.min(shares, axis=0).tolist() if shares else []

    def _tensor(self, spec: TensorSpec, rows: Array) -> Tensor:
        array = rows if rows.ndim == len(spec.shape) else rows[0]
        if spec.dtype == "string":
            return Tensor.of(array.astype(object))
        if array.dtype != spec.dtype:
            raise NotComparable(f"'{spec.name}' is not {spec.dtype}: something of it is redacted")
        return Tensor.of(np.ascontiguousarray(array))

    def _shares(self, spec: TensorSpec, given: Array, own: Array, rows: int) -> Array:
        if own.ndim == given.ndim - 1:
            own = own[np.newaxis]
        if own.shape != given.shape or (own.dtype.kind == "O") != (given.dtype.kind == "O"):
            raise NotComparable(f"its output '{spec.name}' has another shape")
        if given.dtype.kind == "O":
            return _mean(_texts(given) == _texts(own), rows)
        if given.dtype.kind != "f":
            return _mean(given == own, rows)
        last = spec.shape[-1] if spec.shape else 1
        is_scores = given.ndim > 1 and (
            last == self._classes if self._classes else isinstance(last, int) and last > 1
        )
        if is_scores:
            return _mean(np.nan_to_num(given).argmax(axis=-1) == np.nan_to_num(own).argmax(axis=-1), rows)
        return _mean(np.isclose(given, own, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True), rows)


def _download(client: Any, bucket: str, key: str, path: Path) -> None:
    total, partial = hashlib.sha256(), path.with_suffix(".partial")
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABSENT:
            raise NoOriginal("it was not pushed: run `coldpress push BUNDLE --original MODEL.onnx`") from None
        raise
    with partial.open("wb") as file:
        for chunk in body.iter_chunks(1024**2):
            total.update(chunk)
            file.write(chunk)
    if total.hexdigest() != path.name:
        partial.unlink()
        raise NoOriginal("it is not the model that was pressed: push it again with --original")
    partial.replace(path)


def _texts(array: Array) -> Array:
    texts = [text.encode() if isinstance(text, str) else text for text in array.ravel().tolist()]
    return np.array(texts, object).reshape(array.shape)


def _mean(same: Array, rows: int) -> Array:
    return np.asarray(np.asarray(same).reshape(rows, -1).mean(axis=1))
