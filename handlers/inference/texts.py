"""A transform for models that brought their tokenizer: texts in, labels or numbers out.

Needs tokenizers, which the image has not (docs/transforms.md).
"""

import json
from array import array
from math import exp
from struct import unpack

from tokenizers import Tokenizer

from handlers.inference.errors import InitError, RequestError
from handlers.inference.messages import Response, json_response
from handlers.inference.tensor import ITEM_SIZES, STRUCT_CODES, Tensor

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Self

    from handlers.inference.dataplane import Model
    from handlers.inference.messages import Request

MAX_TEXTS = 64
_PARTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class Texts:
    """A JSON string, or a list of them, to ``{"predictions": […]}``, one for each text.

    That is ``{"label": …, "scores": {label: probability}}`` where the model has a number for each of its
    class labels; else its outputs by name.
    """

    def __init__(self, tokenizer: "Tokenizer", inputs: "Sequence[str]", labels: "Sequence[str]") -> None:
        self._tokenizer = tokenizer
        self._inputs = inputs
        self._labels = labels

    @classmethod
    def for_model(cls, model: "Model") -> "Self":
        """With the bundle's tokenizer.

        Raises:
            InitError: it has none, or the model has inputs that no tokenizer gives.
        """
        if not set(model.inputs) <= set(_PARTS):
            raise InitError(
                f"{__name__} gives {', '.join(_PARTS)}, but the model has {', '.join(model.inputs)}."
            )
        assert model.file is not None  # noqa: S101 - a loaded model has it
        tokenizer = Tokenizer.from_buffer(bytes(model.file("tokenizer.json")))
        return cls(tokenizer, list(model.inputs), model.manifest.class_labels)

    def decode(self, request: "Request") -> "Mapping[str, Tensor]":
        """int64 [texts, longest of them] for each input."""
        encodings = self._tokenizer.encode_batch(_texts(request.body))
        shape = (len(encodings), len(encodings[0].ids))
        return {
            name: Tensor(
                "int64",
                shape,
                memoryview(array("q", [n for one in encodings for n in getattr(one, _PARTS[name])])).cast(
                    "B"
                ),
            )
            for name in self._inputs
        }

    def encode(self, outputs: "Mapping[str, Tensor]") -> Response:
        """One prediction for each text."""
        rows = {name: _nested(tensor) for name, tensor in outputs.items()}
        first = next(iter(outputs.values()))
        if len(outputs) == 1 and first.shape[1:] == (len(self._labels),):
            return json_response({"predictions": [self._scored(row) for row in next(iter(rows.values()))]})
        count = first.shape[0]
        return json_response(
            {"predictions": [{name: values[n] for name, values in rows.items()} for n in range(count)]}
        )

    def _scored(self, logits: "Sequence[float]") -> "dict[str, Any]":
        """The probability of each class (softmax), and the likeliest."""
        largest = max(logits)
        weights = [exp(one - largest) for one in logits]
        total = sum(weights)
        best = weights.index(max(weights))
        scores = {label: one / total for label, one in zip(self._labels, weights, strict=True)}
        return {"label": self._labels[best], "scores": scores}


def _nested(tensor: Tensor) -> "Any":
    code, size = STRUCT_CODES[tensor.dtype], ITEM_SIZES[tensor.dtype]
    data = bytes(tensor.data)  # type: ignore[arg-type]  # a list for strings only, which no text model gives
    values: Any = list(unpack(f"<{len(data) // size}{code}", data))
    for length in reversed(tensor.shape[1:]):
        values = [values[at : at + length] for at in range(0, len(values), length)]
    return values


def _texts(body: bytes) -> list[str]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    texts = [content] if isinstance(content, str) else content
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RequestError('the body is no text: send "one", or ["one", "another"], as JSON.')
    if not 1 <= len(texts) <= MAX_TEXTS:
        raise RequestError(f"these are {len(texts)} texts: send 1 to {MAX_TEXTS}.")
    # Half of a surrogate pair is JSON, but no text.
    return [text.encode(errors="replace").decode() for text in texts]
