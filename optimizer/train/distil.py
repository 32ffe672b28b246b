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

_HINTS = 0.1  # what all blocks weigh together beside the outputs


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
        return mean([self.goal.loss(*triple) for triple in triples], self.batches)

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


Look = Callable[[Held, float, float, list[Values]], None]
"""How far training came, from 0 to 1, the error now, and the answers."""

Metric = Callable[[list[dict[str, Array]], list[dict[str, Array]], list[Array]], str]
"""From outputs by sample, the teacher's and any labels, the figure that the user knows, with its name."""


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
    hints = [name for block in blocks[:-1] for name in block.targets]

    def loss_of(dice: torch.Generator, dropped: float) -> Tensor:
        interpreter.rounding.dice = dice
        batch = training[pick(len(training), dice)]
        # Of one batch at a time: the values between of all would fill the memory.
        (targets,) = teacher.targets([*interpreter.outputs, *hints], [batch])
        whole = Block(0, len(interpreter.nodes), (*interpreter.outputs, *hints))
        found = through(interpreter, whole, batch.feeds, len(batch.samples), dropped)
        loss = held.goal.loss(found, targets, batch)
        for name in hints:
            loss = loss + _HINTS / len(hints) * error(found[name], targets[name])
        return loss

    def held_out(progress: float) -> float:
        answers = answers_of(interpreter, held.batches)
        now = held.error(answers)
        held.look(held, progress, now, answers)
        return now

    return move(list(interpreter.known.values()), loss_of, held_out, schedule)


@torch.no_grad()
def answers_of(interpreter: Interpreter, batches: Sequence[Batch]) -> list[Values]:
    """The outputs, of each batch."""
    whole = Block(0, len(interpreter.nodes), tuple(interpreter.outputs))
    return [through(interpreter, whole, batch.feeds, len(batch.samples)) for batch in batches]


def error_of_answers(interpreter: Interpreter, batches: Sequence[Batch], targets: Sequence[Values]) -> float:
    """How far the outputs are from the teacher's, ``targets``, as ``batches.error`` measures it."""
    held = Held(Goal(interpreter.outputs), batches, targets, lambda *_: None)
    return held.error(answers_of(interpreter, batches))
