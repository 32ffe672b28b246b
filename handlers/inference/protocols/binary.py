"""The binary tensor extension of OIP v2: JSON first, then the tensors' bytes, little-endian, row-major.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import struct

import numpy as np

from bundle.manifest import TensorSpec
from handlers.inference.dataplane import Array
from handlers.inference.errors import RequestError
from handlers.inference.messages import Request

HEADER = "inference-header-content-length"
_LENGTH = struct.Struct("<I")


def split_body(request: Request) -> tuple[bytes, memoryview]:
    """The JSON part and the binary part of a body; without the header all of it is JSON."""
    length = request.headers.get(HEADER)
    if length is None:
        return request.body, memoryview(b"")
    if not (
        length.isascii() and length.isdecimal() and len(length) < 12 and int(length) <= len(request.body)
    ):
        raise RequestError(
            "Inference-Header-Content-Length must be the length of the body's JSON part in bytes."
        )
    return request.body[: int(length)], memoryview(request.body)[int(length) :]


def decode_tensor(blob: memoryview, spec: TensorSpec) -> Array:
    """The flat array in ``blob``.

    Raises:
        RequestError: the bytes are not whole elements of the spec's dtype.
    """
    if spec.dtype == "string":
        return _decode_strings(blob, spec)
    dtype = np.dtype(spec.dtype).newbyteorder("<")
    if len(blob) % dtype.itemsize:
        raise RequestError(
            f"input '{spec.name}' has {len(blob)} bytes, which are no whole elements of {spec.dtype}."
        )
    array = np.frombuffer(blob, dtype)
    if dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise RequestError(f"input '{spec.name}' holds a byte that is neither 0 nor 1 (dtype bool).")
    # ONNX Runtime reads the array where it lies, and the body's JSON part may leave it at any address.
    return np.require(array, requirements=["A"])


def encode_tensor(array: Array) -> bytes:
    """The tensor's bytes."""
    if array.dtype == np.object_:
        texts = [text.encode() for text in array.ravel().tolist()]
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _decode_strings(blob: memoryview, spec: TensorSpec) -> Array:
    texts, position = [], 0
    try:
        while position < len(blob):
            (length,) = _LENGTH.unpack_from(blob, position)
            position += _LENGTH.size + length
            if position > len(blob):
                raise ValueError
            texts.append(str(blob[position - length : position], "utf-8"))
    except (struct.error, ValueError):
        raise RequestError(
            f"input '{spec.name}' holds bytes that are no strings, each 4 bytes of length and then UTF-8."
        ) from None
    array = np.empty(len(texts), object)
    array[:] = texts
    return array
