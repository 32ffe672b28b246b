"""What clients send: numbers as JSON has them, and API Gateway's event around a body."""

import base64
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.samples import Array


def digits(values: Array) -> Any:
    """Nested lists with as few digits as tell the values apart, as clients outside Python send them."""
    if values.ndim:
        return [digits(row) for row in values]
    return float(str(values)) if values.dtype.kind == "f" else int(values)


def compact(content: object) -> bytes:
    """JSON without a space, as clients outside Python send it."""
    return json.dumps(content, separators=(",", ":")).encode()


def http_api_event(path: str, body: bytes, headers: Mapping[str, str], *, is_binary: bool = False) -> bytes:
    """A POST as an HTTP API hands it to Lambda, payload format 2.0; ``is_binary``: its body as base64."""
    http = {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "-"}
    return json.dumps(
        {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {"content-type": "application/json", "host": "example.com", **headers},
            "requestContext": {"stage": "$default", "requestId": "1", "http": http},
            "body": base64.b64encode(body).decode() if is_binary else body.decode(),
            "isBase64Encoded": is_binary,
        }
    ).encode()
