"""Block after block, parameters so moved that a quantised block gives what the teacher's has.

A block reads what the quantised blocks before it give, so it also makes up for their errors (BRECQ, see
``blocks``; QDrop, see ``operators.base.Rounding``). It is kept as trained only if its error falls on samples
that it was not trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optimizer.train.batches import Batch, Teacher, error
from optimizer.train.blocks import Block
from optimizer.train.interpreter import Interpreter, Values
from optimizer.train.schedule import Moved, Schedule, move

# Of the variance: where a block is further from the teacher's, the two are not the same value at all; where
# it is nearer, nothing of it is quantised.
_UNLIKE, _SAME = 1.0, 1e-7


@dataclass
class State:
    """Batches on their way through the quantised graph: what is live where the next block starts."""

    batches: Sequence[Batch]
    values: list[Values]

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> "State":
        """At the graph's inputs."""
        return cls(batches, [batch.feeds for batch in batches])


def reconstruct(
    interpreter: Interpreter, teacher: Teacher, block: Block, states: tuple[State, State], schedule: Schedule
) -> Moved:
    """Train one block; ``states`` are of training and held-out batches.

    Raises:
        CannotTrain: the teacher's values are not finite.
    """
    training, held = states
    targets, held_targets = (teacher.targets(block.targets, state.batches) for state in states)

    def loss_of(dice: torch.Generator, dropped: float) -> Tensor:
        interpreter.rounding.dice, interpreter.rounding.dropped = dice, dropped
        at = int(torch.randint(len(training.batches), (1,), generator=dice))
        return _loss(interpreter, block, training, at, targets[at])

    @torch.no_grad()
    def held_out() -> float:
        interpreter.rounding.dropped = 0.0
        losses = [_loss(interpreter, block, held, at, one) for at, one in enumerate(held_targets)]
        return mean(losses, held.batches)

    before = held_out()
    if not _SAME <= before <= _UNLIKE:
        return Moved(before, before, kept=False, updates=0)
    return move(interpreter.parameters_between(block.start, block.stop), loss_of, held_out, schedule)


def mean(losses: Sequence[Tensor], batches: Sequence[Batch]) -> float:
    """Over samples."""
    total = sum(float(loss) * len(batch.samples) for loss, batch in zip(losses, batches, strict=True))
    return total / sum(len(batch.samples) for batch in batches)


@torch.no_grad()
def advance(interpreter: Interpreter, block: Block, state: State) -> None:
    """Take the batches through a block."""
    for at, batch in enumerate(state.batches):
        state.values[at] = through(interpreter, block, state.values[at], len(batch.samples))


def through(interpreter: Interpreter, block: Block, values: Values, samples: int) -> Values:
    """What is live after the block, without the parameters."""
    interpreter.samples = samples
    after = dict(values)
    interpreter.run(after, block.start, block.stop, keep=block.targets)
    interpreter.samples = 1
    return {name: value for name, value in after.items() if name not in interpreter.known}


def _loss(interpreter: Interpreter, block: Block, state: State, at: int, targets: Values) -> Tensor:
    after = through(interpreter, block, state.values[at], len(state.batches[at].samples))
    return torch.stack([error(after[name], targets[name]) for name in block.targets]).sum()
