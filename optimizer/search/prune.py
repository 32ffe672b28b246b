"""A move of the search: fewer channels, neurons and heads, trained back towards the original's answers."""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundle.manifest import AppliedPass, Scalar
from optimizer.candidates import Candidates
from optimizer.errors import InputError
from optimizer.job import Job
from optimizer.prune.choose import Matrix
from optimizer.prune.prune import Pruner
from optimizer.runtime import optimised_session
from optimizer.search.base import Base
from optimizer.search.build import Form
from optimizer.search.distil import distilled, float_base
from optimizer.search.search import search_form

# How much of every group may be gone: half first, then more or less of it, then what is in between.
_HALF, _MORE, _LESS, _FINEST = 1 / 2, (3 / 4, 7 / 8), (1 / 4, 1 / 8), 1 / 64
# Minutes of distilling take two fifths of a drop away (docs/optimize.md), and int8 needs a part of the bound.
_WITHIN_REACH, _AIM = 1.6, 0.95
_TIME_SHARE = 0.8  # of --train
_SENSED_ON = 128  # samples


def prune_best(job: Job, candidates: Candidates) -> int:
    """Prune as much as the bound may permit, distil, and search that graph as the original was searched.

    What keeps it from being pruned is said in one sentence. Returns the seconds of training that are left.
    """
    seconds = job.options.train
    trained = int(_TIME_SHARE * seconds)
    if job.model.is_large:
        job.note("pruning is left out: the model is over 2 GB")
        return seconds
    try:
        form = _form(job, candidates, trained)
    except (InputError, OSError):
        raise
    except MemoryError:
        job.note("pruning is left out: this machine has too little memory for it")
        return seconds
    except Exception as error:  # noqa: BLE001 - nobody has seen all graphs, and the others are as good as they were
        job.note(f"pruning is left out, at what it does not understand ({type(error).__name__}: {error})")
        return seconds
    if form is None:
        return seconds
    search_form(job, candidates, form)
    return seconds - trained


def _form(job: Job, candidates: Candidates, seconds: int) -> Form | None:
    """The pruned graph; None, and a sentence, where there is none."""
    pruning = _Pruning(job, float_base(job, candidates.builder))
    if not pruning.pruner.groups:
        job.note("pruning is left out: no channels, neurons or heads of this graph can go without others")
        return None
    found = pruning.most_within_reach()
    return None if found is None else pruning.distilled(found, seconds)


@dataclass(frozen=True)
class _Cut:
    """A graph without ``share`` of the units of every group, and its drop before it is trained."""

    share: float
    data: bytes
    drop: float


class _Pruning:
    """Of one graph; what is built is kept in the work folder."""

    def __init__(self, job: Job, base: Base) -> None:
        self._job = job
        self._base = base
        self._key = hashlib.sha256(base.data).hexdigest()[:8]
        self.pruner = Pruner(base.data, base.feeds, job.options.seed)
        self._is_ordered = False
        self._started = time.monotonic()

    def most_within_reach(self) -> _Cut | None:
        """The smallest graph whose drop, before it is trained, training may bring within the bound.

        From half of the units on, more go while the drop permits it, or less until it does; then once more
        between the last two.
        """
        cuts = [self._cut(_HALF)]
        for share in _MORE if self._is_near(cuts[0]) else _LESS:
            cuts.append(self._cut(share))
            if self._is_near(cuts[0]) != self._is_near(cuts[-1]):
                break
        known = [cut for cut in cuts if cut is not None]
        near = max((cut for cut in known if self._is_near(cut)), key=lambda cut: cut.share, default=None)
        if near is not None:
            return self._between(near, [cut for cut in known if cut.share > near.share])
        if known:
            least = min(cut.drop for cut in known)
            self._job.note(
                f"pruning is left out: even an eighth gone costs {least:.2g}, too far from the bound"
            )
        else:
            self._job.note("pruning is left out: the groups are too small, or layers read NaN or infinity")
        return None

    def _between(self, near: _Cut, beyond: Sequence[_Cut]) -> _Cut:
        """A little more than ``near``, as far as that is near as well."""
        if not beyond:
            return near
        next_one, aim = min(beyond, key=lambda cut: cut.share), _AIM * self._reach
        part = 0.5
        if 0 < near.drop < aim < next_one.drop < math.inf:  # its logarithm grows about as the share does
            part = math.log(aim / near.drop) / math.log(next_one.drop / near.drop)
        share = near.share + _FINEST * math.floor(part * (next_one.share - near.share) / _FINEST)
        found = self._cut(share) if near.share < share < next_one.share else None
        return found if found is not None and self._is_near(found) else near

    @property
    def _reach(self) -> float:
        return _WITHIN_REACH * self._job.options.max_drop

    def _is_near(self, cut: _Cut | None) -> bool:
        return cut is not None and cut.drop <= self._reach

    def _cut(self, share: float) -> _Cut | None:
        """The graph without so much of every group; None where nothing can go."""
        job = self._job
        path = job.work.path(f"pruned-{share:g}-{self._key}.float")
        data = path.read_bytes() if path.exists() else self._pruned(share)
        if data is None:
            return None
        if not path.exists():
            job.work.write(path.name, data)
        drop = job.judge.score(optimised_session(data), job.selection).drop
        job.tell(f"pruning, {share:.0%} gone: drop {drop:.4f} untrained")
        return _Cut(share, data, drop)

    def _pruned(self, share: float) -> bytes | None:
        if not self._is_ordered:
            self._job.tell(f"trying: pruning, {len(self.pruner.groups)} groups of channels, neurons or heads")
            self.pruner.order(self._senses())
            self._is_ordered = True
        return self.pruner.pruned(share)

    def _senses(self) -> Mapping[str, Matrix]:
        from optimizer.train.errors import CannotTrain  # noqa: PLC0415 - torch is there for those who train only
        from optimizer.train.importance import senses_of  # noqa: PLC0415

        try:
            return senses_of(
                self._base.data, self.pruner.readers, self._base.feeds[:_SENSED_ON], self._job.options.seed
            )
        except CannotTrain:  # said when it is trained
            return {}

    def distilled(self, cut: _Cut, seconds: int) -> Form:
        """The graph after training, or as it was where that is not possible or gains nothing."""
        from optimizer.train.errors import CannotTrain  # noqa: PLC0415

        job, name = self._job, f"pruned-{cut.share:g}-{self._key}-{seconds}"
        checkpoint = job.work.path(f"{name}.checkpoint")

        def result() -> bytes:
            return distilled(job, (self._base.data, cut.data), self._started, seconds, checkpoint)

        applied = [*self._base.applied, AppliedPass(name="Prune", parameters={"share": cut.share})]
        try:
            data = job.work.file(f"{name}.distilled", result).read_bytes()
        except CannotTrain as reason:
            job.note(f"training is left out: {reason}")
            data = cut.data
        if data != cut.data:
            parameters: dict[str, Scalar] = {"seconds": seconds, "seed": job.options.seed}
            applied.append(AppliedPass(name="Distil", parameters=parameters))
        return Form(f"pruned by {cut.share:.0%}", data, applied)
