"""The one loop of all training: down a loss, to where the error on held-out samples is least."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch._dynamo  # Adam imports it at its first step: where memory is short, now is better
from torch import Tensor

_DIVERGES = 10.0  # of the error before
_SHORTEST_S = 1e-3


@dataclass(frozen=True)
class Trainee:
    """What is moved: ``tensors``, by ``optimisers``.

    ``loss(update)`` is of the next batch; ``error(progress)`` of held-out samples, told how far it came.
    """

    tensors: Sequence[Tensor]
    optimisers: Sequence[torch.optim.Optimizer]
    loss: Callable[[int], Tensor]
    error: Callable[[float], float]


@dataclass(frozen=True)
class Pace:
    """In what steps a run goes, and when it ends.

    The rate rises along a line for ``warm_up`` of the way, and falls along half a cosine, which time that
    runs out (``until``, monotonic) shortens. The error is looked at ``looks`` times; after ``judged`` of the
    way, ``patience`` looks in turn that gained nothing end the run. Below ``worth`` of the least is a gain.
    """

    updates: int
    until: float
    looks: int
    patience: int
    judged: float = 0.0
    worth: float = 1.0
    warm_up: float = 0.0
    largest_gradient: float = math.inf


@dataclass
class Run:
    """How far it is, from 0 to 1, and the least error so far, at ``kept``; None: it is the one at first.

    ``rate``: that of the optimisers, at most.
    """

    rate: float
    least: float
    progress: float = 0.0
    updates: int = 0
    kept: list[Tensor] | None = None


def descend(trainee: Trainee, run: Run, pace: Pace, looked: Callable[[Run], None] = lambda _: None) -> None:
    """Go on with a run until it ends; ``looked`` is told of each look.

    The error may rise at first, while steps are large; at ten times what it was, a run is given up.
    """
    began, start, first = time.monotonic(), run.progress, run.updates
    before, at_first = run.least, copies(trainee.tensors)
    looks, idle = int(start * pace.looks), 0
    while run.progress < 1:
        loss = trainee.loss(run.updates)
        if not loss.requires_grad:
            break
        _step(trainee, loss, _rate(run, pace, start), pace.largest_gradient)
        run.updates += 1
        spent = (time.monotonic() - began) / max(pace.until - began, _SHORTEST_S)
        done = (run.updates - first) / max(pace.updates - first, 1)
        run.progress = start + (1 - start) * max(spent, done)
        if run.progress * pace.looks < looks + 1:
            continue
        looks, idle = int(run.progress * pace.looks), idle + 1
        now = trainee.error(min(run.progress, 1.0))
        if now < pace.worth * run.least:
            run.least, run.kept, idle = now, copies(trainee.tensors), 0
        looked(run)
        gains_nothing = run.progress >= pace.judged and idle >= pace.patience
        if gains_nothing or not now <= _DIVERGES * before:
            break
    put(trainee.tensors, at_first if run.kept is None else run.kept)


def _rate(run: Run, pace: Pace, start: float) -> float:
    rising = min((run.progress - start) / pace.warm_up, 1.0) if pace.warm_up else 1.0
    return run.rate * rising * 0.5 * (1 + math.cos(math.pi * run.progress))


def _step(trainee: Trainee, loss: Tensor, rate: float, largest_gradient: float) -> None:
    for optimiser in trainee.optimisers:
        optimiser.zero_grad()
    loss.backward()
    if largest_gradient < math.inf:
        torch.nn.utils.clip_grad_norm_(trainee.tensors, largest_gradient)
    for optimiser in trainee.optimisers:
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()


def copies(tensors: Sequence[Tensor]) -> list[Tensor]:
    """As they are now."""
    return [one.detach().clone() for one in tensors]


@torch.no_grad()
def put(tensors: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Set them to these."""
    for one, value in zip(tensors, values, strict=True):
        one.copy_(value)
