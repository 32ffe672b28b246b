"""The Open Inference Protocol, version 2, with the binary tensor extension.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from bundle.json_text import TYPE_NAMES
from handlers.inference.dataplane import is_dynamic, show_shape
from handlers.inference.documents import as_objects, is_list, read_json
from handlers.inference.errors import RequestError
from handlers.inference.messages import Response, encoded_response, json_response, to_json
from handlers.inference.protocols.binary import HEADER, decode_tensor, encode_tensor, split_body
from handlers.inference.reading import read
from handlers.inference.tensor import Tensor
from handlers.inference.writing import to_flat_json

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bundle.served import TensorSpec
    from handlers.inference.dataplane import Model
    from handlers.inference.messages import Request

DATATYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class _Output:
    """What the client wants to know of one output."""

    __slots__ = ("name", "parameters")

    def __init__(self, content: object, where: str) -> None:
        fields = _fields(content, where)
        self.name: str = _field(fields, "name", str, where)
        self.parameters = _parameters(fields, where)


class _Input:
    """One tensor of a request; its data are read when the others are known."""

    __slots__ = ("data", "datatype", "name", "parameters", "shape")

    def __init__(self, content: object, where: str) -> None:
        fields = _fields(content, where)
        self.name: str = _field(fields, "name", str, where)
        self.datatype: str = _field(fields, "datatype", str, where)
        self.shape: list[int] = _field(fields, "shape", list, where)
        for index, length in enumerate(self.shape):
            _expect(length, int, f"{where}.shape[{index}]")
        self.parameters = _parameters(fields, where)
        self.data: object = fields.get("data")


class _Inference:
    """A request to infer, but for the binary part of its body."""

    def __init__(self, header: bytes) -> None:
        content = _fields(read_json(header), "$")
        inputs = _field(content, "inputs", list, "$", in_full=False)
        self.inputs = [_Input(tensor, f"$.inputs[{i}]") for i, tensor in enumerate(inputs)]
        # Clients built on pydantic send null for what they leave out.
        self.id: str | None = _field(content, "id", str, "$", is_optional=True)
        self.parameters = _parameters(content, "$")
        outputs = _field(content, "outputs", list, "$", is_optional=True)
        self.outputs = [_Output(output, f"$.outputs[{i}]") for i, output in enumerate(outputs or [])]


def server(model: "Model", _request: "Request") -> Response:
    """``GET /v2``."""
    return json_response(
        {
            "name": "coldpress",
            "version": model.manifest.tools.get("coldpress", ""),
            "extensions": ["binary_tensor_data"],
        }
    )


def live(_model: "Model", _request: "Request") -> Response:
    """``GET /v2/health/live``."""
    return json_response({"live": True})


def ready(_model: "Model", _request: "Request") -> Response:
    """``GET /v2/health/ready``: what answers has its model loaded."""
    return json_response({"ready": True})


def model_ready(model: "Model", _request: "Request") -> Response:
    """``GET /v2/models/NAME[/versions/VERSION]/ready``."""
    return json_response({"name": model.name, "ready": True})


def metadata(model: "Model", _request: "Request") -> Response:
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


def index(model: "Model", _request: "Request") -> Response:
    """``POST /v2/repository/index``: the models that Triton's and MLServer's clients may choose from."""
    return json_response([{"name": model.name, "version": model.version, "state": "READY", "reason": ""}])


def infer(model: "Model", request: "Request") -> Response:
    """``POST /v2/models/NAME[/versions/VERSION]/infer``."""
    header, blob = split_body(request)
    asked = _Inference(header)
    inputs = _read_inputs(model, asked, blob)
    names = [output.name for output in asked.outputs] or list(model.outputs)
    if len(set(names)) < len(names):
        raise RequestError("'outputs' names an output twice.")
    return _write(model, asked, model.infer(inputs, names))


def _read_inputs(model: "Model", asked: _Inference, blob: memoryview) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    for given in asked.inputs:
        spec = model.inputs.get(given.name)
        if spec is None:
            raise RequestError(
                f"the model has no input '{given.name[:100]}': it takes {', '.join(model.inputs)}."
            )
        if given.name in inputs:
            raise RequestError(f"'inputs' holds '{given.name}' twice.")
        if given.datatype != DATATYPES[spec.dtype]:
            raise RequestError(
                f"input '{spec.name}' has datatype '{given.datatype[:20]}', but the model takes "
                f"{DATATYPES[spec.dtype]}."
            )
        if any(length < 0 for length in given.shape):
            raise RequestError(f"input '{spec.name}' has a negative length in its shape.")
        inputs[spec.name], blob = _read_tensor(given, spec, blob)
    if len(blob):
        raise RequestError(f"the body has {len(blob)} binary bytes more than its inputs' binary_data_size.")
    return inputs


def _read_tensor(given: _Input, spec: "TensorSpec", blob: memoryview) -> tuple[Tensor, memoryview]:
    size = given.parameters.get("binary_data_size")
    if size is None:
        tensor = read(given.data, spec)
        count, data = tensor.size, tensor.data
    else:
        if type(size) is not int or not 0 <= size <= len(blob):
            raise RequestError(f"input '{spec.name}' has a binary_data_size that the body does not hold.")
        if given.data is not None:
            raise RequestError(f"input '{spec.name}' has both 'data' and binary_data_size: send one of them.")
        (count, data), blob = decode_tensor(blob[:size], spec), blob[size:]
    tensor = Tensor(spec.dtype, given.shape, data)
    if count != tensor.size:
        raise RequestError(
            f"input '{spec.name}' has {count} elements, but its shape {show_shape(given.shape)} has "
            f"{tensor.size}."
        )
    return tensor, blob


def _write(model: "Model", asked: _Inference, tensors: "Mapping[str, Tensor]") -> Response:
    parameters = {output.name: output.parameters for output in asked.outputs}
    all_binary = asked.parameters.get("binary_data_output") is True
    outputs: list[str] = []
    blobs: list[bytes | memoryview] = []
    for name, tensor in tensors.items():
        if parameters.get(name, {}).get("binary_data", all_binary) is True:
            blobs.append(encode_tensor(tensor))
            content = f'"parameters":{{"binary_data_size":{len(blobs[-1])}}}'
        else:
            content = f'"data":{to_flat_json(tensor)}'
        described = {"name": name, "shape": list(tensor.shape), "datatype": DATATYPES[tensor.dtype]}
        outputs.append(f"{to_json(described)[:-1]},{content}}}")
    answer = {"model_name": model.name, "model_version": model.version}
    if asked.id is not None:
        answer["id"] = asked.id
    header = f'{to_json(answer)[:-1]},"outputs":[{",".join(outputs)}]}}'.encode(errors="replace")
    if not blobs:
        response = encoded_response(header)
    else:
        headers = {"content-type": "application/octet-stream", HEADER: str(len(header))}
        response = Response(200, headers, b"".join([header, *blobs]))
    response.inference_id = asked.id
    return response


def _describe(spec: "TensorSpec") -> dict[str, object]:
    shape = [-1 if is_dynamic(axis) else axis for axis in spec.shape]
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": shape}


def _fields(content: object, where: str) -> "Any":
    """An object whose fields are asked for one by one."""
    if type(content) is not dict:
        raise _unexpected(content, "object", where)
    return content


def _field(  # noqa: PLR0913 - one place that says what is wrong with any field
    fields: "Any",
    name: str,
    kind: type,
    where: str,
    *,
    is_optional: bool = False,
    in_full: bool = True,
) -> "Any":
    """A field's value as Python objects, or (not ``in_full``) as the document has it."""
    value = fields.get(name)
    if value is None and is_optional:
        return None
    if value is None and name not in fields:
        raise RequestError(
            f"the body is no inference request: Object missing required field `{name}` - at `{where}`."
        )
    if in_full or type(value) is not list:
        value = as_objects(value)
    _expect(value, kind, f"{where}.{name}")
    return value


def _parameters(fields: "Any", where: str) -> "dict[str, Any]":
    return _field(fields, "parameters", dict, where, is_optional=True) or {}


def _expect(value: object, kind: type, where: str) -> None:
    if type(value) is not kind:
        raise _unexpected(value, TYPE_NAMES[kind], where)


def _unexpected(value: object, wanted: str, where: str) -> RequestError:
    found = "array" if is_list(value) else TYPE_NAMES.get(type(value), "object")
    return RequestError(
        f"the body is no inference request: Expected `{wanted}`, got `{found}` - at `{where}`."
    )
