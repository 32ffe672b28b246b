"""A golden sample as a request through the real protocol, and the answer as tensors.

The Open Inference Protocol with binary tensors, in an event of API Gateway's HTTP API: so every bit arrives
as the model gave it.
"""

import json
from types import SimpleNamespace
from typing import Any

from handlers import direct
from handlers.inference.protocols.binary import HEADER, decode_tensor, encode_tensor
from handlers.inference.protocols.oip import DATATYPES
from handlers.inference.routes import CPU_HEADER
from handlers.inference.tensor import Tensor

# Lambda carries 6 MB each way, and base64 makes three bytes four; a little is left for the event around it.
_MAX_BYTES = int(5.9 * 1024**2 / 4 * 3)
_DTYPES = {datatype: dtype for dtype, datatype in DATATYPES.items()}


class NoAnswer(Exception):
    """The version answered, but not with tensors; the sentence says what instead."""


def fits(tensors: dict[str, Tensor]) -> bool:
    """Whether Lambda carries them."""
    return sum(len(encode_tensor(tensor)) for tensor in tensors.values()) < _MAX_BYTES


def to_event(model: str, inputs: dict[str, Tensor]) -> dict[str, Any]:
    """The event of ``POST /v2/models/{model}/infer`` with these inputs."""
    blobs = {name: bytes(encode_tensor(tensor)) for name, tensor in inputs.items()}
    described = [
        {
            "name": name,
            "shape": list(tensor.shape),
            "datatype": DATATYPES[tensor.dtype],
            "parameters": {"binary_data_size": len(blobs[name])},
        }
        for name, tensor in inputs.items()
    ]
    header = json.dumps({"inputs": described, "parameters": {"binary_data_output": True}}).encode()
    return direct.http_event(
        f"/v2/models/{model}/infer",
        headers={"content-type": "application/octet-stream", HEADER: str(len(header)), CPU_HEADER: "1"},
        body=b"".join([header, *blobs.values()]),
    )


def read_answer(reply: dict[str, Any]) -> dict[str, Tensor]:
    """The outputs in a function's reply.

    Raises:
        NoAnswer: it is an error, or nothing that can be read.
    """
    try:
        status, headers, body = direct.read_answer(reply)
        if status != 200:
            raise NoAnswer(f"status {status}: {json.loads(body)['error']}")
        length = int(headers[HEADER])
        return _tensors(json.loads(body[:length])["outputs"], memoryview(body)[length:])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise NoAnswer("it is no answer of the Open Inference Protocol") from None


def _tensors(described: list[dict[str, Any]], blob: memoryview) -> dict[str, Tensor]:
    tensors = {}
    for output in described:
        size = output["parameters"]["binary_data_size"]
        name, dtype = output["name"], _DTYPES[output["datatype"]]
        spec: Any = SimpleNamespace(name=name, dtype=dtype)
        _, data = decode_tensor(blob[:size], spec)
        tensors[name], blob = Tensor(dtype, output["shape"], data), blob[size:]
    return tensors
