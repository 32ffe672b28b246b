"""The Open Inference Protocol, version 2, with the binary tensor extension.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import math
from typing import Any

import msgspec

from bundle.manifest import TensorSpec
from handlers.inference.dataplane import Array, Model, is_dynamic, show_shape
from handlers.inference.errors import RequestError
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.protocols.binary import HEADER, decode_tensor, encode_tensor, split_body
from handlers.inference.protocols.bodies import read_json
from handlers.inference.tensors import convert, flatten, is_finite, name_non_finite, to_list

_DATATYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


# Clients built on pydantic send null for what they leave out.
_Parameters = dict[str, Any] | None


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: _Parameters = None


class _Output(msgspec.Struct):
    name: str
    parameters: _Parameters = None


class _Inference(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: _Parameters = None
    outputs: list[_Output] | None = None


def server(model: Model, _request: Request) -> Response:
    """``GET /v2``."""
    return json_response(
        {
            "name": "coldpress",
            "version": model.manifest.tools.get("coldpress", ""),
            "extensions": ["binary_tensor_data"],
        }
    )


def live(_model: Model, _request: Request) -> Response:
    """``GET /v2/health/live``."""
    return json_response({"live": True})


def ready(_model: Model, _request: Request) -> Response:
    """``GET /v2/health/ready``: what answers has its model loaded."""
    return json_response({"ready": True})


def model_ready(model: Model, _request: Request) -> Response:
    """``GET /v2/models/NAME[/versions/VERSION]/ready``."""
    return json_response({"name": model.name, "ready": True})


def metadata(model: Model, _request: Request) -> Response:
    """``GET /v2/models/NAME[/versions/VERSION]``."""
    return json_response(
        {
            "name": model.name,
            "versions": [model.version],
            "platform": "onnxruntime_onnx",
            "inputs": [_describe(spec) for spec in model.inputs.values()],
            "outputs": [_describe(spec) for spec in model.outputs.values()],
        }
    )


def infer(model: Model, request: Request) -> Response:
    """``POST /v2/models/NAME[/versions/VERSION]/infer``."""
    header, blob = split_body(request)
    try:
        asked = msgspec.convert(read_json(header), _Inference)
    except msgspec.ValidationError as error:
        raise RequestError(f"the body is no inference request: {error}.") from None
    inputs = _read_inputs(model, asked.inputs, blob)
    names = [output.name for output in asked.outputs or []] or list(model.outputs)
    if len(set(names)) < len(names):
        raise RequestError("'outputs' names an output twice.")
    arrays = model.infer(inputs, names)
    return _write(model, asked, arrays)


def _read_inputs(model: Model, tensors: list[_Input], blob: memoryview) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    for tensor in tensors:
        spec = model.inputs.get(tensor.name)
        if spec is None:
            raise RequestError(
                f"the model has no input '{tensor.name[:100]}': it takes {', '.join(model.inputs)}."
            )
        if tensor.name in inputs:
            raise RequestError(f"'inputs' holds '{tensor.name}' twice.")
        if tensor.datatype != _DATATYPES[spec.dtype]:
            raise RequestError(
                f"input '{spec.name}' has datatype '{tensor.datatype[:20]}', but the model takes "
                f"{_DATATYPES[spec.dtype]}."
            )
        if any(length < 0 for length in tensor.shape):
            raise RequestError(f"input '{spec.name}' has a negative length in its shape.")
        inputs[spec.name], blob = _read_tensor(tensor, spec, blob)
    if len(blob):
        raise RequestError(f"the body has {len(blob)} binary bytes more than its inputs' binary_data_size.")
    return inputs


def _read_tensor(tensor: _Input, spec: TensorSpec, blob: memoryview) -> tuple[Array, memoryview]:
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        _, leaves = flatten(tensor.data, spec.name)
        array = convert(leaves, spec)
    else:
        if type(size) is not int or not 0 <= size <= len(blob):
            raise RequestError(f"input '{spec.name}' has a binary_data_size that the body does not hold.")
        if tensor.data is not None:
            raise RequestError(f"input '{spec.name}' has both 'data' and binary_data_size: send one of them.")
        array, blob = decode_tensor(blob[:size], spec), blob[size:]
    if array.size != math.prod(tensor.shape):
        raise RequestError(
            f"input '{spec.name}' has {array.size} elements, but its shape {show_shape(tensor.shape)} has "
            f"{math.prod(tensor.shape)}."
        )
    return array.reshape(tensor.shape), blob


def _write(model: Model, asked: _Inference, arrays: dict[str, Array]) -> Response:
    parameters = {output.name: output.parameters or {} for output in asked.outputs or []}
    all_binary = (asked.parameters or {}).get("binary_data_output") is True
    outputs, blobs = [], []
    for name, array in arrays.items():
        spec = model.outputs[name]
        described: dict[str, Any] = {
            "name": name,
            "shape": list(array.shape),
            "datatype": _DATATYPES[spec.dtype],
        }
        if parameters.get(name, {}).get("binary_data", all_binary) is True:
            blobs.append(encode_tensor(array))
            described["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            described["data"] = to_list(array.ravel()) if is_finite(array) else name_non_finite(array)
        outputs.append(described)
    answer: dict[str, Any] = {"model_name": model.name, "model_version": model.version}
    if asked.id is not None:
        answer["id"] = asked.id
    answer["outputs"] = outputs
    if not blobs:
        return json_response(answer)
    header = msgspec.json.encode(answer)
    headers = {"content-type": "application/octet-stream", HEADER: str(len(header))}
    return Response(200, headers, b"".join([header, *blobs]))


def _describe(spec: TensorSpec) -> dict[str, object]:
    shape = [-1 if is_dynamic(axis) else axis for axis in spec.shape]
    return {"name": spec.name, "datatype": _DATATYPES[spec.dtype], "shape": shape}
