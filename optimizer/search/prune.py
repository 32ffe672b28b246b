"""A move of the search: fewer channels, neurons and heads, trained back towards the original's answers."""

import hashlib
import math
import time
from collections.abc import Mapping

from bundle.manifest import AppliedPass, Scalar
from optimizer.candidates import Candidates
from optimizer.errors import InputError
from optimizer.job import Job
from optimizer.prune.choose import Matrix
from optimizer.prune.prune import Pruner
from optimizer.runtime import optimised_session
from optimizer.search.base import Base
from optimizer.search.build import Form
from optimizer.search.changes import choose_changes
from optimizer.search.search import search_form

_SHARES = {"half": 1 / 2, "quarter": 1 / 4, "eighth": 1 / 8}
# Minutes of distilling take two fifths of a drop away (docs/optimize.md), and int8 needs a part of the bound.
_WITHIN_REACH = 1.6
_TIME_SHARE = 0.8  # of --train
_SENSED_ON = 128  # samples


def prune_best(job: Job, candidates: Candidates) -> int:
    """Prune as much as the bound may permit, distil, and search that graph as the original was searched.

    What keeps it from being pruned is said in one sentence. Returns the seconds of training that are left.
    """
    seconds = job.options.train
    trained = int(_TIME_SHARE * seconds)
    if job.model.is_large:
        job.tell("pruning is left out: the model is over 2 GB")
        return seconds
    try:
        form = _form(job, candidates, trained)
    except (InputError, OSError):
        raise
    except MemoryError:
        job.tell("pruning is left out: this machine has too little memory for it")
        return seconds
    except Exception as error:  # noqa: BLE001 - nobody has seen all graphs, and the others are as good as they were
        job.tell(f"pruning is left out, at what it does not understand ({type(error).__name__}: {error})")
        return seconds
    if form is None:
        return seconds
    search_form(job, candidates, form)
    return seconds - trained


def _form(job: Job, candidates: Candidates, seconds: int) -> Form | None:
    """The pruned graph; None, and a sentence, where there is none."""
    builder = candidates.builder
    changes = tuple(change for change in choose_changes(job, builder) if "smooth" not in change)
    pruning = _Pruning(job, builder.base(changes))
    if not pruning.pruner.groups:
        job.tell("pruning is left out: no channels, neurons or heads of this graph can go without others")
        return None
    found = pruning.most_within_reach()
    return None if found is None else pruning.distilled(*found, seconds)


class _Pruning:
    """Of one graph; what is built is kept in the work folder."""

    def __init__(self, job: Job, base: Base) -> None:
        self._job = job
        self._base = base
        self._key = hashlib.sha256(base.data).hexdigest()[:8]
        self.pruner = Pruner(base.data, base.feeds, job.options.seed)
        self._is_ordered = False
        self._started = time.monotonic()

    def most_within_reach(self) -> tuple[str, bytes] | None:
        """The smallest graph whose drop, before it is trained, training may bring within the bound."""
        job, drop = self._job, math.nan
        for word, share in _SHARES.items():
            path = job.work.path(f"pruned-{word}-{self._key}.float")
            data = path.read_bytes() if path.exists() else self._pruned(share)
            if data is None:
                continue
            if not path.exists():
                job.work.write(path.name, data)
            drop = job.judge.score(optimised_session(data), job.selection).drop
            job.tell(f"pruning, {word} gone: drop {drop:.4f} untrained")
            if drop <= _WITHIN_REACH * job.options.max_drop:
                return word, data
        if math.isnan(drop):
            job.tell("pruning is left out: the groups are too small, or layers read NaN or infinity")
        else:
            job.tell(f"pruning is left out: even an eighth gone costs {drop:.2g}, too far from the bound")
        return None

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

    def distilled(self, word: str, pruned: bytes, seconds: int) -> Form:
        """The graph after training, or as it was where that is not possible or gains nothing."""
        from optimizer.train.errors import CannotTrain  # noqa: PLC0415
        from optimizer.train.finetune import Settings, finetune  # noqa: PLC0415

        job, name = self._job, f"pruned-{word}-{self._key}-{seconds}"
        settings = Settings(
            # What was cut and refitted took its part of the time, but never most of it.
            until=max(self._started + seconds, time.monotonic() + seconds / 2),
            seed=job.options.seed,
            checkpoint=job.work.path(f"{name}.checkpoint"),
        )

        def result() -> bytes:
            samples = [sample.feeds for sample in job.tuning]
            return finetune(self._base.data, pruned, samples, settings, job.tell).model

        applied = [*self._base.applied, AppliedPass(name="Prune", parameters={"share": _SHARES[word]})]
        try:
            data = job.work.file(f"{name}.distilled", result).read_bytes()
        except CannotTrain as reason:
            job.tell(str(reason))
            data = pruned
        if data != pruned:
            parameters: dict[str, Scalar] = {"seconds": seconds, "seed": job.options.seed}
            applied.append(AppliedPass(name="Distil", parameters=parameters))
        return Form(f"pruned-{word}", data, applied)
