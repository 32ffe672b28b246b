"""What the description says of bodies that are too large to be sent: a route, and a header of others."""

from __future__ import annotations

from handlers.inference.description.schemas import ref
from handlers.inference.routes import UPLOAD_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from handlers.inference.dataplane import Model

    Object = dict[str, Any]

_TAG = "uploads"
_ERRORS = {
    "403": ("Forbidden", "The upload's key is not one that this endpoint gave."),
    "409": ("Conflict", "The upload is not what was announced, or was replaced."),
    "503": ("Unavailable", "The upload cannot be read now."),
}
_HEADER = {
    "name": UPLOAD_HEADER,
    "in": "header",
    "description": "The key of an upload, in place of a body.",
    "schema": {"type": "string"},
}
_SIZE = {"type": "integer", "minimum": 1, "description": "Bytes of the body."}
_SCHEMAS = {
    "UploadRequest": {"type": "object", "properties": {"size": _SIZE}, "required": ["size"]},
    "Upload": {
        "type": "object",
        "properties": {
            "key": {"type": "string", "description": f"What {UPLOAD_HEADER} may name when the body is put."},
            "url": {
                "type": "string",
                "format": "uri",
                "description": "Where to put it, with no credentials.",
            },
            "method": {"type": "string", "enum": ["PUT"]},
            "size": _SIZE,
            "expires_in": {"type": "integer", "description": "Seconds in which the URL may be used."},
        },
        "required": ["key", "url", "method", "size", "expires_in"],
    },
}


def add_uploads(document: Object, model: Model) -> None:
    """Describe the route of uploads, and that a header may name one wherever the model is run."""
    paths, components = document["paths"], document["components"]
    document["tags"].append({"name": _TAG, "description": "Bodies that are too large to be sent."})
    components["schemas"] |= _SCHEMAS
    components["responses"] |= {
        name: {"description": text, "content": {"application/json": {"schema": ref("Error")}}}
        for name, text in _ERRORS.values()
    }
    refused = {status: {"$ref": f"#/components/responses/{name}"} for status, (name, _) in _ERRORS.items()}
    prefixes = f"/v1/models/{model.name}:", f"/v2/models/{model.name}/infer"
    infer = paths[prefixes[1]]["post"]
    created = {"description": "Where to put it.", "content": {"application/json": {"schema": ref("Upload")}}}
    asked = {"required": True, "content": {"application/json": {"schema": ref("UploadRequest")}}}
    upload = {
        "operationId": "upload",
        "tags": [_TAG],
        "summary": f"A place for a body that is too large, which the header {UPLOAD_HEADER} names afterwards",
        "requestBody": asked,
        "responses": {**infer["responses"], "200": created},
    }
    for path, operations in paths.items():
        if path.startswith(prefixes):
            post = operations["post"]
            post["parameters"] = [*post.get("parameters", []), _HEADER]
            post["requestBody"]["required"] = False
            post["responses"] |= refused
    paths[f"/v2/models/{model.name}/uploads"] = {"post": upload}
