"""A tensor as bytes: what the protocols read and write, and what ONNX Runtime's C API takes. No numpy."""

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

# Bytes of one element, by numpy's name for the dtype; strings have none.
ITEM_SIZES = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
# The struct module's code of one element; memoryview takes them too, but for float16's.
STRUCT_CODES = {
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "float16": "e",
    "int32": "i",
    "uint32": "I",
    "float32": "f",
    "int64": "q",
    "uint64": "Q",
    "float64": "d",
}


def element_count(shape: "Sequence[int]") -> int:
    """How many elements a tensor of this shape has."""
    elements = 1
    for length in shape:
        elements *= length
    return elements


class Tensor:
    """Values of one dtype in a shape.

    Attributes:
        dtype: numpy's name (``float32``, ``int64``, ``bool``, …) or ``string``.
        shape: the length of each axis; () is a scalar.
        data: the elements in row-major order, little-endian, as one contiguous read-only or writable buffer
            of ``size * ITEM_SIZES[dtype]`` bytes (format B, one dimension); of ``string`` a list of bytes
            (UTF-8), one an element.
    """

    __slots__ = ("data", "dtype", "shape")

    def __init__(self, dtype: str, shape: "Sequence[int]", data: "memoryview | list[bytes]") -> None:
        self.dtype = dtype
        self.shape = tuple(shape)
        self.data = data

    @classmethod
    def of(cls, array: "Any") -> "Self":
        """A numpy array, or what has its ``dtype``, ``shape`` and ``tobytes()``, as a tensor (copied).

        Back again: ``numpy.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)``.

        Raises:
            TypeError: it is no array, or its dtype is none that models take.
        """
        if not all(hasattr(array, name) for name in ("dtype", "shape", "tobytes")):
            raise TypeError(f"{type(array).__name__} is neither a Tensor nor an array: use numpy.asarray")
        if array.dtype.kind in "OSU":
            texts = array.ravel().tolist()
            return cls("string", array.shape, [t.encode() if isinstance(t, str) else t for t in texts])
        name = array.dtype.name
        if name not in ITEM_SIZES or not array.dtype.isnative:
            raise TypeError(
                f"an array of {array.dtype} is no tensor: call astype with one of {', '.join(ITEM_SIZES)}"
            )
        return cls(name, array.shape, memoryview(array.tobytes()))

    @property
    def size(self) -> int:
        """How many elements there are."""
        return element_count(self.shape)
