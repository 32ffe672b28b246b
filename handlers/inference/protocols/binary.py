"""The binary tensor extension of OIP v2: JSON first, then the tensors' bytes, little-endian, row-major.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from handlers.inference.errors import RequestError
from handlers.inference.tensor import ITEM_SIZES

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from bundle.served import TensorSpec
    from handlers.inference.messages import Request
    from handlers.inference.tensor import Tensor

HEADER = "inference-header-content-length"
# Before each string: how many bytes it has.
_LENGTH_BYTES = 4


def split_body(request: "Request") -> tuple[bytes, memoryview]:
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


def decode_tensor(blob: memoryview, spec: "TensorSpec") -> "tuple[int, memoryview | list[bytes]]":
    """How many elements there are in ``blob``, and the data of a tensor of them.

    Raises:
        RequestError: the bytes are not whole elements of the spec's dtype.
    """
    if spec.dtype == "string":
        strings = _decode_strings(blob, spec)
        return len(strings), strings
    count, rest = divmod(len(blob), ITEM_SIZES[spec.dtype])
    if rest:
        raise RequestError(
            f"input '{spec.name}' has {len(blob)} bytes, which are no whole elements of {spec.dtype}."
        )
    if spec.dtype == "bool" and blob.tobytes().translate(None, b"\0\1"):
        raise RequestError(f"input '{spec.name}' holds a byte that is neither 0 nor 1 (dtype bool).")
    return count, blob


def encode_tensor(tensor: "Tensor") -> "bytes | memoryview":
    """The tensor's bytes."""
    if isinstance(tensor.data, list):
        lengths = (len(text).to_bytes(_LENGTH_BYTES, "little") for text in tensor.data)
        return b"".join(part for pair in zip(lengths, tensor.data, strict=True) for part in pair)
    return tensor.data


def _decode_strings(blob: memoryview, spec: "TensorSpec") -> list[bytes]:
    strings, position = [], 0
    try:
        while position < len(blob):
            start = position + _LENGTH_BYTES
            position = start + int.from_bytes(blob[position:start], "little")
            if max(start, position) > len(blob):
                raise ValueError
            strings.append(bytes(blob[start:position]))
        for string in strings:
            string.decode()
    except ValueError:
        raise RequestError(
            f"input '{spec.name}' holds bytes that are no strings, each 4 bytes of length and then UTF-8."
        ) from None
    return strings
