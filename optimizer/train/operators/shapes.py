"""Shapes, indices, and what only moves elements."""

import torch
from torch import Tensor

from optimizer.train.operators.base import Call, as_tensor, integers, operator


@operator("Constant")
def constant(call: Call) -> Tensor:
    """A tensor, a number or several."""
    attributes = call.node.attributes
    if "value_float" in attributes:
        return torch.tensor(call.number("value_float", 0.0))
    if "value_int" in attributes:
        return torch.tensor(call.whole("value_int", 0))
    if "value_ints" in attributes:
        return torch.tensor(call.wholes("value_ints"), dtype=torch.int64)
    if "value_floats" in attributes:
        return torch.tensor(list(attributes.get_floats("value_floats")))
    return as_tensor(attributes["value"].as_tensor().numpy())


@operator("ConstantOfShape")
def constant_of_shape(call: Call, shape: Tensor) -> Tensor:
    """Zeros, or one value."""
    value = call.tensor("value")
    return (torch.zeros(1) if value is None else value).reshape(()).expand(integers(shape)).clone()


@operator("Shape")
def shape_of(call: Call, data: Tensor) -> Tensor:
    """Of all axes or some."""
    end = call.node.attributes.get_int("end", data.ndim)
    return torch.tensor(list(data.shape)[call.whole("start", 0) : end], dtype=torch.int64)


@operator("Size")
def size_of(_call: Call, data: Tensor) -> Tensor:
    """How many elements."""
    return torch.tensor(data.numel())


@operator("Reshape")
def reshape(call: Call, data: Tensor, shape: Tensor) -> Tensor:
    """A zero keeps the axis, unless ``allowzero``."""
    wanted = integers(shape)
    if not call.whole("allowzero", 0):
        wanted = [data.shape[axis] if length == 0 else length for axis, length in enumerate(wanted)]
    return data.reshape(wanted)


@operator("Flatten")
def flatten(call: Call, data: Tensor) -> Tensor:
    """To two axes."""
    axis = call.whole("axis", 1)
    rows = 1
    for length in data.shape[:axis]:
        rows *= length
    return data.reshape(rows, -1) if data.numel() else data.reshape(rows, 0)


@operator("Squeeze")
def squeeze(call: Call, data: Tensor, axes: Tensor | None = None) -> Tensor:
    """Axes of length 1; which, is an attribute before opset 13."""
    chosen = call.wholes("axes") if axes is None else integers(axes)
    return data.squeeze(tuple(chosen)) if chosen else data.squeeze()


@operator("Unsqueeze")
def unsqueeze(call: Call, data: Tensor, axes: Tensor | None = None) -> Tensor:
    """New axes, counted in the result."""
    chosen = call.wholes("axes") if axes is None else integers(axes)
    rank = data.ndim + len(chosen)
    for axis in sorted(axis % rank for axis in chosen):
        data = data.unsqueeze(axis)
    return data


@operator("Transpose")
def transpose(call: Call, data: Tensor) -> Tensor:
    """Reversed, if not said otherwise."""
    return data.permute(call.wholes("perm", list(range(data.ndim))[::-1]))


@operator("Concat")
def concat(call: Call, *inputs: Tensor) -> Tensor:
    """Along an axis."""
    return torch.cat(inputs, dim=call.whole("axis", 0))


@operator("Split")
def split(call: Call, data: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, ...]:
    """In given lengths, or equal ones."""
    axis, parts = call.whole("axis", 0), len(call.node.outputs)
    given = call.wholes("split") if lengths is None else integers(lengths)
    return torch.split(data, given or -(-data.shape[axis] // parts), dim=axis)


@operator("Slice")
def slice_of(
    call: Call,
    data: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """Bounds are attributes before opset 10; a step below zero runs backwards."""
    first = call.wholes("starts") if starts is None else integers(starts)
    last = call.wholes("ends") if ends is None else integers(ends)
    along = (call.wholes("axes") if axes is None else integers(axes)) or list(range(len(first)))
    by = [1] * len(first) if steps is None else integers(steps)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        chosen = range(data.shape[axis])[slice(start, end, step)]
        # Beyond the beginning, counted backwards, is the beginning; Python's slices know no such number.
        if step < 0 and end < -data.shape[axis]:
            chosen = range(data.shape[axis])[slice(start, None, step)]
        if step > 0:
            at: list[slice] = [slice(None)] * data.ndim
            at[axis] = slice(chosen.start, max(chosen.start, chosen.stop), step)
            data = data[tuple(at)]
        else:
            data = data.index_select(axis, torch.tensor(list(chosen), dtype=torch.int64))
    return data


@operator("Gather")
def gather(call: Call, data: Tensor, indices: Tensor) -> Tensor:
    """Rows, or what an axis has; the indices' shape takes the axis' place."""
    axis = call.whole("axis", 0) % data.ndim
    length = data.shape[axis]
    flat = indices.reshape(-1).to(torch.int64)
    flat = torch.where(flat < 0, flat + length, flat)
    chosen = data.index_select(axis, flat)
    return chosen.reshape([*data.shape[:axis], *indices.shape, *data.shape[axis + 1 :]])


@operator("GatherElements")
def gather_elements(call: Call, data: Tensor, indices: Tensor) -> Tensor:
    """Element by element."""
    axis = call.whole("axis", 0)
    indices = indices.to(torch.int64)
    return torch.gather(data, axis, torch.where(indices < 0, indices + data.shape[axis], indices))


@operator("Expand")
def expand(_call: Call, data: Tensor, shape: Tensor) -> Tensor:
    """Broadcast both ways."""
    return data.broadcast_to(torch.broadcast_shapes(data.shape, tuple(integers(shape))))


@operator("Tile")
def tile(_call: Call, data: Tensor, repeats: Tensor) -> Tensor:
    """Repeated along each axis."""
    return data.repeat(integers(repeats))


@operator("Range")
def span(_call: Call, start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    """Numbers at equal distances."""
    return torch.arange(start.item(), limit.item(), step.item(), dtype=start.dtype)


@operator("Pad")
def pad(
    call: Call,
    data: Tensor,
    pads: Tensor | None = None,
    value: Tensor | None = None,
    axes: Tensor | None = None,
) -> Tensor:
    """With one value, the edge or a reflection; less than nothing cuts off."""
    around = call.wholes("pads") if pads is None else integers(pads)
    along = list(range(data.ndim)) if axes is None else [axis % data.ndim for axis in integers(axes)]
    before, after = [0] * data.ndim, [0] * data.ndim
    for index, axis in enumerate(along):
        before[axis], after[axis] = around[index], around[index + len(along)]
    filled = call.number("value", 0.0) if value is None else float(value.detach())
    mode = call.text("mode", "constant")
    if mode == "constant":
        widths = [width for axis in reversed(range(data.ndim)) for width in (before[axis], after[axis])]
        return torch.nn.functional.pad(data, widths, value=filled)
    for axis in range(data.ndim):
        if before[axis] or after[axis]:
            length = data.shape[axis]
            at = torch.arange(-before[axis], length + after[axis])
            at = at.clamp(0, length - 1) if mode == "edge" else length - 1 - (length - 1 - at.abs()).abs()
            data = data.index_select(axis, at)
    return data
