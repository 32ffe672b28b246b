"""Find out what a mask is made of: exporters write different chains for it, which compute the same."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import Array, present
from optimizer.passes._part import inputs_of, is_integer, session_of

_TRIALS = ((1, 4), (3, 7), (2, 5))  # batch and length
_LOW = -1000.0  # what is added to a score to mask it is at most this
_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Padding:
    """A mask that is 0 where ``source`` [batch, length] is not 0, and ``low`` elsewhere."""

    source: ir.Value
    low: float


def padding_mask(model: ir.Model, mask: ir.Value) -> Padding | None:
    """The model input that a mask spreads over heads and queries, if that is all it does.

    The mask's own chain is run on random 0 and 1 of several shapes. It may read the content of one integer or
    boolean input [batch, length] and, through Shape, the shapes of others.
    """
    contents = inputs_of(mask, through_shapes=False)
    inputs = inputs_of(mask, through_shapes=True)
    if len(contents) != 1 or not all(_is_table(value, contents[0]) for value in inputs):
        return None
    source, lows = contents[0], set()
    random = np.random.default_rng(0)
    try:
        session = session_of(model, [mask], inputs)
        for shape in _TRIALS:
            flags = random.integers(0, 2, shape)
            flags[:, 0] = 1
            flags[-1, -1] = 0
            answer = session.run(
                None, {str(v.name): _feed(v, flags if v is source else flags * 0) for v in inputs}
            )
            lows.add(_low(answer[0], flags))
    except Exception:  # noqa: BLE001 - onnxruntime raises many types; whatever it is, the mask is not understood
        return None
    low = lows.pop()
    return Padding(source, max(low, _LOWEST)) if low is not None and not lows else None


def _is_table(value: ir.Value, like: ir.Value) -> bool:
    """Whether a value is an input [batch, length] of integers, of the same axes as another."""
    return (
        is_integer(value) and value.shape is not None and len(value.shape) == 2 and value.shape == like.shape
    )


def _feed(value: ir.Value, flags: Array) -> Array:
    return flags.astype(present(value.dtype).numpy())


def _low(mask: Array, flags: Array) -> float | None:
    """The number that stands where the flag of the key is 0; none if the mask is anything else."""
    if mask.ndim != 4 or mask.dtype != np.float32:
        return None
    low = float(mask.min())
    expected = np.where(flags[:, None, None, :] != 0, np.float32(0), np.float32(low))
    same = np.array_equal(np.broadcast_to(expected, mask.shape), mask) if _spreads(expected, mask) else False
    return low if same and low <= _LOW else None


def _spreads(expected: Array, mask: Array) -> bool:
    return np.broadcast_shapes(expected.shape, mask.shape) == mask.shape
