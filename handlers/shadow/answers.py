"""An answer's body as tensors: the protocols, read from the client's side."""

from collections.abc import Callable, Mapping

from bundle.served import TensorSpec
from handlers.direct import Answer
from handlers.inference.dataplane import Model
from handlers.inference.documents import as_objects, read_json
from handlers.inference.encodings import inflate
from handlers.inference.errors import RequestError
from handlers.inference.messages import Request
from handlers.inference.protocols.binary import decode_tensor, split_body
from handlers.inference.protocols.oip import DATATYPES
from handlers.inference.protocols.tfserving import is_named
from handlers.inference.reading import read, read_rows
from handlers.inference.tensor import Tensor

_DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}
Tensors = dict[str, Tensor]


class Unreadable(Exception):
    """It is no answer of such a model; the message says what it is instead."""


def read_outputs(model: Model, route: str, answer: Answer) -> Tensors:
    """The outputs in an answer.

    Args:
        model: whose signature says what JSON's numbers are.
        route: what the path of the request ends in (``infer``, ``predict``, ``classify``, ``regress``).
        answer: of status 200.

    Raises:
        Unreadable: it does not hold outputs as the model has them.
    """
    body = inflate(answer.body, answer.headers.get("content-encoding"))
    try:
        return _READERS[route](model, Request("POST", "", headers=answer.headers, body=body))
    except (RequestError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        raise Unreadable("an answer does not hold the outputs that its manifest names") from None


def _infer(_model: Model, answer: Request) -> Tensors:
    header, blob = split_body(answer)
    tensors = {}
    for output in read_json(header)["outputs"]:
        name, shape = output["name"], as_objects(output["shape"])
        spec = TensorSpec(name, _DTYPES[output["datatype"]], shape)
        size = as_objects(output.get("parameters", {})).get("binary_data_size")
        if size is None:
            data = read(output["data"], spec).data
        else:
            (_, data), blob = decode_tensor(blob[:size], spec), blob[size:]
        tensors[name] = Tensor(spec.dtype, shape, data)
    return tensors


def _predict(model: Model, answer: Request) -> Tensors:
    content = read_json(answer.body)
    outputs = content.get("outputs", content.get("predictions"))
    if is_named(outputs):
        return {name: read(value, _spec(model, name)) for name, value in outputs.items()}
    if "predictions" in content and type(outputs) is list and is_named(outputs[0]):
        names = outputs[0].keys()
        return {name: read_rows([row[name] for row in outputs], _spec(model, name)) for name in names}
    (spec,) = model.outputs.values()
    return {spec.name: read(outputs, spec)}


def _classify(model: Model, answer: Request) -> Tensors:
    """The scores, with an axis of examples and one of the model's classes."""
    results, labels = as_objects(read_json(answer.body)["results"]), model.manifest.class_labels
    if any([label for label, _ in example] != labels for example in results):
        raise Unreadable("an answer has other class labels")
    scores = [[score for _, score in example] for example in results]
    return {"scores": read(scores, TensorSpec("scores", "float64", ["examples", len(labels)]))}


def _regress(_model: Model, answer: Request) -> Tensors:
    return {
        "results": read(read_json(answer.body)["results"], TensorSpec("results", "float64", ["examples"]))
    }


_READERS: Mapping[str, Callable[[Model, Request], Tensors]] = {
    "infer": _infer,
    "predict": _predict,
    "classify": _classify,
    "regress": _regress,
}


def _spec(model: Model, name: str) -> TensorSpec:
    """An output's; one that the model lacks is read as numbers, for somebody else to miss."""
    return model.outputs.get(name) or TensorSpec(name, "float64", [])
