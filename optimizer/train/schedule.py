"""How long, and in what steps, quantised parameters are moved."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from optimizer.train.descent import Pace, Run, Trainee, descend
from optimizer.train.parameters import Parameter

_WORTH = 0.995  # of the error before: less is chance
_LOOKS, _PATIENCE = 8, 4


@dataclass(frozen=True)
class Schedule:
    """``rate``: steps of quantisation (see ``parameters``) that an update moves each parameter by, at first.

    ``dropped``: the share of activations left unrounded in every second update; ``until``: a monotonic time.
    """

    updates: int
    rate: float
    until: float
    dropped: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Moved:
    """The error on held-out samples before and after, and whether the parameters stayed where they went."""

    before: float
    after: float
    kept: bool
    updates: int


def move(
    parameters: Sequence[Parameter],
    loss_of: Callable[[torch.Generator, float], Tensor],
    held_out: Callable[[float], float],
    schedule: Schedule,
) -> Moved:
    """Move parameters down a loss, and leave them where the error on held-out samples was least.

    ``loss_of(dice, dropped)`` takes a batch by chance, ``held_out`` is told how far it came, from 0 to 1.
    """
    dice = torch.Generator(torch.get_default_device()).manual_seed(schedule.seed)
    before = held_out(0.0)
    if not parameters:
        return Moved(before, before, kept=False, updates=0)
    steps = [one.steps for one in parameters]
    trainee = Trainee(
        steps,
        [torch.optim.Adam(steps, lr=schedule.rate)],
        lambda update: loss_of(dice, schedule.dropped if update % 2 else 0.0),
        held_out,
    )
    run = Run(schedule.rate, before)
    pace = Pace(schedule.updates, schedule.until, _LOOKS, _PATIENCE, worth=_WORTH)
    descend(trainee, run, pace)
    return Moved(before, run.least, run.kept is not None, run.updates)


def pick(count: int, dice: torch.Generator) -> int:
    """A number below ``count`` by chance."""
    return int(torch.randint(count, (1,), generator=dice))
