"""Matrix products and attention."""

import torch
from torch import Tensor

from optimizer.train.operators.base import MICROSOFT, Call, operator

_LOWEST = -10000.0  # what ONNX Runtime adds where a mask says no


@operator("MatMul")
def product(_call: Call, left: Tensor, right: Tensor) -> Tensor:
    """Of matrices, or stacks of them."""
    return torch.matmul(left, right)


@operator("Gemm")
def general_product(call: Call, left: Tensor, right: Tensor, addend: Tensor | None = None) -> Tensor:
    """Alpha times a product, and beta times an addend."""
    left = left.T if call.whole("transA", 0) else left
    right = right.T if call.whole("transB", 0) else right
    result = call.number("alpha", 1.0) * (left @ right)
    return result if addend is None else result + call.number("beta", 1.0) * addend


@operator("MultiHeadAttention", domain=MICROSOFT)
def attention(
    call: Call,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None = None,
    padding: Tensor | None = None,
    added: Tensor | None = None,
    *rest: Tensor | None,
) -> Tensor:
    """Of [batch, length, width] each; ``padding`` [batch, length] is 0 at keys that none may attend to."""
    if bias is not None or any(one is not None for one in rest):
        raise NotImplementedError("MultiHeadAttention with biases or a past")
    heads = call.whole("num_heads", 1)

    def by_head(data: Tensor) -> Tensor:
        return data.reshape(*data.shape[:2], heads, -1).transpose(1, 2)

    scale = call.number("scale", 0.0) or (query.shape[-1] // heads) ** -0.5
    scores = by_head(query) @ by_head(key).transpose(2, 3) * scale
    if added is not None:
        scores = scores + added
    if padding is not None:
        low = call.number("mask_filter_value", _LOWEST)
        scores = scores + torch.where(padding.bool(), 0.0, low)[:, None, None, :]
    mixed = scores.softmax(-1) @ by_head(value)
    return mixed.transpose(1, 2).reshape(*query.shape[:2], -1)
