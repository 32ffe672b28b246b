"""Attention as exporters spell it into ONNX Runtime's MultiHeadAttention."""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from optimizer.passes._graph import (
    bypass,
    constant,
    initializer,
    insert,
    nodes,
    present,
    scalar,
    sole_user,
)
from optimizer.passes._padding import Padding, padding_mask

_DOMAIN = "com.microsoft"
_HEADS_FIRST = [0, 2, 1, 3]
_OPSET = 15  # Shape of single axes


class FuseAttention(ir.passes.InPlacePass):
    """Replace softmax(q k / sqrt(h) + mask) v and the transposes around it by MultiHeadAttention.

    1. Query, key and value are [batch, length, width], reshaped to heads and transposed; the product of heads
       is transposed and reshaped back. The number of heads and their width are constants of the reshapes.
    2. The scale is a constant, multiplied or divided by anywhere between the reshapes and the mask.
    3. A mask that depends on nothing but a model input [batch, length], and lets the key j attend where that
       is not 0, becomes ``key_padding_mask``: the operators that spread it are dead from then on. What it
       computes is found by running it on random masks of several shapes (``_padding``).
    4. Any other mask becomes ``attention_bias``, expanded to [.., query length, key length].
    5. An attention whose parts are read elsewhere stays, and so does all in models older than opset 15.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fuse one after the other; a mask is looked at once."""
        masks: dict[ir.Value, Padding | None] = {}
        modified = False
        if model.opset_imports.get("", 0) < _OPSET:
            return ir.passes.PassResult(model, modified)
        for softmax in nodes(model.graph, "Softmax"):
            found = _match(softmax)
            if found is None:
                continue
            if found.mask is not None and found.mask not in masks:
                masks[found.mask] = padding_mask(model, found.mask)
            _fuse(found, masks[found.mask] if found.mask is not None else None)
            model.opset_imports.setdefault(_DOMAIN, 1)
            modified = True
        return ir.passes.PassResult(model, modified)


@dataclass(frozen=True)
class _Attention:
    query: ir.Value
    key: ir.Value
    value: ir.Value
    heads: int
    scale: float
    mask: ir.Value | None
    end: ir.Node


def _match(softmax: ir.Node) -> _Attention | None:
    """The attention around a softmax, if rules 1, 2 and 5 hold."""
    end = _end(softmax)
    product = sole_user(softmax.outputs[0])
    scores, mask = _masked(softmax.inputs[0])
    scores, scale = _scaled(scores)
    multiply = _producer(scores, "MatMul")
    if (
        end is None
        or product is None
        or multiply is None
        or softmax.attributes.get_int("axis", -1) not in (-1, 3)
    ):
        return None
    query, query_scale = _scaled(multiply.inputs[0])
    key, key_scale = _scaled(multiply.inputs[1])
    parts = [_heads(query), _heads(_transposed(key)), _heads(product.inputs[1])]
    sizes = {part[1:] for part in parts if part is not None}
    if None in parts or len(sizes) != 1:
        return None
    (query, _, _), (key, _, _), (value, heads, _) = (present(part) for part in parts)
    return _Attention(query, key, value, heads, scale * query_scale * key_scale, mask, end)


def _end(softmax: ir.Node) -> ir.Node | None:
    """The Reshape to [batch, length, width] after the product with the values."""
    product = sole_user(softmax.outputs[0])
    if product is None or product.op_type != "MatMul" or product.inputs[0] is not softmax.outputs[0]:
        return None
    transpose = sole_user(product.outputs[0])
    if transpose is None or transpose.op_type != "Transpose" or _perm(transpose) != _HEADS_FIRST:
        return None
    reshape = sole_user(transpose.outputs[0])
    fits = reshape is not None and reshape.op_type == "Reshape" and len(_elements(reshape.inputs[1])) == 3
    return reshape if fits else None


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node of this type that makes a value for one reader only."""
    node = value.producer() if value is not None else None
    if node is None or value is None or node.op_type != op_type or node.domain:
        return None
    return node if sole_user(value) is not None else None


def _masked(value: ir.Value | None) -> tuple[ir.Value | None, ir.Value | None]:
    """Scores and mask of ``scores + mask``."""
    add = _producer(value, "Add")
    if add is None:
        return value, None
    for scores, mask in (add.inputs, tuple(reversed(add.inputs))):
        if _producer(_scaled(scores)[0], "MatMul") is not None:
            return scores, mask
    return value, None


def _scaled(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """What a value is a constant multiple of, and the factor."""
    factor = 1.0
    while (node := _producer(value, "Mul") or _producer(value, "Div")) is not None:
        number = scalar(node.inputs[1])
        other = node.inputs[0]
        if number is None and node.op_type == "Mul":
            number, other = scalar(node.inputs[0]), node.inputs[1]
        if not number:
            break
        factor *= number if node.op_type == "Mul" else 1 / number
        value = other
    return value, factor


def _transposed(value: ir.Value | None) -> ir.Value | None:
    """Keys [batch, heads, length, width] as a value, of those [batch, heads, width, length]."""
    node = _producer(value, "Transpose")
    if node is not None and _perm(node) == [0, 1, 3, 2]:
        return _scaled(node.inputs[0])[0]
    return value


def _heads(value: ir.Value | None) -> tuple[ir.Value, int, int] | None:
    """[batch, length, width], heads and width of a head, of what was reshaped and transposed to heads."""
    transpose = _producer(value, "Transpose")
    if transpose is None or _perm(transpose) not in (_HEADS_FIRST, [0, 2, 3, 1]):
        return None
    reshape = _producer(transpose.inputs[0], "Reshape")
    data = reshape.inputs[0] if reshape is not None else None
    if reshape is None or data is None:
        return None
    shape = _elements(reshape.inputs[1])
    width = data.shape[2] if data.shape is not None and len(data.shape) == 3 else None
    if len(shape) != 4 or not isinstance(width, int):
        return None
    head = shape[3] if shape[3] and shape[3] > 0 else None
    heads = shape[2] if shape[2] and shape[2] > 0 else None
    if head is None and heads is not None:
        head = width // heads
    if head is None or width % head or heads not in (None, width // head):
        return None
    return data, width // head, head


def _perm(transpose: ir.Node) -> list[int]:
    return list(transpose.attributes.get_ints("perm", ()))


def _elements(shape: ir.Value | None) -> list[int | None]:
    """The numbers of a shape, None where they are computed; nothing if their count is not known."""
    array = constant(shape)
    if array is not None:
        return [int(number) for number in array.reshape(-1)]
    concat = shape.producer() if shape is not None else None
    if concat is None or concat.op_type != "Concat":
        return []
    elements: list[int | None] = []
    for part in concat.inputs:
        if part is None or part.shape is None or len(part.shape) != 1 or not isinstance(part.shape[0], int):
            return []
        known = constant(part)
        elements += [None] * part.shape[0] if known is None else [int(number) for number in known]
    return elements


def _fuse(found: _Attention, padding: Padding | None) -> None:
    end, attributes = found.end, {"num_heads": found.heads, "scale": found.scale}
    inputs: list[ir.Value | None] = [found.query, found.key, found.value]
    if padding is not None:
        attributes["mask_filter_value"] = padding.low
        mask = insert(end, "Cast", [padding.source], {"to": int(ir.DataType.INT32)}).outputs[0]
        inputs += [None, mask]
    elif found.mask is not None:
        inputs += [None, None, _expanded(end, found)]
    node = ir.node("MultiHeadAttention", inputs, attributes, domain=_DOMAIN)
    present(end.graph).insert_before(end, node)
    bypass(end, node.outputs[0])


def _expanded(before: ir.Node, found: _Attention) -> ir.Value:
    """The mask as [.., .., query length, key length], which the operator wants in full."""
    mask = present(found.mask)
    lengths = [
        insert(before, "Shape", [value], {"start": 1, "end": 2}).outputs[0]
        for value in (found.query, found.key)
    ]
    ones = initializer(present(before.graph), "ones", np.ones(2, np.int64))
    shape = insert(before, "Concat", [ones, *lengths], {"axis": 0}).outputs[0]
    return insert(before, "Expand", [mask, shape]).outputs[0]
