"""Long buffers of numbers from one dtype to another, without numpy: by ONNX Runtime's own Cast.

27,648 float64 values, 287 KB of JSON, become float32 in 0.03 ms; ``struct.pack`` takes 0.6 ms, and to find
their extremes another 0.9. A model of three nodes does it, which is written here byte by byte, opened when it
is first needed (0.5 ms) and kept.
"""

from struct import error as StructError  # noqa: N812 - it is named as what it is
from struct import pack

from handlers.inference.ort import Session
from handlers.inference.tensor import STRUCT_CODES, Tensor

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from typing import Any

# Below so many values Python's own loop is as quick.
_FEW = 256
# ONNX's TensorProto.DataType, where ONNX Runtime casts to it with one rounding: it goes to float16 by way of
# float32, which rounds twice.
_ONNX_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7}
_ONNX_TYPES |= {"float64": 11, "uint32": 12, "uint64": 13}

_sessions: dict[tuple[str, str], Session] = {}


def cast(data: memoryview, dtype: str) -> "tuple[memoryview, float, float]":
    """``data`` as ``dtype``, and its smallest and its largest value before.

    Floats are rounded to the nearest, ties to even; on the way to an integer they are cut towards zero.

    Args:
        data: one dimension of format ``d`` (float64) or ``q`` or ``l`` (int64), at least one value,
            none of them NaN.
        dtype: any number's: not ``bool``, not ``string``.

    Returns:
        The bytes (format B) and the extremes, which are ``int`` where ``data`` is of int64. Where an
        extreme lies outside of the dtype's range, the bytes mean nothing: look before you use them.
    """
    if dtype not in _ONNX_TYPES or len(data) < _FEW:
        return _cast_few(data, dtype), min(data), max(data)
    source = "float64" if data.format == "d" else "int64"
    if (source, dtype) not in _sessions:
        _sessions[source, dtype] = Session(_model(source, dtype), is_optimised=True)
    tensor = Tensor(source, (len(data),), data)
    cast_data, low, high = _sessions[source, dtype].run(("y", "low", "high"), {"x": tensor})
    return _bytes(cast_data), _number(low), _number(high)


def _cast_few(data: memoryview, dtype: str) -> memoryview:
    code = STRUCT_CODES[dtype]
    values: Any = map(int, data) if data.format == "d" and code not in "efd" else data
    try:
        return memoryview(pack(f"<{len(data)}{code}", *values))
    except (OverflowError, StructError):  # out of range, which the extremes show
        return memoryview(b"")


def _bytes(tensor: Tensor) -> memoryview:
    assert isinstance(tensor.data, memoryview)  # noqa: S101 - for the type checker
    return tensor.data


def _number(scalar: Tensor) -> float:
    data = _bytes(scalar)
    return data.cast("q")[0] if scalar.dtype == "int64" else data.cast("d")[0]


def _model(source: str, dtype: str) -> bytes:
    """The graph y = Cast(x), low = ReduceMin(x), high = ReduceMax(x), for x of one dimension.

    Messages and their fields are those of onnx.proto3: ModelProto, GraphProto, NodeProto, AttributeProto,
    ValueInfoProto, TypeProto, TensorShapeProto, OperatorSetIdProto.
    """
    x, y = _ONNX_TYPES[source], _ONNX_TYPES[dtype]
    nodes = (
        _node("Cast", "y", "to", y) + _node("ReduceMin", "low", "keepdims", 0)
        + _node("ReduceMax", "high", "keepdims", 0)
    )  # fmt: skip
    row, scalar = _field(1, _field(2, b"n")), b""
    inputs = _value(11, "x", x, row)
    outputs = _value(12, "y", y, row) + _value(12, "low", x, scalar) + _value(12, "high", x, scalar)
    ir_version, opset_version = 8, 13
    graph = nodes + _field(2, b"cast") + inputs + outputs
    return _field(1, ir_version) + _field(7, graph) + _field(8, _field(2, opset_version))


def _node(op_type: str, output: str, attribute: str, value: int) -> bytes:
    is_int = 2
    attributes = _field(1, attribute.encode()) + _field(3, value) + _field(20, is_int)
    return _field(
        1, _field(1, b"x") + _field(2, output.encode()) + _field(4, op_type.encode()) + _field(5, attributes)
    )


def _value(field: int, name: str, element_type: int, shape: bytes) -> bytes:
    tensor_type = _field(1, element_type) + _field(2, shape)
    return _field(field, _field(1, name.encode()) + _field(2, _field(1, tensor_type)))


def _field(number: int, value: "int | bytes") -> bytes:
    """One field of a protobuf message: a varint, or bytes with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
