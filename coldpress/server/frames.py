"""What workers send to the process that watches: MessagePack behind its length, over a local socket."""

from typing import Any

import msgspec

LENGTH_BYTES = 4


class Given(msgspec.Struct, array_like=True):
    """A tensor; ``data`` are its bytes, or of strings a list of them (handlers/inference/tensor.py)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: Any


class Answered(msgspec.Struct, array_like=True, tag=True):
    """A request that has its answer: ``time`` in seconds since 1970, ``unwatched`` how many were left out."""

    id: str
    time: float
    inputs: list[Given]
    outputs: list[Given]
    unwatched: int


class PageAsked(msgspec.Struct, array_like=True, tag=True):
    """Somebody wants to see: the page, or as JSON its ``status.json``. Only its bytes are answered."""

    as_json: bool


Frame = Answered | PageAsked

_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Frame).decode


def encode(frame: Frame) -> bytes:
    """With its length in front, little-endian."""
    content = _encode(frame)
    return len(content).to_bytes(LENGTH_BYTES, "little") + content
