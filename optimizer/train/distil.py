"""All parameters at once, so moved that the whole quantised graph answers as the teacher does.

Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", 2015, with what blocks give as hints
(Romero and others: "FitNets", 2014).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from optimizer.train.batches import Batch, Teacher, error
from optimizer.train.blocks import Block
from optimizer.train.interpreter import Interpreter, Values
from optimizer.train.reconstruct import mean, through
from optimizer.train.schedule import Moved, Schedule, move

_HINTS = 0.1  # what all blocks weigh together beside the outputs


def distil(
    interpreter: Interpreter,
    teacher: Teacher,
    blocks: Sequence[Block],
    batches: tuple[Sequence[Batch], Sequence[Batch]],
    schedule: Schedule,
) -> Moved:
    """Train on the first batches; on the second, only the outputs count.

    Raises:
        CannotTrain: the teacher's values are not finite.
    """
    training, held = batches
    hints = [name for block in blocks[:-1] for name in block.targets]
    held_targets = teacher.targets(interpreter.outputs, held)

    def loss_of(dice: torch.Generator, dropped: float) -> Tensor:
        interpreter.rounding.dice = dice
        batch = training[int(torch.randint(len(training), (1,), generator=dice))]
        # Of one batch at a time: the values between of all would fill the memory.
        (targets,) = teacher.targets([*interpreter.outputs, *hints], [batch])
        whole = Block(0, len(interpreter.nodes), (*interpreter.outputs, *hints))
        found = through(interpreter, whole, batch.feeds, len(batch.samples), dropped)
        loss = sum((error(found[name], targets[name]) for name in interpreter.outputs), torch.zeros(()))
        for name in hints:
            loss = loss + _HINTS / len(hints) * error(found[name], targets[name])
        return loss

    def held_out() -> float:
        return error_of_answers(interpreter, held, held_targets)

    return move(list(interpreter.known.values()), loss_of, held_out, schedule)


@torch.no_grad()
def error_of_answers(interpreter: Interpreter, batches: Sequence[Batch], targets: Sequence[Values]) -> float:
    """How far the outputs are from the teacher's, ``targets``, as ``batches.error`` measures it."""
    whole = Block(0, len(interpreter.nodes), tuple(interpreter.outputs))
    losses = []
    for batch, wanted in zip(batches, targets, strict=True):
        found = through(interpreter, whole, batch.feeds, len(batch.samples))
        losses.append(torch.stack([error(found[name], wanted[name]) for name in interpreter.outputs]).sum())
    return mean(losses, batches)
