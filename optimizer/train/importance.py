"""Which errors of what a layer gives move the answers: a Taylor expansion of the distillation loss.

Molchanov, Mallya, Tyree, Frosio, Kautz: "Importance Estimation for Neural Network Pruning", 2019, expand the
loss around the trained network. Against its own answers a network has neither loss nor gradient, so what is
left is the second term: its Gauss-Newton matrix, the mean of g g^T over gradients g of the answers in random
directions (Martens, Grosse: "Optimizing Neural Networks with Kronecker-factored Curvature", 2015).
"""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import torch

from optimizer.external import parse
from optimizer.quantize.layers import layers_of
from optimizer.runtime import Feeds
from optimizer.train.batches import batches_of, batches_well
from optimizer.train.interpreter import Interpreter, check_against_runtime

_SMALLEST = 1e-12
_BATCH = 8
_CHECKED = 2  # samples


def senses_of(
    model: bytes, names: Collection[str], samples: Sequence[Feeds], seed: int
) -> dict[str, npt.NDArray[np.float64]]:
    """By layer [channels, channels]: the loss that an error e of one row of what it gives adds is e^T S e.

    Raises:
        UnsupportedOp: torch cannot run the graph.
    """
    interpreter = Interpreter(model, saturates=False)
    check_against_runtime(interpreter, model, samples[:_CHECKED])
    axes = {layer.name: 1 if layer.node.op_type == "Conv" else -1 for layer in layers_of(parse(model).graph)}
    wanted = [name for name in names if name in axes]
    batches = batches_of(samples, _BATCH if batches_well(interpreter, samples) else 1)
    dice = torch.Generator().manual_seed(seed)
    sums: dict[str, torch.Tensor] = {}
    rows = dict.fromkeys(wanted, 0)
    for batch in batches:
        values = batch.feeds
        interpreter.samples = len(batch.samples)
        interpreter.run(values, 0, len(interpreter.nodes), keep=[*interpreter.outputs, *wanted])
        loss = torch.zeros(())
        for name in interpreter.outputs:
            output = values[name]
            if output.is_floating_point() and output.requires_grad:
                scale = (output.detach().var(unbiased=False) * output[0].numel() + _SMALLEST).sqrt()
                loss = loss + (output * torch.randn(output.shape, generator=dice)).sum() / scale
        gradients = torch.autograd.grad(loss, [values[name] for name in wanted], allow_unused=True)
        for name, gradient in zip(wanted, gradients, strict=True):
            if gradient is not None:
                each = gradient.movedim(axes[name], -1)
                each = each.reshape(-1, each.shape[-1]).double()
                sums[name] = sums.get(name, torch.zeros(())) + each.T @ each
                rows[name] += len(each)
    return {name: (total / rows[name]).numpy() for name, total in sums.items()}
