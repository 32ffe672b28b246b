"""TensorFlow Serving's REST API.

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md
"""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from bundle.manifest import TensorSpec
from handlers.inference.dataplane import Array, Model, is_dynamic
from handlers.inference.errors import RequestError
from handlers.inference.messages import Request, Response, encoded_response, json_response
from handlers.inference.protocols.bodies import read_object, write_with_literals
from handlers.inference.tensors import from_json, is_finite, to_list

_SIGNATURE = "serving_default"
_DTYPES = {
    "bool": "DT_BOOL",
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "string": "DT_STRING",
    **{f"{sign}int{bits}": f"DT_{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def status(model: Model, _request: Request) -> Response:
    """``GET /v1/models/NAME[/versions/VERSION]``."""
    available = {
        "version": model.version,
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return json_response({"model_version_status": [available]})


def metadata(model: Model, _request: Request) -> Response:
    """``GET …/metadata``: the signature as TensorFlow Serving writes it."""
    signature = {
        "inputs": {spec.name: _tensor_info(spec) for spec in model.inputs.values()},
        "outputs": {spec.name: _tensor_info(spec) for spec in model.outputs.values()},
        "method_name": "tensorflow/serving/predict",
    }
    return json_response(
        {
            "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
            "metadata": {"signature_def": {"signature_def": {_SIGNATURE: signature}}},
        }
    )


def predict(model: Model, request: Request) -> Response:
    """``POST …:predict`` with ``instances`` (rows) or ``inputs`` (columns)."""
    content = read_object(request.body)
    signature = content.get("signature_name", "")
    if not isinstance(signature, str):
        raise RequestError("'signature_name' must be a string.")
    if signature not in ("", _SIGNATURE):
        raise RequestError(f"the model has no signature '{signature[:100]}': it has '{_SIGNATURE}'.")
    if ("instances" in content) == ("inputs" in content):
        raise RequestError("the body must have either 'instances' (rows) or 'inputs' (columns).")
    if "instances" in content:
        outputs = model.infer(_from_rows(model, content["instances"]))
        answer: dict[str, Any] = {"predictions": _to_rows(outputs)}
    else:
        outputs = model.infer(_from_columns(model, content["inputs"]))
        answer = {"outputs": _to_columns(outputs)}
    is_plain = all(is_finite(array) for array in outputs.values())
    return encoded_response(msgspec.json.encode(answer) if is_plain else write_with_literals(answer))


def _from_rows(model: Model, instances: object) -> dict[str, Array]:
    if not isinstance(instances, list) or not instances:
        raise RequestError("'instances' must be a list of at least one row.")
    if not any(_is_named(row) for row in instances):
        spec = _only_input(model, "rows of 'instances' must be objects")
        return {spec.name: from_json(instances, spec)}
    for index, row in enumerate(instances):
        if not _is_named(row) or row.keys() != model.inputs.keys():
            raise RequestError(
                f"row {index} of 'instances' must be an object with exactly the inputs "
                f"{', '.join(model.inputs)}."
            )
    return {name: from_json([row[name] for row in instances], spec) for name, spec in model.inputs.items()}


def _from_columns(model: Model, inputs: object) -> dict[str, Array]:
    if not _is_named(inputs):
        spec = _only_input(model, "'inputs' must be an object")
        return {spec.name: from_json(inputs, spec)}
    assert isinstance(inputs, dict)  # noqa: S101 - for the type checker
    for name in inputs:
        if name not in model.inputs:
            raise RequestError(f"the model has no input '{name[:100]}': it takes {', '.join(model.inputs)}.")
    return {name: from_json(value, model.inputs[name]) for name, value in inputs.items()}


def _to_rows(outputs: Mapping[str, Array]) -> list[Any]:
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    lengths = {array.shape[0] if array.ndim else -1 for array in outputs.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise RequestError(
            "the model's outputs have no common first axis, so they are no rows: ask with 'inputs' (columns)."
        )
    if len(columns) == 1:
        (rows,) = columns.values()
        assert isinstance(rows, list)  # noqa: S101 - for the type checker
        return rows
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _to_columns(outputs: Mapping[str, Array]) -> Any:
    columns = {name: _to_json(name, array) for name, array in outputs.items()}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _to_json(name: str, array: Array) -> Any:
    if array.dtype == np.object_ and name.endswith("_bytes"):
        encoded = np.empty(array.size, object)
        encoded[:] = [{"b64": base64.b64encode(text.encode()).decode()} for text in array.ravel().tolist()]
        return encoded.reshape(array.shape).tolist()
    return to_list(array)


def _is_named(value: Any) -> bool:
    """Whether it is an object of named tensors, and no binary string."""
    return isinstance(value, dict) and not (value.keys() == {"b64"} and isinstance(value["b64"], str))


def _only_input(model: Model, demand: str) -> TensorSpec:
    if len(model.inputs) > 1:
        raise RequestError(
            f"the model has {len(model.inputs)} inputs, so {demand} with {', '.join(model.inputs)}."
        )
    return next(iter(model.inputs.values()))


def _tensor_info(spec: TensorSpec) -> dict[str, object]:
    sizes = [{"size": str(-1 if is_dynamic(axis) else axis), "name": ""} for axis in spec.shape]
    return {
        "dtype": _DTYPES[spec.dtype],
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": spec.name,
    }
