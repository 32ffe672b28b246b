"""``GET /openapi.json``: the endpoint in OpenAPI 3.1, with this model's names, shapes and dtypes.

https://spec.openapis.org/oas/v3.1.1.html
"""

from __future__ import annotations

from handlers.inference.description.examples import example_of
from handlers.inference.description.schemas import ref, schemas_of
from handlers.inference.description.uploads import add_uploads
from handlers.inference.messages import json_response
from handlers.inference.protocols.binary import HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from handlers.inference.dataplane import Model
    from handlers.inference.description.examples import Example
    from handlers.inference.messages import Response

    Object = dict[str, Any]

_TFSERVING, _OIP, _OWN, _ABOUT = "tensorflow-serving", "open-inference-protocol", "transform", "description"
# Of any media type.
_ANYTHING: Object = {"*/*": {}}
_ERRORS = {
    "400": ("BadRequest", "The body, a value, a shape, or what the model makes of these values is wrong."),
    "404": ("NotFound", "There is no such path, model, version or label."),
    "405": ("MethodNotAllowed", "The path takes another method, which `Allow` names."),
    "413": ("ContentTooLarge", "The body, inflated, or the answer is too large: AWS carries 6 MB of base64."),
    "415": ("UnsupportedMediaType", "The body is declared or encoded as what is not read."),
    "500": ("ServerError", "The fault is the server's; its log names the place."),
    "504": ("Late", "No answer was ready in time: on AWS at most 29 seconds."),
}
_FOR_ALL = ("404", "405", "500")


def openapi(model: Model, *, has_transform: bool, has_uploads: bool) -> Response:
    """``GET /openapi.json``; the flags say whether the user's own route, and that of uploads, are there."""
    document = document_of(model, has_transform=has_transform)
    if has_uploads:
        add_uploads(document, model)
    return json_response(document)


def document_of(model: Model, *, has_transform: bool) -> Object:
    """The document."""
    name, version = model.name, model.version
    schemas, example = schemas_of(model), example_of(model)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": name,
            "version": version,
            "description": (
                f"The model {name}, version {version}, behind TensorFlow Serving's REST API and the Open "
                f"Inference Protocol. After the name in a path /versions/{version} may follow, and below "
                "/v1 a label as /labels/LABEL."
            ),
        },
        # Relative to this document, so that it is right below a stage or any other prefix.
        "servers": [{"url": "."}],
        "tags": [
            {"name": _TFSERVING, "description": "TensorFlow Serving's REST API."},
            {"name": _OIP, "description": "The Open Inference Protocol, version 2."},
            *([{"name": _OWN, "description": "The owner's own code around the model."}] * has_transform),
            {"name": _ABOUT, "description": "This description."},
        ],
        "paths": {
            **_tfserving(model, schemas, example),
            **_oip(model, example),
            **(_transform(model) if has_transform else {}),
            **_about(),
        },
        "components": {
            "schemas": schemas,
            "responses": {label: _error(status, text) for status, (label, text) in _ERRORS.items()},
        },
    }


def _tfserving(model: Model, schemas: Object, example: Example | None) -> Object:
    path = f"/v1/models/{model.name}"
    asked = [ref(name) for name in ("PredictRows", "PredictColumns") if name in schemas]
    answer = [ref(name) for name in ("PredictRowsAnswer", "PredictColumnsAnswer") if name in schemas]
    predict = _json({"anyOf": asked}, example and example.tfserving)
    labels = "" if model.manifest.class_labels else " This model has no class labels, so it answers 400."
    return {
        path: _get(_TFSERVING, "status", "Status", ref("Status")),
        f"{path}/metadata": _get(_TFSERVING, "signature", "Names, dtypes and shapes", ref("Signature")),
        f"{path}:predict": _post(
            _TFSERVING, "predict", "Inference by rows or by columns", predict, _json({"anyOf": answer})
        ),
        f"{path}:classify": _post(
            _TFSERVING,
            "classify",
            f"For each example the class labels with their scores.{labels}",
            _json(ref("Examples")),
            _json(ref("Classes")),
        ),
        f"{path}:regress": _post(
            _TFSERVING,
            "regress",
            "For each example its value. Answers 400 unless one output has one float for each row.",
            _json(ref("Examples")),
            _json(ref("Values")),
        ),
    }


def _oip(model: Model, example: Example | None) -> Object:
    path = f"/v2/models/{model.name}"
    octets = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    infer = _post(
        _OIP,
        "infer",
        "Inference",
        {**_json(ref("InferRequest"), example and example.oip), **octets},
        {**_json(ref("InferAnswer")), **octets},
    )
    infer["post"]["parameters"] = [
        {
            "name": HEADER.title(),
            "in": "header",
            "description": "Bytes of JSON at the start of the body, where binary tensors follow.",
            "schema": {"type": "integer", "minimum": 0},
        }
    ]
    # Triton has filters here that would change nothing, so the body is not looked at.
    index = _post(_OIP, "index", "The one model that there is", _json({}), _json(ref("Index")))
    index["post"]["requestBody"]["required"] = False
    return {
        "/v2": _get(_OIP, "server", "Server metadata", ref("Server")),
        "/v2/health/live": _get(_OIP, "live", "Whether it runs", ref("Live")),
        "/v2/health/ready": _get(_OIP, "ready", "Whether it answers", ref("Ready")),
        path: _get(_OIP, "metadata", "Names, datatypes and shapes", ref("Metadata")),
        f"{path}/ready": _get(_OIP, "model_ready", "Whether the model answers", ref("ModelReady")),
        f"{path}/infer": infer,
        "/v2/repository/index": index,
    }


def _transform(model: Model) -> Object:
    """What the user's code takes and gives is known to that code alone; it may answer any status."""
    transform = _post(_OWN, "transform", "What the owner's own code makes of any body", _ANYTHING, _ANYTHING)
    operation = transform["post"]
    operation["requestBody"]["required"] = False
    operation["responses"]["default"] = {
        "description": "As the owner's code answers or refuses it; a refusal is one sentence.",
        "content": {**_json(ref("Error")), **_ANYTHING},
    }
    return {f"/v1/models/{model.name}:transform": transform}


def _about() -> Object:
    page = _get(_ABOUT, "docs", "A page with a form", {"type": "string"})
    page["get"]["responses"]["200"]["content"] = {"text/html": {"schema": {"type": "string"}}}
    return {
        "/openapi.json": _get(_ABOUT, "openapi", "This document", {"type": "object"}),
        "/docs": page,
    }


def _get(tag: str, operation: str, summary: str, schema: Object) -> Object:
    return {"get": _operation(tag, operation, summary, _json(schema), _FOR_ALL)}


def _post(tag: str, operation: str, summary: str, asked: Object, answer: Object) -> Object:
    described = _operation(tag, operation, summary, answer, tuple(_ERRORS))
    return {"post": {**described, "requestBody": {"required": True, "content": asked}}}


def _operation(tag: str, operation: str, summary: str, answer: Object, errors: tuple[str, ...]) -> Object:
    refused = {status: {"$ref": f"#/components/responses/{_ERRORS[status][0]}"} for status in errors}
    return {
        "operationId": operation,
        "tags": [tag],
        "summary": summary,
        "responses": {"200": {"description": "Answered.", "content": answer}, **refused},
    }


def _json(schema: Object, example: object = None) -> Object:
    return {"application/json": {"schema": schema} | ({} if example is None else {"example": example})}


def _error(status: str, text: str) -> Object:
    error: Object = {"description": text, "content": _json(ref("Error"))}
    if status == "405":
        error["headers"] = {"Allow": {"schema": {"type": "string"}}}
    return error
