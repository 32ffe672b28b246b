"""Sums and their like over axes, and what normalises by them."""

from torch import Tensor
from torch.nn import functional

from optimizer.train.operators.base import OPERATORS, Call, Function, integers, operator

_SINCE_OPSET_13 = 13


def _entered(name: str, reduced: Function) -> None:
    def function(call: Call, data: Tensor, axes: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        chosen = call.wholes("axes") if axes is None else integers(axes)
        if not chosen and call.whole("noop_with_empty_axes", 0):
            return data
        along = tuple(chosen or range(data.ndim))
        return reduced(data, along, bool(call.whole("keepdims", 1)))

    OPERATORS["", name] = function


_entered("ReduceMean", lambda data, axes, keep: data.mean(axes, keepdim=keep))
_entered("ReduceSum", lambda data, axes, keep: data.sum(axes, keepdim=keep))
_entered("ReduceMax", lambda data, axes, keep: data.amax(axes, keepdim=keep))
_entered("ReduceMin", lambda data, axes, keep: data.amin(axes, keepdim=keep))
_entered("ReduceL1", lambda data, axes, keep: data.abs().sum(axes, keepdim=keep))
_entered("ReduceL2", lambda data, axes, keep: data.square().sum(axes, keepdim=keep).sqrt())
_entered("ReduceSumSquare", lambda data, axes, keep: data.square().sum(axes, keepdim=keep))
_entered("ReduceLogSumExp", lambda data, axes, keep: data.logsumexp(axes, keepdim=keep))


@operator("ArgMax")
def arg_max(call: Call, data: Tensor) -> Tensor:
    """The first of the largest."""
    return data.argmax(call.whole("axis", 0), keepdim=bool(call.whole("keepdims", 1)))


@operator("CumSum")
def cumulative_sum(call: Call, data: Tensor, axis: Tensor) -> Tensor:
    """Forwards, each with itself; other ways are rare."""
    if call.whole("exclusive", 0) or call.whole("reverse", 0):
        raise NotImplementedError("CumSum, exclusive or in reverse")
    return data.cumsum(int(axis))


@operator("Softmax", "LogSoftmax")
def softmax(call: Call, data: Tensor) -> Tensor:
    """Over one axis; before opset 13 over all from that axis on."""
    function = functional.softmax if call.node.op_type == "Softmax" else functional.log_softmax
    if call.opset >= _SINCE_OPSET_13:
        return function(data, dim=call.whole("axis", -1))
    axis = call.whole("axis", 1) % data.ndim
    return function(data.flatten(axis), dim=-1).reshape(data.shape)


@operator("LayerNormalization")
def layer_normalization(call: Call, data: Tensor, gain: Tensor, bias: Tensor | None = None) -> Tensor:
    """Over the axes from ``axis`` on."""
    axis = call.whole("axis", -1) % data.ndim
    shape = data.shape[axis:]
    gain = gain.broadcast_to(shape)
    bias = None if bias is None else bias.broadcast_to(shape)
    return functional.layer_norm(data, shape, gain, bias, call.number("epsilon", 1e-5))


@operator("BatchNormalization")
def batch_normalization(
    call: Call, data: Tensor, gain: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    """By known means and variances, which stay."""
    epsilon = call.number("epsilon", 1e-5)
    return functional.batch_norm(data, mean, variance, gain, bias, training=False, eps=epsilon)


@operator("InstanceNormalization")
def instance_normalization(call: Call, data: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    """Each sample's channels by themselves."""
    return functional.instance_norm(data, weight=gain, bias=bias, eps=call.number("epsilon", 1e-5))
