"""All parameters at once, so moved that the whole quantised graph answers as the teacher does.

Hinton, Vinyals, Dean: "Distilling the Knowledge in a Neural Network", 2015, with what blocks give as hints
(Romero and others: "FitNets", 2014).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optimizer.runtime import Array
from optimizer.train.batches import Batch, Teacher, error
from optimizer.train.blocks import Block
from optimizer.train.goal import Goal
from optimizer.train.interpreter import Interpreter, Values
from optimizer.train.reconstruct import mean, through
from optimizer.train.schedule import Moved, Schedule, move, pick

_HINTS = 0.1  # what all blocks weigh together beside the outputs, where weights are rounded


@dataclass(frozen=True)
class Hints:
    """Values inside of the graph that should be the teacher's, and what they weigh together."""

    names: tuple[str, ...]
    weight: float

    def wanted(self, interpreter: Interpreter) -> tuple[str, ...]:
        """These and the outputs: all that a teacher has to say."""
        return (*interpreter.outputs, *self.names)


@dataclass(frozen=True)
class Held:
    """Samples that nothing is trained on, and what the teacher answers to them.

    ``look`` is told of them now and then.
    """

    goal: Goal
    batches: Sequence[Batch]
    targets: Sequence[Values]
    look: "Look"

    def error(self, answers: Sequence[Values]) -> float:
        """How far they are from the goal."""
        triples = zip(answers, self.targets, self.batches, strict=True)
        losses = [self.goal.loss(found, wanted, batch.labels) for found, wanted, batch in triples]
        return mean(losses, self.batches)

    def now(self, interpreter: Interpreter, progress: float) -> float:
        """The error of what a graph answers now; ``look`` is told."""
        answers = answers_of(interpreter, self.batches)
        found = self.error(answers)
        self.look(self, progress, found, answers)
        return found

    def by_sample(self, values: Sequence[Values]) -> list[dict[str, Array]]:
        """Outputs of batches as each sample alone would have them."""
        return [
            {name: rows.detach().cpu().numpy() for name, rows in zip(self.goal.outputs, several, strict=True)}
            for found, batch in zip(values, self.batches, strict=True)
            for several in zip(
                *(_apart(found[name], len(batch.samples)) for name in self.goal.outputs), strict=True
            )
        ]


def _apart(output: Tensor, samples: int) -> Sequence[Tensor]:
    return output.chunk(samples) if samples > 1 else [output]


Look = Callable[[Held, float, float, Sequence[Values]], None]
"""How far training came, from 0 to 1, the error now, and the answers."""

Metric = Callable[[list[dict[str, Array]], list[dict[str, Array]], list[Array]], str]
"""From outputs by sample, the teacher's and any labels, the figure that the user knows, with its name."""


def telling(what: str, metric: Metric | None, tell: Callable[[str], None]) -> Look:
    """A look that tells the error, and what the user's metric makes of the answers."""

    def look(held: Held, progress: float, now: float, answers: Sequence[Values]) -> None:
        known = ""
        if metric is not None:
            labels = [label for batch in held.batches for label in batch.labels]
            known = f", {metric(held.by_sample(answers), held.by_sample(held.targets), labels)}"
        tell(f"{what}, {progress:.0%}: error {now:.4g}{known}, on samples held out")

    return look


def distil(
    interpreter: Interpreter,
    teacher: Teacher,
    blocks: Sequence[Block],
    data: tuple[Sequence[Batch], Held],
    schedule: Schedule,
) -> Moved:
    """Train on the first batches; on those held out, only the goal counts.

    Raises:
        CannotTrain: the teacher's values are not finite, or labels do not fit.
    """
    training, held = data
    hints = Hints(hints_of(blocks), _HINTS)

    def loss_of(dice: torch.Generator, dropped: float) -> Tensor:
        interpreter.rounding.dice = dice
        batch = training[pick(len(training), dice)]
        # Of one batch at a time: the values between of all would fill the memory.
        (targets,) = teacher.targets(hints.wanted(interpreter), [batch])
        return loss_of_batch(interpreter, held.goal, hints, (batch, targets), dropped)

    return move(
        list(interpreter.known.values()), loss_of, lambda progress: held.now(interpreter, progress), schedule
    )


def hints_of(blocks: Sequence[Block]) -> tuple[str, ...]:
    """What is between the blocks."""
    return tuple(name for block in blocks[:-1] for name in block.targets)


def loss_of_batch(
    interpreter: Interpreter, goal: Goal, hints: Hints, lesson: tuple[Batch, Values], dropped: float = 0.0
) -> Tensor:
    """How far a graph is from the goal, and its hints from the teacher's, which the lesson has.

    Raises:
        CannotTrain: labels do not fit.
    """
    batch, targets = lesson
    whole = Block(0, len(interpreter.nodes), hints.wanted(interpreter))
    found = through(interpreter, whole, batch.feeds, len(batch.samples), dropped)
    loss = goal.loss(found, targets, batch.labels)
    for name in hints.names:
        loss = loss + hints.weight / len(hints.names) * error(found[name], targets[name])
    return loss


@torch.no_grad()
def answers_of(interpreter: Interpreter, batches: Sequence[Batch]) -> list[Values]:
    """The outputs, of each batch."""
    whole = Block(0, len(interpreter.nodes), tuple(interpreter.outputs))
    return [through(interpreter, whole, batch.feeds, len(batch.samples)) for batch in batches]
