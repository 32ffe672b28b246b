"""Block after block, parameters so moved that a quantised block gives what the teacher's has.

A block reads what the quantised blocks before it give, so it also makes up for their errors (BRECQ, see
``blocks``; QDrop, see ``operators.base.Rounding``). It is kept as trained only if its error falls on samples
that it was not trained on.

Weights start where GPTQ rounded them, and gradients pass the rounding. AdaRound's soft rounding (Nagel and
others: "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020) was tried in its place, on three
blocks of a text recogniser with 200 updates each. From the float weights it ended at 1.8 to 8 times the
error, from GPTQ's at 0.95 to 1.0 times, and it has to know the float weights: not worth another way.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optimizer.train.batches import Batch, Teacher, error
from optimizer.train.blocks import Block
from optimizer.train.interpreter import Interpreter, Values
from optimizer.train.schedule import Moved, Schedule, move, pick

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

    def count(self, at: int) -> int:
        """The samples in a batch."""
        return len(self.batches[at].samples)


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
        interpreter.rounding.dice = dice
        at = pick(len(training.batches), dice)
        found = through(interpreter, block, training.values[at], training.count(at), dropped)
        return _loss(found, targets[at])

    @torch.no_grad()
    def held_out(_progress: float = 0.0) -> float:
        losses = [
            _loss(through(interpreter, block, values, held.count(at)), held_targets[at])
            for at, values in enumerate(held.values)
        ]
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
    for at, values in enumerate(state.values):
        state.values[at] = through(interpreter, block, values, state.count(at))


def through(
    interpreter: Interpreter, block: Block, values: Values, samples: int, dropped: float = 0.0
) -> Values:
    """What is live after the block, without the parameters."""
    interpreter.samples, interpreter.rounding.dropped = samples, dropped
    after = dict(values)
    interpreter.run(after, block.start, block.stop, keep=block.targets)
    interpreter.samples, interpreter.rounding.dropped = 1, 0.0
    return {name: value for name, value in after.items() if name not in interpreter.known}


def _loss(found: Values, wanted: Values) -> Tensor:
    return torch.stack([error(found[name], wanted[name]) for name in wanted]).sum()
