"""How long, and in what steps, parameters are moved; and the one loop that moves them."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch._dynamo  # Adam imports it at its first step: where memory is short, now is better
from torch import Tensor

from optimizer.train.parameters import Parameter

_WORTH = 0.995  # of the error before: less is chance
_TRIAL = 0.75  # of the way, after which what gains nothing is given up
_LOOKS = 8
_DIVERGES = 10.0  # of the error before
_SHORTEST_S = 1e-3


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
    Steps shrink along a half cosine, which time that runs out shortens. The error is looked at eight times;
    it may rise at first, while steps are large. So only what gained nothing after six looks, or in four looks
    in turn, is given up.
    """
    dice = torch.Generator(torch.get_default_device()).manual_seed(schedule.seed)
    before = best = held_out(0.0)
    if not parameters:
        return Moved(before, before, kept=False, updates=0)
    kept = start = _steps(parameters)
    optimiser = torch.optim.Adam([one.steps for one in parameters], lr=schedule.rate)
    began = time.monotonic()
    update = looks = idle = 0
    progress = 0.0
    while progress < 1 and idle < 4:
        optimiser.param_groups[0]["lr"] = schedule.rate * 0.5 * (1 + math.cos(math.pi * progress))
        loss = loss_of(dice, schedule.dropped if update % 2 else 0.0)
        if not loss.requires_grad:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        update += 1
        spent = (time.monotonic() - began) / max(schedule.until - began, _SHORTEST_S)
        progress = max(update / schedule.updates, spent)
        if progress * _LOOKS < looks + 1:
            continue
        looks = int(progress * _LOOKS)
        now = held_out(min(progress, 1.0))
        if now < _WORTH * best:
            best, kept, idle = now, _steps(parameters), 0
        else:
            idle += 1
        if not now <= _DIVERGES * before or (progress >= _TRIAL and kept is start):
            break
    set_steps(parameters, kept)
    return Moved(before, best, kept is not start, update)


def pick(count: int, dice: torch.Generator) -> int:
    """A number below ``count`` by chance."""
    return int(torch.randint(count, (1,), generator=dice))


def _steps(parameters: Sequence[Parameter]) -> list[Tensor]:
    return [one.steps.detach().clone() for one in parameters]


@torch.no_grad()
def set_steps(parameters: Sequence[Parameter], steps: Sequence[Tensor]) -> None:
    """Put parameters where they were."""
    for one, value in zip(parameters, steps, strict=True):
        one.steps.copy_(value)
