"""Training of a quantised graph against the float one: blocks first, then all of it, where that gains."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from optimizer.data import Sample, hash_samples
from optimizer.train.batches import Batch, Teacher, batches_well, labelled_batches, labels_of, split
from optimizer.train.blocks import Block, blocks_of, shared
from optimizer.train.checkpoint import read_checkpoint, write_checkpoint
from optimizer.train.distil import Held, Metric, answers_of, distil, telling
from optimizer.train.goal import goal_of
from optimizer.train.interpreter import Interpreter, check_against_runtime
from optimizer.train.machine import device, on_this_machine
from optimizer.train.reconstruct import State, advance, reconstruct
from optimizer.train.schedule import Moved, Schedule
from optimizer.train.write import written

Tell = Callable[[str], None]

_BATCH = 8
_MOST_SAMPLES = 1024  # each block asks the teacher about all of them, and keeps what it reads
_CHECKED = 2  # samples on which the float graph is compared with ONNX Runtime
_TRIAL, _TRIED = 0.1, 3  # of the time, and blocks at least, after which training that gained nothing ends
_DONE = "blocks done"  # in a checkpoint, beside the parameters' names


@dataclass(frozen=True)
class Trained:
    """The model after training, the error of its answers on held-out samples, and what each part did to it.

    Where that error did not fall, it is the model from before.
    """

    model: bytes
    before: float
    after: float
    blocks: list[Moved]
    whole: Moved


@dataclass(frozen=True)
class Settings:
    """How to train; ``saturates``: see ``quantize.weights``; ``until``: a monotonic time.

    ``labels_weight``: of the labels beside the original's answers; they say what the output ``labelled`` (the
    first, where none is named) should be. ``metric``: what is told of the held-out samples now and then.
    """

    saturates: bool
    until: float
    seed: int = 0
    block_updates: int = 200
    block_rate: float = 0.05
    updates: int = 400
    rate: float = 0.01
    checkpoint: Path | None = None
    labels_weight: float = 0.0
    labelled: str | None = None
    metric: Metric | None = None


def train(
    original: bytes, quantised: bytes, samples: Sequence[Sample], settings: Settings, tell: Tell
) -> Trained:
    """Train ``quantised``, a form of the float graph ``original``; on a GPU where torch has one.

    Values of equal names mean the same in both, as after the passes of ``quantize``. The same seed gives the
    same model, unless time runs out or the machine is another.

    Raises:
        CannotTrain: or UnsupportedOp; one sentence says why the model stays as it is.
    """

    def trained() -> Trained:
        with device():
            return _train(original, quantised, samples, settings, tell)

    return on_this_machine(trained)


def _train(
    original: bytes, quantised: bytes, samples: Sequence[Sample], settings: Settings, tell: Tell
) -> Trained:
    torch.manual_seed(settings.seed)
    training, held = split(samples, settings.seed)
    training = training[:_MOST_SAMPLES]
    feeds = [sample.feeds for sample in training]
    check_against_runtime(Interpreter(original, saturates=False), original, feeds[:_CHECKED])
    interpreter = Interpreter(quantised, saturates=settings.saturates)
    size = _BATCH if batches_well(interpreter, feeds) else 1
    batches = labelled_batches(training, size), labelled_batches(held, size)
    teacher = Teacher(original)
    blocks = blocks_of(interpreter, shared(interpreter, teacher, original, feeds[0]))
    goal = goal_of(interpreter.outputs, settings.labels_weight, settings.labelled, labels_of(samples))
    unseen = Held(
        goal,
        batches[1],
        teacher.targets(interpreter.outputs, batches[1]),
        telling("training, all at once", settings.metric, tell),
    )
    before = unseen.error(answers_of(interpreter, batches[1]))
    moved = _blocks(
        interpreter, teacher, blocks, batches, (settings, _key(quantised, samples, settings), tell)
    )
    if len(moved) < len(blocks) and _gained_nothing(moved):
        tell("training ends after this trial: no block came nearer to the original's")
        return Trained(quantised, before, before, moved, Moved(before, before, kept=False, updates=0))
    whole = distil(
        interpreter,
        teacher,
        blocks,
        (batches[0], unseen),
        Schedule(settings.updates, settings.rate, settings.until, seed=settings.seed),
    )
    tell(f"training, all at once: {_sentence(whole)}")
    better = whole.after < before
    model = written(quantised, interpreter) if better else quantised
    return Trained(model, before, whole.after if better else before, moved, whole)


def _blocks(
    interpreter: Interpreter,
    teacher: Teacher,
    blocks: Sequence[Block],
    batches: tuple[Sequence[Batch], Sequence[Batch]],
    how: tuple[Settings, str, Tell],
) -> list[Moved]:
    """Train block after block, from where an earlier run stopped, while there is time.

    The first only, if they gain nothing.
    """
    settings, key, tell = how
    states = State.of(batches[0]), State.of(batches[1])
    schedule = Schedule(settings.block_updates, settings.block_rate, settings.until, dropped=0.5)
    done = _load(interpreter, settings.checkpoint, key)
    moved: list[Moved] = []
    began = time.monotonic()
    for number, block in enumerate(blocks):
        if time.monotonic() >= settings.until:
            tell(f"training, blocks: the time ended after {number} of {len(blocks)}")
            break
        if number >= done:
            until = _share_of(settings.until, len(blocks) - number, len(blocks))
            mine = replace(schedule, until=until, seed=settings.seed + number)
            found = reconstruct(interpreter, teacher, block, states, mine)
            moved.append(found)
            _save(interpreter, settings.checkpoint, key, number + 1)
            tell(f"training, block {number + 1} of {len(blocks)}: {_sentence(found)}")
            spent = (time.monotonic() - began) / max(settings.until - began, 1.0)
            if done == 0 and spent > _TRIAL and _gained_nothing(moved):
                return moved
        else:
            moved.append(Moved(0.0, 0.0, kept=True, updates=0))  # by the earlier run
        for state in states:
            advance(interpreter, block, state)
    return moved


def _gained_nothing(moved: Sequence[Moved]) -> bool:
    """In several blocks that could be trained."""
    tried = [one for one in moved if one.updates]
    return len(tried) >= _TRIED and not any(one.kept for one in tried)


def _share_of(until: float, left: int, blocks: int) -> float:
    """When a block has to end, so that the others have as long, and the whole half as long as all of them."""
    now = time.monotonic()
    return now + (until - now) / (left + blocks / 2)


def _sentence(moved: Moved) -> str:
    change = (
        f"error {moved.before:.4g} -> {moved.after:.4g}" if moved.kept else f"error {moved.before:.4g} stays"
    )
    return f"{change}, {moved.updates} updates"


def _key(quantised: bytes, samples: Sequence[Sample], settings: Settings) -> str:
    """Of all that a checkpoint depends on."""
    how = replace(settings, until=0, checkpoint=None, metric=None)
    parts = [hashlib.sha256(quantised).hexdigest(), hash_samples(samples), str(how), torch.__version__]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _save(interpreter: Interpreter, path: Path | None, key: str, done: int) -> None:
    if path is None:
        return
    arrays: dict[str, Any] = {
        _DONE: np.array([key, str(done)]),
        **{name: one.steps.detach().cpu().numpy() for name, one in interpreter.known.items() if one.is_moved},
    }
    write_checkpoint(path, arrays)


@torch.no_grad()
def _load(interpreter: Interpreter, path: Path | None, key: str) -> int:
    """How many blocks an earlier run did, whose parameters are put in."""
    arrays = read_checkpoint(path)
    found, done = map(str, arrays.pop(_DONE, np.array(["", "0"])))
    if found != key:
        return 0
    for name, steps in arrays.items():
        interpreter.known[name].steps.copy_(torch.from_numpy(steps))
    return int(done)
