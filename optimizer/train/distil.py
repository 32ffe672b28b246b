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
        interpreter.rounding.dice, interpreter.rounding.dropped = dice, dropped
        batch = training[int(torch.randint(len(training), (1,), generator=dice))]
        # Of one batch at a time: the values between of all would fill the memory.
        (targets,) = teacher.targets([*interpreter.outputs, *hints], [batch])
        found = _answers(interpreter, blocks, batch, hints)
        loss = sum((error(found[name], targets[name]) for name in interpreter.outputs), torch.zeros(()))
        for name in hints:
            loss = loss + _HINTS / len(hints) * error(found[name], targets[name])
        return loss

    @torch.no_grad()
    def held_out() -> float:
        interpreter.rounding.dropped = 0.0
        losses = []
        for batch, targets in zip(held, held_targets, strict=True):
            found = _answers(interpreter, blocks, batch, ())
            losses.append(torch.stack([error(found[name], targets[name]) for name in targets]).sum())
        return mean(losses, held)

    return move(list(interpreter.known.values()), loss_of, held_out, schedule)


def _answers(interpreter: Interpreter, blocks: Sequence[Block], batch: Batch, hints: Sequence[str]) -> Values:
    """Outputs and hints."""
    whole = Block(0, blocks[-1].stop, (*interpreter.outputs, *hints))
    return through(interpreter, whole, batch.feeds, len(batch.samples))
