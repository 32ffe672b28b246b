"""LSTM, as ONNX lays its gates out."""

import torch
from torch import Tensor

from optimizer.train.operators.base import Call, operator

_ORDER = [0, 2, 3, 1]  # input, forget, cell, output, as torch has them; ONNX has input, output, forget, cell


@operator("LSTM")
def lstm(
    call: Call,
    data: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    bias: Tensor | None = None,
    lengths: Tensor | None = None,
    hidden: Tensor | None = None,
    cell: Tensor | None = None,
    peepholes: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of [length, batch, width]: hidden states [length, directions, batch, hidden], and the last ones."""
    direction = call.text("direction", "forward")
    plain = direction != "reverse" and "activations" not in call.node.attributes
    if not plain or lengths is not None or peepholes is not None or call.whole("layout", 0):
        raise NotImplementedError("LSTM in reverse, with lengths, peepholes or its own activations")
    directions, size = recurrent.shape[0], recurrent.shape[2]
    start = data.new_zeros(directions, data.shape[1], size)
    parameters = []
    for at in range(directions):
        biases = data.new_zeros(8 * size) if bias is None else bias[at]
        parts = (weight[at], recurrent[at], biases[: 4 * size], biases[4 * size :])
        parameters += [_ordered(part, size) for part in parts]
    states = (start if hidden is None else hidden, start if cell is None else cell)
    found, last_hidden, last_cell = torch.lstm(
        data,
        states,
        parameters,
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=False,
        bidirectional=directions == 2,
        batch_first=False,
    )
    by_direction = found.reshape(*found.shape[:2], directions, size).transpose(1, 2)
    return by_direction, last_hidden, last_cell


def _ordered(part: Tensor, size: int) -> Tensor:
    """Gates in torch's order."""
    return part.reshape(4, size, *part.shape[1:])[_ORDER].reshape(part.shape)
