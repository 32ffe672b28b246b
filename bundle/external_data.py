"""Does an ONNX file keep tensors outside itself? Answered without the onnx package.

External tensor data is a path that a runtime would follow; a bundle must hold all of its bytes. The walk
knows just the fields of onnx.proto that lead to a TensorProto, and skips the weights without touching them.
Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

import mmap

from bundle.errors import InvalidBundle
from bundle.files import open_regular

TYPE_CHECKING = False  # a server that takes model.onnx imports this before its first answer
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Buffer = bytes | mmap.mmap | memoryview

# message -> the fields that hold messages on the way to a TensorProto
_CHILDREN = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION, _EXTERNAL = 13, 14, 1
_MAX_DEPTH = 64
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def has_external_data(path: "Path") -> bool:
    """Whether any tensor of the ONNX file at ``path`` points outside it.

    Raises:
        InvalidBundle: the file is not a protobuf, or nests deeper than any real model does.
    """
    with open_regular(path) as file:
        if not file.seek(0, 2):
            return points_outside(b"", path.name)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return points_outside(data, path.name)


def points_outside(data: "Buffer", name: str) -> bool:
    """The same of an ONNX file's content; ``name`` is the file's."""
    if not len(data):
        raise InvalidBundle(f"{name} is empty, not an ONNX model: make the bundle anew.")
    try:
        return _is_external(data, "Model", 0, len(data), 0)
    except (IndexError, ValueError):
        raise InvalidBundle(f"{name} is not an ONNX model: make the bundle anew.") from None


def _is_external(data: "Buffer", message: str, start: int, end: int, depth: int) -> bool:
    if depth > _MAX_DEPTH:
        raise ValueError
    for field, wire, first, last in _fields(data, start, end):
        if message == "Tensor" and field == _TENSOR_EXTERNAL_DATA:
            return True
        if message == "Tensor" and field == _TENSOR_DATA_LOCATION and first == _EXTERNAL:
            return True
        child = _CHILDREN[message].get(field)
        if child and wire == _BYTES and _is_external(data, child, first, last, depth + 1):
            return True
    return False


def _fields(data: "Buffer", position: int, end: int) -> "Iterator[tuple[int, int, int, int]]":
    """Yield (field, wire type, first, last): the payload's bounds, or for a varint its value and 0."""
    while position < end:
        key, position = _varint(data, position)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield field, wire, value, 0
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError
        if position + length > end:
            raise ValueError
        yield field, wire, position, position + length
        position += length


def _varint(data: "Buffer", position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError
