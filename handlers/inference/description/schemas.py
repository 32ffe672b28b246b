"""The model's tensors, and the bodies of both protocols, as JSON Schema 2020-12."""

from __future__ import annotations

from handlers.inference.dataplane import is_dynamic, show_shape
from handlers.inference.protocols.oip import DATATYPES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from bundle.served import TensorSpec
    from handlers.inference.dataplane import Model

    Schema = dict[str, Any]

# The largest float64 that is rounded to a finite value of each float dtype.
_LARGEST = {"float16": 65519.99999999999, "float32": 3.4028235677973362e38, "float64": 1.7976931348623157e308}
_FORMATS = {"float32": "float", "float64": "double", "int32": "int32", "int64": "int64"}
_NOT_FINITE = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}
_BASE64 = {
    "type": "object",
    "description": "A string in base64.",
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "required": ["b64"],
    "additionalProperties": False,
}
_STATUS = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "error_message": {"type": "string"}},
    "required": ["error_code", "error_message"],
}
_PARAMETERS = {
    "type": "object",
    "properties": {
        "binary_data": {"type": "boolean", "description": "Answer this output as binary data."},
    },
}


def ref(name: str) -> Schema:
    """A reference to a named schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def schemas_of(model: Model) -> Schema:
    """All named schemas."""
    return {
        "Error": _object({"error": {"type": "string", "description": "One sentence."}}),
        "Base64": _BASE64,
        "NotFinite": _NOT_FINITE,
        **_tfserving(model),
        **_oip(model),
    }


def _tfserving(model: Model) -> Schema:
    inputs, outputs = list(model.inputs.values()), list(model.outputs.values())
    by_name = {spec.name: _nested(spec.shape, _given(spec)) for spec in inputs}
    answers = {spec.name: _nested(spec.shape, _answered(spec)) for spec in outputs}
    requests = {"PredictColumns": _object({"inputs": _or_only(_only(by_name), by_name)})}
    results = {"PredictColumnsAnswer": _object({"outputs": _object_or_only(answers)})}
    if _have_rows(inputs):
        by_row = {spec.name: _nested(spec.shape[1:], _given(spec)) for spec in inputs}
        rows = _axis(inputs[0].shape[0], _or_only(ref("Row"), by_row))
        requests["PredictRows"] = _object({"instances": {**rows, "minItems": rows.get("minItems", 1)}})
        requests["Row"] = _only(by_row)
    if _have_rows(outputs):
        row = {spec.name: _nested(spec.shape[1:], _answered(spec)) for spec in outputs}
        predictions = _axis(outputs[0].shape[0], _object_or_only(row))
        results["PredictRowsAnswer"] = _object({"predictions": predictions})
    for name in ("PredictColumns", "PredictRows"):
        if name in requests:
            requests[name]["properties"]["signature_name"] = {
                "type": "string",
                "enum": ["", "serving_default"],
            }
    features = {spec.name: {"anyOf": [_given(spec), _list(_given(spec))]} for spec in inputs}
    return {
        **requests,
        **results,
        "Examples": {
            **_object({"examples": {"type": "array", "minItems": 1, "items": ref("Features")}}),
            "properties": {
                "signature_name": {"type": "string", "enum": ["", "serving_default"]},
                "context": ref("Features"),
                "examples": {"type": "array", "minItems": 1, "items": ref("Features")},
            },
        },
        "Features": {
            **_only(features),
            "required": [],
            "description": "Each input's value or flat list, here or in the context.",
        },
        "Classes": _object({"results": _list(_list(ref("Class")))}),
        "Class": _pair(model),
        "Values": _object({"results": _list({"type": "number"})}),
        "Status": _object(
            {
                "model_version_status": _list(
                    _object({"version": {"type": "string"}, "state": {"type": "string"}, "status": _STATUS})
                )
            }
        ),
        "Signature": _object({"model_spec": {"type": "object"}, "metadata": {"type": "object"}}),
    }


def _oip(model: Model) -> Schema:
    inputs = _named("Input", model.inputs)
    outputs = _named("Output", model.outputs)
    count = len(inputs)
    asked = {"name": {"type": "string", "enum": list(model.outputs)}, "parameters": _PARAMETERS}
    described = {
        "name": {"type": "string"},
        "datatype": {"type": "string"},
        "shape": _list({"type": "integer", "description": "-1 varies."}),
    }
    request = _object({"inputs": {**_list(_any_of(inputs)), "minItems": count, "maxItems": count}})
    request["properties"] |= {
        "id": {"type": ["string", "null"]},
        "parameters": {"type": ["object", "null"]},
        "outputs": {"type": ["array", "null"], "items": ref("RequestedOutput")},
    }
    answer = _object(
        {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": _list(_any_of(outputs)),
        }
    )
    answer["properties"]["id"] = {"type": "string"}
    entry = {key: {"type": "string"} for key in ("name", "version", "state", "reason")}
    return {
        "InferRequest": request,
        "InferAnswer": answer,
        **{name: _infer_input(spec) for name, spec in inputs.items()},
        **{name: _infer_output(spec) for name, spec in outputs.items()},
        "RequestedOutput": {**_object(asked), "required": ["name"]},
        "Server": _object(
            {
                "name": {"type": "string"},
                "version": {"type": "string"},
                "extensions": _list({"type": "string"}),
            }
        ),
        "Live": _object({"live": {"type": "boolean"}}),
        "Ready": _object({"ready": {"type": "boolean"}}),
        "ModelReady": _object({"name": {"type": "string"}, "ready": {"type": "boolean"}}),
        "Metadata": _object(
            {
                "name": {"type": "string"},
                "versions": _list({"type": "string"}),
                "platform": {"type": "string"},
                "inputs": _list(ref("Tensor")),
                "outputs": _list(ref("Tensor")),
            }
        ),
        "Tensor": _object(described),
        "Index": _list(ref("IndexEntry")),
        "IndexEntry": _object(entry),
    }


def _named(prefix: str, specs: dict[str, TensorSpec]) -> dict[str, TensorSpec]:
    """The specs by names that may be keys of components and, without ``_`` and case, names of classes."""
    named: dict[str, TensorSpec] = {}
    taken = set()
    for number, spec in enumerate(specs.values()):
        name = f"{prefix}_{''.join(sign if sign.isascii() and sign.isalnum() else '_' for sign in spec.name)}"
        class_name = name.replace("_", "").lower()
        named[f"{name}_{number}" if class_name in taken else name] = spec
        taken.add(class_name)
    return named


def _infer_input(spec: TensorSpec) -> Schema:
    """One tensor of a request: flat, nested, or (without ``data``) binary after the JSON."""
    flat = _axis(_size(spec), _given(spec))
    forms = [flat, _nested(spec.shape, _given(spec))] if len(spec.shape) > 1 else [flat]
    tensor = _infer_tensor(spec, forms[0] if len(forms) == 1 else {"anyOf": forms})
    tensor["required"] = ["name", "shape", "datatype"]
    parameters = {"binary_data_size": {"type": "integer", "minimum": 0}}
    tensor["properties"]["parameters"] = {"type": ["object", "null"], "properties": parameters}
    return tensor


def _infer_output(spec: TensorSpec) -> Schema:
    item = {"type": "string"} if spec.dtype == "string" else _given(spec)
    tensor = _infer_tensor(spec, _axis(_size(spec), item))
    tensor["required"] = ["name", "shape", "datatype"]
    tensor["properties"]["parameters"] = {
        "type": "object",
        "properties": {"binary_data_size": {"type": "integer", "minimum": 0}},
    }
    return tensor


def _infer_tensor(spec: TensorSpec, data: Schema) -> Schema:
    rank = len(spec.shape)
    # No `const`: openapi-python-client takes the axes' schemas as alternatives for each of them.
    lengths: list[Schema] = [
        {"type": "integer", "minimum": 0}
        if isinstance(axis, str) or is_dynamic(axis)
        else {"type": "integer", "minimum": axis, "maximum": axis}
        for axis in spec.shape
    ]
    shape: Schema = {
        "type": "array",
        "description": show_shape(spec.shape),
        "items": {"type": "integer", "minimum": 0},
        "minItems": rank,
        "maxItems": rank,
    }
    if rank:
        shape = {**shape, "prefixItems": lengths}
    return _object(
        {
            "name": {"type": "string", "const": spec.name},
            "shape": shape,
            "datatype": {"type": "string", "const": DATATYPES[spec.dtype]},
            "data": data,
        }
    )


def _given(spec: TensorSpec) -> Schema:
    """One element of a request, or of an answer that is strict JSON."""
    if spec.dtype == "string":
        return {"anyOf": [{"type": "string"}, ref("Base64")]}
    scalar = _scalar(spec.dtype)
    return {"anyOf": [scalar, ref("NotFinite")]} if spec.dtype in _LARGEST else scalar


def _answered(spec: TensorSpec) -> Schema:
    """One element of TensorFlow Serving's answer, which writes NaN as the literal that is no JSON."""
    if spec.dtype == "string":
        return ref("Base64") if spec.name.endswith("_bytes") else {"type": "string"}
    return _scalar(spec.dtype)


def _scalar(dtype: str) -> Schema:
    if dtype == "bool":
        return {"type": "boolean"}
    formatted = {"format": _FORMATS[dtype]} if dtype in _FORMATS else {}
    if dtype in _LARGEST:
        return {"type": "number", "minimum": -_LARGEST[dtype], "maximum": _LARGEST[dtype], **formatted}
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    least, most = (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return {"type": "integer", "minimum": least, "maximum": most, **formatted}


def _nested(shape: list[int | str], item: Schema) -> Schema:
    """Lists in lists; an axis that is fixed has that many items."""
    for axis in reversed(shape):
        item = _axis(axis, item)
    return item


def _axis(axis: int | str, item: Schema) -> Schema:
    if isinstance(axis, str) or is_dynamic(axis):
        return _list(item)
    return {**_list(item), "minItems": axis, "maxItems": axis}


def _size(spec: TensorSpec) -> int:
    """How many elements there are; -1 where that varies."""
    size = 1
    for axis in spec.shape:
        if isinstance(axis, str) or is_dynamic(axis):
            return -1
        size *= axis
    return size


def _have_rows(specs: list[TensorSpec]) -> bool:
    return all(spec.shape for spec in specs)


def _pair(model: Model) -> Schema:
    label: Schema = {"type": "string"}
    if model.manifest.class_labels:
        label["enum"] = list(dict.fromkeys(model.manifest.class_labels))
    return {**_list({}), "prefixItems": [label, {"type": "number"}], "minItems": 2, "maxItems": 2}


def _or_only(named: Schema, values: Schema) -> Schema:
    """An object of all names; of one name the value alone does as well."""
    return {"anyOf": [*values.values(), named]} if len(values) == 1 else named


def _object_or_only(values: Schema) -> Schema:
    return next(iter(values.values())) if len(values) == 1 else _object(values)


def _any_of(names: dict[str, TensorSpec]) -> Schema:
    return {"anyOf": [ref(name) for name in names]} if len(names) > 1 else ref(next(iter(names)))


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _only(properties: Schema) -> Schema:
    """An object of these and no others."""
    return {**_object(properties), "additionalProperties": False}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}
