"""A float graph that was pruned, so trained that it answers as the original does: distillation.

As in ``distil``, with what blocks give as hints; but nothing is rounded here, so all parameters may go far.
It takes thousands of unlabelled samples, and minutes.
"""

import functools
import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from optimizer.data import Sample, hash_samples
from optimizer.train.batches import Batch, Teacher, batches_well, labelled_batches, labels_of, split
from optimizer.train.blocks import blocks_of, shared
from optimizer.train.checkpoint import load_run, save_run
from optimizer.train.descent import Pace, Run, Trainee, copies, descend, put
from optimizer.train.distil import Held, Hints, Metric, answers_of, hints_of, loss_of_batch, telling
from optimizer.train.goal import goal_of
from optimizer.train.interpreter import Interpreter, Values, check_against_runtime
from optimizer.train.machine import device, on_this_machine
from optimizer.train.write import written

Tell = Callable[[str], None]

_BATCH = 32
_CHECKED = 2  # samples on which the float graph is compared with ONNX Runtime
_HINTS = 0.3  # what all blocks weigh together beside the outputs
_RATES = (0.03, 0.1)  # steps of quantisation (see ``parameters``) an update
_MANY, _TIMED = 500, 8  # updates, for the largest rate; by which their number is foretold
_SHORTEST_S = 1e-3
_WARM_UP = 0.03  # of the way
_MOMENTS = (0.9, 0.98)
_LARGEST_GRADIENT = 1.0
# While steps are large the error is often above what it was at first (MiniLM's for half of the way): only
# after this part of the way what gained nothing in so many looks is given up.
_LOOKS, _JUDGED, _PATIENCE = 16, 0.8, 8


@dataclass(frozen=True)
class Settings:
    """``until``: a monotonic time. ``checkpoint``: a file from which a run that was stopped goes on.

    ``labels_weight``, ``labelled`` and ``metric``: see ``training.Settings``.
    """

    until: float
    seed: int = 0
    checkpoint: Path | None = None
    rates: tuple[float, ...] = _RATES
    updates: int = 10**9
    labels_weight: float = 0.0
    labelled: str | None = None
    metric: Metric | None = None


@dataclass(frozen=True)
class Finetuned:
    """The model, as it was where the error of its answers on held-out samples did not fall."""

    model: bytes
    before: float
    after: float
    updates: int


def finetune(
    original: bytes, pruned: bytes, samples: Sequence[Sample], settings: Settings, tell: Tell
) -> Finetuned:
    """Train ``pruned`` towards the answers of ``original`` and what its blocks give.

    Values of equal names and shapes mean the same in both. It runs on a GPU where torch has one. The same
    seed gives the same batches; time decides how many.

    Raises:
        CannotTrain: or UnsupportedOp; one sentence says why the model stays as it is.
    """

    def finetuned() -> Finetuned:
        with device():
            return _finetune(original, pruned, samples, settings, tell)

    return on_this_machine(finetuned)


def _finetune(
    original: bytes, pruned: bytes, samples: Sequence[Sample], settings: Settings, tell: Tell
) -> Finetuned:
    torch.manual_seed(settings.seed)
    training, held = split(samples, settings.seed)
    interpreter = Interpreter(pruned, saturates=False)
    feeds = [sample.feeds for sample in training]
    check_against_runtime(interpreter, pruned, feeds[:_CHECKED])
    size = _BATCH if batches_well(interpreter, feeds) else 1
    teacher = Teacher(original)
    hints = Hints(hints_of(blocks_of(interpreter, shared(interpreter, teacher, original, feeds[0]))), _HINTS)
    looked = labelled_batches(held, size)
    goal = goal_of(interpreter.outputs, settings.labels_weight, settings.labelled, labels_of(samples))
    unseen = Held(
        goal,
        looked,
        teacher.targets(interpreter.outputs, looked),
        telling("distilling", settings.metric, tell),
    )
    task = _Task(interpreter, teacher, hints, unseen, training, size)
    before = unseen.error(answers_of(interpreter, looked))
    key = _key(pruned, samples, settings)
    tensors = {name: one.steps for name, one in interpreter.known.items()}
    save = functools.partial(save_run, settings.checkpoint, key, tensors)
    start = copies(task.tensors)
    run = load_run(settings.checkpoint, key, tensors) or Run(_first_rate(task, settings), before)
    while True:
        task.go_on(run, settings, save)
        smaller = [rate for rate in settings.rates if rate < run.rate]
        if run.kept is not None or not smaller:
            break
        tell(f"distilling: a rate of {run.rate:g} gained nothing")
        put(task.tensors, start)
        run = Run(max(smaller), before)
    model = pruned if run.kept is None else written(pruned, interpreter)
    return Finetuned(model, before, run.least, run.updates)


@dataclass(frozen=True)
class _Task:
    """What is trained, against whom, and on what."""

    interpreter: Interpreter
    teacher: Teacher
    hints: Hints
    held: Held
    training: Sequence[Sample]
    size: int

    @property
    def tensors(self) -> list[Tensor]:
        """All parameters, each in steps of its own."""
        return [one.steps for one in self.interpreter.known.values()]

    def go_on(self, run: Run, settings: Settings, looked: Callable[[Run], None]) -> None:
        """Until the run ends."""
        lessons = self.lessons(settings.seed + run.updates)
        trainee = Trainee(
            self.tensors,
            [torch.optim.Adam(self.tensors, lr=run.rate, betas=_MOMENTS)],
            lambda _update: loss_of_batch(self.interpreter, self.held.goal, self.hints, next(lessons)),
            lambda progress: self.held.now(self.interpreter, progress),
        )
        pace = Pace(
            settings.updates,
            settings.until,
            _LOOKS,
            _PATIENCE,
            judged=_JUDGED,
            warm_up=_WARM_UP,
            largest_gradient=_LARGEST_GRADIENT,
        )
        descend(trainee, run, pace, looked)

    def lessons(self, seed: int) -> Iterator[tuple[Batch, Values]]:
        """Batches with what the teacher says to them: to the next one, while this one is learnt from."""
        batches = self._batches(seed)

        def asked() -> tuple[Batch, Values]:
            with device():  # which each thread has for itself
                batch = next(batches)
                (targets,) = self.teacher.targets(self.hints.wanted(self.interpreter), [batch])
                return batch, targets

        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(asked)
            while True:
                now, ahead = ahead, pool.submit(asked)
                yield now.result()

    def _batches(self, seed: int) -> Iterator[Batch]:
        """Samples in an order by chance, again and again, in batches of equal shapes."""
        dice = np.random.default_rng(seed)
        while True:
            mixed = [self.training[at] for at in dice.permutation(len(self.training))]
            batches = labelled_batches(mixed, self.size)
            for at in dice.permutation(len(batches)):
                yield batches[at]


def _first_rate(task: _Task, settings: Settings) -> float:
    """The largest rate where there is time for many updates, else the smallest.

    Large steps bring the error above that of the start at first. In 165 updates MiniLM's error fell by a
    fifth at 0.03 and by a ninth at 0.1; in 1,200 to 2,000 its drop by 28 to 33 % and by 37 to 40 %. A trial
    on a short schedule says nothing of that.
    """
    if len(settings.rates) == 1:
        return settings.rates[0]
    began = time.monotonic()
    for lesson in itertools.islice(task.lessons(settings.seed), _TIMED):
        loss_of_batch(task.interpreter, task.held.goal, task.hints, lesson).backward()
    for one in task.tensors:
        one.grad = None
    now = time.monotonic()
    expected = min(settings.updates, _TIMED * (settings.until - now) / max(now - began, _SHORTEST_S))
    return max(settings.rates) if expected >= _MANY else min(settings.rates)


def _key(pruned: bytes, samples: Sequence[Sample], settings: Settings) -> str:
    """Of all that a checkpoint depends on."""
    how = replace(settings, until=0, checkpoint=None, metric=None)
    parts = [hashlib.sha256(pruned).hexdigest(), hash_samples(samples), str(how), torch.__version__]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
