"""Convolutions, pools and resizing."""

import torch
from torch import Tensor
from torch.nn import functional

from optimizer.train.operators.base import Call, integers, operator

_CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_TRANSPOSED = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE_POOLS = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


@operator("Conv")
def convolution(call: Call, data: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Padded first where both ends differ."""
    rank = weight.ndim - 2
    strides, dilations = call.wholes("strides", [1] * rank), call.wholes("dilations", [1] * rank)
    data = _padded(call, data, list(weight.shape[2:]), strides, dilations, 0.0)
    groups = call.whole("group", 1)
    return _CONVOLUTIONS[rank](data, weight, bias, strides, 0, dilations, groups)


@operator("ConvTranspose")
def transposed_convolution(call: Call, data: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What the padding covers is cut off afterwards."""
    rank = weight.ndim - 2
    if call.text("auto_pad", "NOTSET") != "NOTSET" or "output_shape" in call.node.attributes:
        raise NotImplementedError("ConvTranspose with auto_pad or output_shape")
    strides, dilations = call.wholes("strides", [1] * rank), call.wholes("dilations", [1] * rank)
    pads, more = call.wholes("pads", [0] * 2 * rank), call.wholes("output_padding", [0] * rank)
    groups = call.whole("group", 1)
    full = _TRANSPOSED[rank](data, weight, bias, strides, 0, more, groups, dilations)
    for axis in range(rank):
        length = full.shape[axis + 2] - pads[axis] - pads[axis + rank]
        full = full.narrow(axis + 2, pads[axis], length)
    return full


@operator("MaxPool")
def max_pool(call: Call, data: Tensor) -> Tensor:
    """Beyond the edge is less than anything."""
    kernel = call.wholes("kernel_shape")
    rank = len(kernel)
    strides, dilations = call.wholes("strides", [1] * rank), call.wholes("dilations", [1] * rank)
    data = _padded(call, data, kernel, strides, dilations, float("-inf"))
    return _MAX_POOLS[rank](data, kernel, strides, 0, dilations, ceil_mode=bool(call.whole("ceil_mode", 0)))


@operator("AveragePool")
def average_pool(call: Call, data: Tensor) -> Tensor:
    """Padding counts only with ``count_include_pad``."""
    kernel = call.wholes("kernel_shape")
    rank = len(kernel)
    strides = call.wholes("strides", [1] * rank)
    if call.whole("ceil_mode", 0):
        raise NotImplementedError("AveragePool with ceil_mode")
    padded = _padded(call, data, kernel, strides, [1] * rank, 0.0)
    means = _AVERAGE_POOLS[rank](padded, kernel, strides)
    if call.whole("count_include_pad", 0) or padded.shape == data.shape:
        return means
    inside = _padded(call, torch.ones_like(data[:1, :1]), kernel, strides, [1] * rank, 0.0)
    return means / _AVERAGE_POOLS[rank](inside, kernel, strides)


@operator("GlobalAveragePool")
def global_average_pool(_call: Call, data: Tensor) -> Tensor:
    """Over all places."""
    return data.mean(tuple(range(2, data.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(_call: Call, data: Tensor) -> Tensor:
    """Over all places."""
    return data.amax(tuple(range(2, data.ndim)), keepdim=True)


@operator("Resize")
def resize(
    call: Call,
    data: Tensor,
    _roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """Nearest by whole factors, and linear at half pixels: what networks use."""
    if sizes is not None:
        lengths = integers(sizes)
    elif scales is not None:
        lengths = [int(n * s) for n, s in zip(data.shape, scales.tolist(), strict=True)]
    else:
        raise NotImplementedError("Resize without scales and sizes")
    mode, places = call.text("mode", "nearest"), lengths[2:]
    factors = [new / old for new, old in zip(places, data.shape[2:], strict=True)]
    if lengths[:2] != list(data.shape[:2]):
        raise NotImplementedError("Resize of samples or channels")
    if mode == "nearest" and all(factor == int(factor) for factor in factors):
        return functional.interpolate(data, size=places, mode="nearest")
    coordinates = call.text("coordinate_transformation_mode", "half_pixel")
    if mode == "linear" and data.ndim == 4 and coordinates in ("half_pixel", "pytorch_half_pixel"):
        return functional.interpolate(data, size=places, mode="bilinear", align_corners=False)
    raise NotImplementedError(f"Resize in mode {mode} with {coordinates}")


def _padded(
    call: Call, data: Tensor, kernel: list[int], strides: list[int], dilations: list[int], value: float
) -> Tensor:
    rank = len(kernel)
    pads, auto = call.wholes("pads", [0] * 2 * rank), call.text("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        for axis in range(rank):
            extent, length = (kernel[axis] - 1) * dilations[axis] + 1, data.shape[axis + 2]
            total = max((-(-length // strides[axis]) - 1) * strides[axis] + extent - length, 0)
            small, large = total // 2, total - total // 2
            pads[axis], pads[axis + rank] = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif auto == "VALID":
        pads = [0] * 2 * rank
    if not any(pads):
        return data
    widths = [width for axis in reversed(range(rank)) for width in (pads[axis], pads[axis + rank])]
    return functional.pad(data, widths, value=value)
