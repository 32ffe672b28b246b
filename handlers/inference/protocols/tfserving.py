"""TensorFlow Serving's REST API.

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/g3doc/api_rest.md
https://github.com/tensorflow/serving/blob/master/tensorflow_serving/util/json_tensor.cc (where they differ)
"""

from handlers.inference.dataplane import is_dynamic, show_shape
from handlers.inference.documents import as_objects, is_list, read_object
from handlers.inference.errors import RequestError
from handlers.inference.messages import encoded_response, json_response, to_json
from handlers.inference.reading import FLOATS, read, read_rows
from handlers.inference.tensor import Tensor
from handlers.inference.writing import nest, rows, to_base64_texts, to_texts
from handlers.inference.writing import to_json as tensor_to_json

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from bundle.served import TensorSpec
    from handlers.inference.dataplane import Model
    from handlers.inference.messages import Request, Response

_SIGNATURE = "serving_default"
_DTYPES = {
    "bool": "DT_BOOL",
    "float16": "DT_HALF",
    "float32": "DT_FLOAT",
    "float64": "DT_DOUBLE",
    "string": "DT_STRING",
    **{f"{sign}int{bits}": f"DT_{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


def status(model: "Model", _request: "Request") -> "Response":
    """``GET /v1/models/NAME[/versions/VERSION|/labels/LABEL]``."""
    available = {
        "version": model.version,
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return json_response({"model_version_status": [available]})


def metadata(model: "Model", _request: "Request") -> "Response":
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


def predict(model: "Model", request: "Request") -> "Response":
    """``POST …:predict`` with ``instances`` (rows) or ``inputs`` (columns)."""
    content = _read(request.body)
    if ("instances" in content) == ("inputs" in content):
        raise RequestError("the body must have either 'instances' (rows) or 'inputs' (columns).")
    if "instances" in content:
        inputs = _from_rows(model, content["instances"])
        key, write = "predictions", _to_rows
    else:
        inputs = _from_columns(model, content["inputs"])
        key, write = "outputs", _to_columns
    return encoded_response(f'{{"{key}":{write(model.infer(inputs))}}}'.encode())


def classify(model: "Model", request: "Request") -> "Response":
    """``POST …:classify``: for each example its classes with their scores, as the model orders them."""
    labels = model.manifest.class_labels
    if not labels:
        raise RequestError("the model has no class labels in its manifest: ask with ':predict'.")
    wanted = f"scores of {len(labels)} classes for each example"
    tensor = _infer_examples(model, request, wanted, (len(labels),))
    pairs = zip(labels * tensor.shape[0], to_texts(tensor), strict=True)
    texts = [f"[{to_json(label)},{score}]" for label, score in pairs]
    return encoded_response(f'{{"results":{nest(texts, tensor.shape)}}}'.encode())


def regress(model: "Model", request: "Request") -> "Response":
    """``POST …:regress``: for each example its value."""
    tensor = _infer_examples(model, request, "one value for each example", (), (1,))
    return encoded_response(f'{{"results":[{",".join(to_texts(tensor))}]}}'.encode())


def _read(body: bytes) -> "Any":
    """The body's object; its signature is the only one there is."""
    content = read_object(body)
    signature = content.get("signature_name", "")
    if not isinstance(signature, str):
        raise RequestError("'signature_name' must be a string.")
    if signature not in ("", _SIGNATURE):
        raise RequestError(f"the model has no signature '{signature[:100]}': it has '{_SIGNATURE}'.")
    return content


def _from_rows(model: "Model", instances: "Any") -> dict[str, Tensor]:
    if not is_list(instances) or instances == []:
        raise RequestError("'instances' must be a list of at least one row.")
    if type(instances) is list and is_named(instances[0]):
        return _from_objects(model, instances, "row {} of 'instances'")
    spec = _only_input(model, "rows of 'instances' must be objects")
    return {spec.name: read(instances, spec)}


def _from_objects(model: "Model", given: "list[Any]", where: str) -> dict[str, Tensor]:
    """Objects that have each input's row."""
    for index, row in enumerate(given):
        if not is_named(row) or set(row) != model.inputs.keys():
            raise RequestError(
                f"{where.format(index)} must be an object with exactly the inputs {', '.join(model.inputs)}."
            )
    return {name: read_rows([row[name] for row in given], spec) for name, spec in model.inputs.items()}


def _from_columns(model: "Model", inputs: "Any") -> dict[str, Tensor]:
    if not is_named(inputs):
        spec = _only_input(model, "'inputs' must be an object")
        return {spec.name: read(inputs, spec)}
    for name in inputs:
        if name not in model.inputs:
            raise RequestError(f"the model has no input '{name[:100]}': it takes {', '.join(model.inputs)}.")
    return {name: read(inputs[name], spec) for name, spec in model.inputs.items() if name in inputs}


def _infer_examples(model: "Model", request: "Request", wanted: str, *rows_of: tuple[int, ...]) -> Tensor:
    """Run the model on the body's examples, for its one output of floats whose rows have such a shape."""
    content = _read(request.body)
    names = [
        spec.name
        for spec in model.outputs.values()
        if spec.dtype in FLOATS and any(_may_be(spec.shape, row) for row in rows_of)
    ]
    if len(names) != 1:
        raise RequestError(f"the model has no output, or more than one, of {wanted}: ask with ':predict'.")
    inputs = _from_examples(model, content)
    tensor = model.infer(inputs, names)[names[0]]
    if tensor.shape[1:] not in rows_of:
        raise RequestError(
            f"the model answers with the shape {show_shape(tensor.shape)}, not with {wanted}: ask with "
            "':predict'."
        )
    return tensor


def _may_be(shape: "list[int | str]", row: tuple[int, ...]) -> bool:
    """Whether an output of the signature's shape may have such rows."""
    return len(shape) == len(row) + 1 and all(
        is_dynamic(axis) or axis == length for axis, length in zip(shape[1:], row, strict=True)
    )


def _from_examples(model: "Model", content: "Any") -> dict[str, Tensor]:
    examples, context = as_objects(content.get("examples")), as_objects(content.get("context", {}))
    if type(examples) is not list or not examples:
        raise RequestError("'examples' must be a list of at least one example.")
    if type(context) is not dict:
        raise RequestError("'context' must be an object of the features that all examples share.")
    for index, example in enumerate(examples):
        if type(example) is dict and not context.keys().isdisjoint(example):
            raise RequestError(f"example {index} of 'examples' has a feature that is in 'context' as well.")
    merged = [{**context, **example} if type(example) is dict else example for example in examples]
    inputs = _from_objects(model, merged, "example {} of 'examples', with 'context',")
    return {name: _unflattened(tensor, model.inputs[name]) for name, tensor in inputs.items()}


def _unflattened(tensor: Tensor, spec: "TensorSpec") -> Tensor:
    """A feature is a value or a flat list, whatever the shape of the input's rows: the same elements."""
    inner = [axis for axis in spec.shape[1:] if isinstance(axis, int) and not is_dynamic(axis)]
    shaped = Tensor(tensor.dtype, [*tensor.shape[:1], *inner], tensor.data)
    is_fixed = len(inner) == len(spec.shape) - 1
    return shaped if is_fixed and shaped.size == tensor.size else tensor


def _to_rows(outputs: "Mapping[str, Tensor]") -> str:
    lengths = {tensor.shape[0] if tensor.shape else -1 for tensor in outputs.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise RequestError(
            "the model's outputs have no common first axis, so they are no rows: ask with 'inputs' (columns)."
        )
    if len(outputs) == 1:
        return _to_columns(outputs)
    names = [to_json(name) for name in outputs]
    columns = [rows(_to_texts(name, tensor), tensor.shape) for name, tensor in outputs.items()]
    merged = (
        ",".join(f"{name}:{value}" for name, value in zip(names, row, strict=True))
        for row in zip(*columns, strict=True)
    )
    return f"[{','.join(f'{{{row}}}' for row in merged)}]"


def _to_columns(outputs: "Mapping[str, Tensor]") -> str:
    columns = [_to_json(name, tensor) for name, tensor in outputs.items()]
    if len(columns) == 1:
        return columns[0]
    return (
        f"{{{','.join(f'{to_json(name)}:{column}' for name, column in zip(outputs, columns, strict=True))}}}"
    )


def _to_json(name: str, tensor: Tensor) -> str:
    if isinstance(tensor.data, list):
        return nest(_to_texts(name, tensor), tensor.shape)
    return tensor_to_json(tensor)


def _to_texts(name: str, tensor: Tensor) -> list[str]:
    if isinstance(tensor.data, list) and name.endswith("_bytes"):
        return to_base64_texts(tensor.data)
    return to_texts(tensor)


def is_named(value: "Any") -> bool:
    """Whether it is an object of named tensors, and no binary string."""
    return type(value) is dict and not (set(value) == {"b64"} and isinstance(value["b64"], str))


def _only_input(model: "Model", demand: str) -> "TensorSpec":
    if len(model.inputs) > 1:
        raise RequestError(
            f"the model has {len(model.inputs)} inputs, so {demand} with {', '.join(model.inputs)}."
        )
    return next(iter(model.inputs.values()))


def _tensor_info(spec: "TensorSpec") -> dict[str, object]:
    sizes = [{"size": str(-1 if is_dynamic(axis) else axis), "name": ""} for axis in spec.shape]
    return {
        "dtype": _DTYPES[spec.dtype],
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": spec.name,
    }
