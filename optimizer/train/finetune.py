"""A float graph that was pruned, so trained that it answers as the original does: distillation.

As in ``distil``, with what blocks give as hints; but nothing is rounded here, so all parameters may go far.
It takes thousands of unlabelled samples, and minutes.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from optimizer.runtime import Feeds
from optimizer.train.batches import Batch, Teacher, batches_of, batches_well, error, split
from optimizer.train.blocks import Block, blocks_of, shared
from optimizer.train.checkpoint import read_checkpoint, write_checkpoint
from optimizer.train.distil import error_of_answers
from optimizer.train.errors import CannotTrain
from optimizer.train.interpreter import Interpreter, Values, check_against_runtime
from optimizer.train.memory import keep_memory
from optimizer.train.reconstruct import through
from optimizer.train.schedule import set_steps
from optimizer.train.write import written

Tell = Callable[[str], None]

_BATCH = 32
_CHECKED = 2  # samples on which the float graph is compared with ONNX Runtime
_HINTS = 0.3  # what all blocks weigh together beside the outputs
_RATES = (0.03, 0.1)  # steps of quantisation (see ``parameters``) an update; tried on a short schedule first
_TRIAL = 0.08  # of the time, for each rate
_WARM_UP = 0.03  # of the way
_MOMENTS = (0.9, 0.98)
_LARGEST_GRADIENT = 1.0
_LOOKS = 16
# While steps are large the error is often above what it was at first (MiniLM's for half of the way): only
# after this part of the way what gained nothing in so many looks is given up, or what is far off before.
_JUDGED, _PATIENCE, _DIVERGES = 0.8, 8, 10.0
_SHORTEST_S = 1e-3
_FIGURES = "how far"  # in a checkpoint, beside the parameters


@dataclass(frozen=True)
class Settings:
    """``until``: a monotonic time. ``checkpoint``: a file from which a run that was stopped goes on."""

    until: float
    seed: int = 0
    checkpoint: Path | None = None
    rates: tuple[float, ...] = _RATES
    updates: int = 10**9


@dataclass(frozen=True)
class Finetuned:
    """The model, as it was where the error of its answers on held-out samples did not fall."""

    model: bytes
    before: float
    after: float
    updates: int


def finetune(
    original: bytes, pruned: bytes, samples: Sequence[Feeds], settings: Settings, tell: Tell
) -> Finetuned:
    """Train ``pruned`` towards the answers of ``original`` and what its blocks give, on unlabelled samples.

    Values of equal names and shapes mean the same in both. The same seed gives the same batches; time decides
    how many.

    Raises:
        CannotTrain: or UnsupportedOp; one sentence says why the model stays as it is.
    """
    keep_memory()
    try:
        return _finetune(original, pruned, samples, settings, tell)
    except (MemoryError, RuntimeError) as problem:
        if isinstance(problem, RuntimeError) and "memory" not in str(problem):
            raise
        raise CannotTrain("training is left out: this machine has too little memory for it.") from None


def _finetune(
    original: bytes, pruned: bytes, samples: Sequence[Feeds], settings: Settings, tell: Tell
) -> Finetuned:
    torch.manual_seed(settings.seed)
    training, held = split(samples, settings.seed)
    interpreter = Interpreter(pruned, saturates=False)
    check_against_runtime(interpreter, pruned, training[:_CHECKED])
    size = _BATCH if batches_well(interpreter, training) else 1
    task = _Task(interpreter, Teacher(original), training, batches_of(held, _BATCH if size > 1 else 1), size)
    task.hints = _hints(interpreter, task.teacher, original, training[0])
    before = task.held_out()
    key = _key(pruned, samples, settings)
    state = _load(task, settings.checkpoint, key)
    if state is None:
        state = _State(key, _best_rate(task, settings, before, tell), before)
    _train(task, state, settings, tell)
    model = pruned if state.kept is None else written(pruned, interpreter)
    return Finetuned(model, before, state.least, state.updates)


class _Task:
    """What is trained, on what, against whom."""

    def __init__(
        self,
        interpreter: Interpreter,
        teacher: Teacher,
        training: Sequence[Feeds],
        held: Sequence[Batch],
        size: int,
    ) -> None:
        self.interpreter = interpreter
        self.teacher = teacher
        self.training = training
        self.held = held
        self.size = size
        self.hints: list[str] = []
        self._targets = teacher.targets(interpreter.outputs, held)

    @property
    def parameters(self) -> list[Tensor]:
        """All, each in steps of its own."""
        return [one.steps for one in self.interpreter.known.values()]

    def put(self, values: Sequence[Tensor]) -> None:
        """Put the parameters there."""
        set_steps(list(self.interpreter.known.values()), values)

    def batches(self, seed: int) -> Iterator[Batch]:
        """Samples in an order by chance, again and again, in batches of equal shapes."""
        dice = np.random.default_rng(seed)
        while True:
            mixed = [self.training[at] for at in dice.permutation(len(self.training))]
            batches = batches_of(mixed, self.size)
            for at in dice.permutation(len(batches)):
                yield batches[at]

    def loss(self, batch: Batch) -> Tensor:
        """How far the answers and the hints are from the teacher's."""
        names = [*self.interpreter.outputs, *self.hints]
        (targets,) = self.teacher.targets(names, [batch])
        whole = Block(0, len(self.interpreter.nodes), tuple(names))
        found = through(self.interpreter, whole, batch.feeds, len(batch.samples))
        return _loss(found, targets, self.interpreter.outputs, self.hints)

    def held_out(self) -> float:
        """The error of the answers to held-out samples."""
        return error_of_answers(self.interpreter, self.held, self._targets)


def _loss(found: Values, wanted: Values, outputs: Sequence[str], hints: Sequence[str]) -> Tensor:
    total = sum((error(found[name], wanted[name]) for name in outputs), torch.zeros(()))
    for name in hints:
        total = total + _HINTS / len(hints) * error(found[name], wanted[name])
    return total


def _hints(interpreter: Interpreter, teacher: Teacher, original: bytes, feeds: Feeds) -> list[str]:
    """What is between the blocks, as far as the original has it in the same shape."""
    blocks = blocks_of(interpreter, shared(interpreter, teacher, original, feeds))
    return [name for block in blocks[:-1] for name in block.targets]


@dataclass
class _State:
    """How far a run is, and the least error so far, at ``kept``; None where none is less than at first."""

    key: str
    rate: float
    least: float
    progress: float = 0.0
    updates: int = 0
    kept: list[Tensor] | None = None


def _best_rate(task: _Task, settings: Settings, before: float, tell: Tell) -> float:
    """The rate that is best on a short schedule of its own, from the same start."""
    if len(settings.rates) == 1:
        return settings.rates[0]
    start = [one.detach().clone() for one in task.parameters]
    errors = {}
    for number, rate in enumerate(settings.rates):
        now = time.monotonic()
        left = 1 - number * _TRIAL
        until = now + (settings.until - now) * _TRIAL / left
        trial = _State("", rate, before)
        _train(task, trial, replace(settings, until=until, updates=settings.updates // 8, checkpoint=None))
        errors[rate] = trial.least
        task.put(start)
        tell(
            f"distilling, rate {rate:g} on trial: error {before:.4g} -> {trial.least:.4g}, "
            f"{trial.updates} updates"
        )
    return min(errors, key=lambda rate: errors[rate])


def _train(task: _Task, state: _State, settings: Settings, tell: Tell = lambda _line: None) -> None:
    """Go on with a run until it ends; the parameters are then where the error was least.

    Rates rise along a line, and fall along half a cosine, which time that runs out shortens.
    """
    optimiser = torch.optim.Adam(task.parameters, lr=state.rate, betas=_MOMENTS)
    batches = task.batches(settings.seed + state.updates)
    began, start, first = time.monotonic(), state.progress, state.updates
    looks, idle = int(start * _LOOKS), 0
    while state.progress < 1:
        rising = min((state.progress - start) / _WARM_UP, 1.0)
        optimiser.param_groups[0]["lr"] = state.rate * rising * 0.5 * (1 + math.cos(math.pi * state.progress))
        loss = task.loss(next(batches))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.parameters, _LARGEST_GRADIENT)
        optimiser.step()
        state.updates += 1
        spent = (time.monotonic() - began) / max(settings.until - began, _SHORTEST_S)
        done = (state.updates - first) / max(settings.updates - first, 1)
        state.progress = start + (1 - start) * max(spent, done)
        if state.progress * _LOOKS < looks + 1:
            continue
        looks, idle = int(state.progress * _LOOKS), idle + 1
        error_now = task.held_out()
        if error_now < state.least:
            state.least, idle = error_now, 0
            state.kept = [one.detach().clone() for one in task.parameters]
        tell(f"distilling, {min(state.progress, 1):.0%}: error {error_now:.4g}, {state.updates} updates")
        _save(task, state, settings.checkpoint)
        gains_nothing = state.progress >= _JUDGED and idle >= _PATIENCE
        if gains_nothing or not error_now <= _DIVERGES * state.least:
            break
    if state.kept is not None:
        task.put(state.kept)


def _save(task: _Task, state: _State, path: Path | None) -> None:
    if path is None:
        return
    figures = [state.key, state.rate, state.least, state.progress, state.updates, state.kept is not None]
    arrays: dict[str, Any] = {_FIGURES: np.array([str(figure) for figure in figures])}
    for name, steps, kept in zip(
        task.interpreter.known, task.parameters, state.kept or task.parameters, strict=True
    ):
        arrays[f"now {name}"], arrays[f"kept {name}"] = steps.detach().numpy(), kept.detach().numpy()
    write_checkpoint(path, arrays)


def _load(task: _Task, path: Path | None, key: str) -> _State | None:
    """Where an earlier run of the same was stopped; its parameters are put in."""
    arrays = read_checkpoint(path)
    figures = [str(figure) for figure in arrays.get(_FIGURES, np.array([""]))]
    if figures[0] != key:
        return None
    rate, least, progress = map(float, figures[1:4])
    names = list(task.interpreter.known)
    kept = [torch.from_numpy(arrays[f"kept {name}"]) for name in names] if figures[5] == "True" else None
    task.put([torch.from_numpy(arrays[f"now {name}"]) for name in names])
    return _State(key, rate, least, progress, int(figures[4]), kept)


def _key(pruned: bytes, samples: Sequence[Feeds], settings: Settings) -> str:
    total = hashlib.sha256(pruned)
    for feeds in samples:
        for name in sorted(feeds):
            total.update(name.encode() + feeds[name].tobytes())
    total.update(f"{replace(settings, until=0, checkpoint=None)} {torch.__version__}".encode())
    return total.hexdigest()
