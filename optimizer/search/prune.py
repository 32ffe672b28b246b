"""A move of the search: fewer channels, neurons and heads, or layers, trained back towards the original."""

import functools
import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import onnx_ir as ir

from bundle.manifest import AppliedPass, Scalar
from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.errors import InputError
from optimizer.evaluate import Scores
from optimizer.external import parse
from optimizer.job import Job
from optimizer.measure import latencies, representative
from optimizer.prune.choose import Matrix
from optimizer.prune.depth import Shallower
from optimizer.prune.prune import Pruner
from optimizer.quantize import QuantizeDynamic
from optimizer.runtime import optimised_session
from optimizer.search.base import Base
from optimizer.search.build import Form
from optimizer.search.distil import distilled, float_base, untrained
from optimizer.search.plan import ORIGINAL_BASE
from optimizer.search.search import search_form
from optimizer.search.shallower import blocks_within_reach

# How much of every group may be gone: half first, then more or less of it, then what is in between.
_HALF, _MORE, _LESS, _FINEST = 1 / 2, (3 / 4, 7 / 8), (1 / 4, 1 / 8), 1 / 64
# Minutes of distilling take a third to two fifths of a drop away (docs/optimize.md).
_WITHIN_REACH, _AIM = 1.5, 0.95
_MOST_FOR_INT8 = 0.5  # of the bound
_SAFE = 3 / 4  # of the room: within it whatever chance does
_TIME_SHARE = 0.8  # of --train
_SENSED_ON = 128  # samples
_TIMING_BUDGET_S = 3.0


def prune_best(job: Job, candidates: Candidates) -> int:
    """Prune as much as the bound may permit, distil, and search that graph as the original was searched.

    Where distilling does not bring it within the bound, the rest of the seconds goes to a graph that is so
    without. What keeps it from being pruned is said in one sentence. Returns the seconds that are left.
    """
    left = [job.options.train]
    if job.model.is_large:
        job.note("pruning is left out: the model is over 2 GB")
        return left[-1]
    try:
        for form, seconds in _forms(job, candidates):
            left.append(seconds)
            if _is_within(job, search_form(job, candidates, form)):
                break
    except (InputError, OSError):
        raise
    except MemoryError:
        job.note("pruning is left out: this machine has too little memory for it")
    except Exception as error:  # noqa: BLE001 - nobody has seen all graphs, and the others are as good as they were
        job.note(f"pruning is left out, at what it does not understand ({type(error).__name__}: {error})")
    return left[-1]


def _forms(job: Job, candidates: Candidates) -> Iterator[tuple[Form, int]]:
    """The pruned graph, then a safer one, each with the seconds of training that are left."""
    seconds = job.options.train
    left = seconds - int(_TIME_SHARE * seconds)
    pruning = _Pruning(job, float_base(job, candidates.builder), _room(job, candidates.measured))
    found = [cut for cut in (pruning.most_within_reach(), pruning.fewest_layers()) if cut is not None]
    if not found:
        job.note(f"pruning is left out: {pruning.why_not}")
        return
    yield pruning.distilled(pruning.best(found), seconds - left, pruning.started), left
    safe = pruning.most_within_room()
    if safe is not None:
        yield pruning.distilled(safe, left, time.monotonic()), 0


def _is_within(job: Job, found: Measured | None) -> bool:
    return found is not None and found.is_within(job.options.max_drop)


class Room(msgspec.Struct, frozen=True):
    """The drop that a pruned graph may have. Kept with the measurements: it decides what is trained."""

    drop: float


def _room(job: Job, measured: Sequence[Measured]) -> float:
    """What is left of the bound, once int8 had as much of it as it needed on the original at least."""
    bound = job.options.max_drop
    known = job.work.load(f"{bound:g}.room", Room)
    if known is None:
        needed = [one.scores.drop for one in measured if one.scores and _is_untrained_int8(one)]
        known = Room(bound - max(min([*needed, _MOST_FOR_INT8 * bound]), 0.0))
        job.work.save(f"{bound:g}.room", known)
    return known.drop


def _is_untrained_int8(one: Measured) -> bool:
    """Of the original."""
    plan = one.plan
    return bool(plan.layers) and plan.base == ORIGINAL_BASE and not plan.trained and one.hopeless_at is None


@dataclass(frozen=True)
class _Cut:
    """A graph without ``share`` of the units of every group or so many ``blocks``; ``scores``: untrained."""

    share: float
    data: bytes
    scores: Scores
    blocks: int = 0

    @property
    def drop(self) -> float:
        """On selection samples."""
        return self.scores.drop

    @property
    def upper_drop(self) -> float:
        """With a standard error."""
        return self.scores.drop + self.scores.error

    @property
    def word(self) -> str:
        """How much is gone."""
        return f"{self.blocks} blocks" if self.blocks else f"{self.share:.0%}"

    @property
    def parameters(self) -> dict[str, Scalar]:
        """Of the pass."""
        return {"blocks": self.blocks} if self.blocks else {"share": self.share}


class _Pruning:
    """Of one graph; what is built is kept in the work folder.

    ``room``: the drop that it may have once it is trained.
    """

    def __init__(self, job: Job, base: Base, room: float) -> None:
        self._job = job
        self._room, self._reach = room, _WITHIN_REACH * room
        self._known: list[_Cut] = []
        self._base = base
        self._key = hashlib.sha256(base.data).hexdigest()[:8]
        self.pruner = Pruner(base.data, base.feeds, job.options.seed)
        self.why_not = ""
        self._is_ordered = False
        self.started = time.monotonic()

    def most_within_reach(self) -> _Cut | None:
        """The smallest graph whose drop, before it is trained, training may bring within the bound.

        From half of the units on, more go while the drop permits it, or less until it does; then once more
        between the last two.
        """
        if not self.pruner.groups:
            self.why_not = "no channels, neurons or heads of this graph can go without others"
            return None
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
            self.why_not = f"even an eighth gone costs {least:.2g}, too far from the bound"
        else:
            self.why_not = "the groups are too small, or layers read NaN or infinity"
        return None

    def most_within_room(self) -> _Cut | None:
        """The smallest graph of neurons that needs no training for it, of those known, or smaller shares."""
        for share in _LESS:
            if any(cut.upper_drop <= _SAFE * self._room for cut in self._known):
                break
            self._cut(share)
        near = [cut for cut in self._known if cut.upper_drop <= _SAFE * self._room]
        return max(near, key=lambda cut: cut.share, default=None)

    def fewest_layers(self) -> _Cut | None:
        """The graph without as many residual blocks as that permits; None where not even one may go."""
        job = self._job
        whole = Shallower(self._base.data, self._base.feeds)
        for count in range(blocks_within_reach(job, whole) if whole.blocks else 0, 0, -1):
            refitted = functools.partial(whole.refitted, count)
            data = job.work.file(f"pruned-{count}-blocks-{self._key}.float", refitted).read_bytes()
            scores = untrained(job, data)
            job.tell(f"residual blocks, {count} gone: drop {scores.drop:.4f} untrained")
            cut = _Cut(0, data, scores, count)
            if self._is_near(cut):
                return cut
        return None

    def best(self, cuts: Sequence[_Cut]) -> _Cut:
        """The smallest or the fastest, in int8: there fewer neurons save less than fewer layers do."""
        job = self._job
        if len(cuts) == 1 or job.options.objective == "size":
            return min(cuts, key=lambda cut: len(cut.data))
        rounding = QuantizeDynamic(saturates=self._base.saturates)
        forms = {cut.word: optimised_session(_rounded(cut.data, rounding)) for cut in cuts}
        feeds = representative(self._base.feeds)
        timed = latencies(job.model.session, forms, feeds, _TIMING_BUDGET_S, job.options.seed)
        job.tell("pruning, by " + ", ".join(f"{word}: {one.ratio:.2f}x" for word, one in timed.items()))
        return max(cuts, key=lambda cut: timed[cut.word].ratio)

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
        scores = untrained(job, data)
        job.tell(f"pruning, {share:.0%} gone: drop {scores.drop:.4f} untrained")
        self._known.append(_Cut(share, data, scores))
        return self._known[-1]

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

    def distilled(self, cut: _Cut, seconds: int, started: float) -> Form:
        """The graph after training, or as it was where that is not possible or gains nothing."""
        from optimizer.train.errors import CannotTrain  # noqa: PLC0415

        job, name = self._job, f"pruned-{cut.blocks or cut.share:g}-{self._key}-{seconds}"
        checkpoint = job.work.path(f"{name}.checkpoint")

        def result() -> bytes:
            return distilled(job, (self._base.data, cut.data), started, seconds, checkpoint)

        applied = [*self._base.applied, AppliedPass(name="Prune", parameters=cut.parameters)]
        try:
            data = job.work.file(f"{name}.distilled", result).read_bytes()
        except CannotTrain as reason:
            job.note(f"training is left out: {reason}")
            data = cut.data
        if data != cut.data:
            parameters: dict[str, Scalar] = {"seconds": seconds, "seed": job.options.seed}
            applied.append(AppliedPass(name="Distil", parameters=parameters))
        return Form(f"pruned by {cut.word}", data, applied)


def _rounded(model: bytes, rounding: QuantizeDynamic) -> bytes:
    data: bytes = ir.to_proto(rounding(parse(model)).model).SerializeToString()
    return data
