"""Fewer channels, neurons and heads of one graph: as many as a drop permits."""

import math
from collections.abc import Mapping, Sequence

from optimizer.job import Job
from optimizer.prune.choose import Matrix
from optimizer.prune.prune import Pruner
from optimizer.runtime import Feeds
from optimizer.search.build import key_of
from optimizer.search.distil import Cut, judged

# How much of every group may be gone: half first, then more or less of it, then what is in between.
_HALF, _MORE, _LESS, _FINEST = 1 / 2, (3 / 4, 7 / 8), (1 / 4, 1 / 8), 1 / 64
_AIM = 0.95  # of the drop that is permitted
_SENSED_ON = 128  # samples


class Neurons:
    """Those of one graph, of which ``blocks`` are gone already; what is built is kept in the work folder."""

    def __init__(self, job: Job, model: bytes, feeds: Sequence[Feeds], blocks: int = 0) -> None:
        self._job = job
        self._model, self._feeds, self._blocks = model, feeds, blocks
        self._key = key_of(model)
        self._pruner = Pruner(model, feeds, job.options.seed)
        self._is_ordered = False
        self._known: dict[float, Cut | None] = {}

    def most_within(self, limit: float) -> Cut | None:
        """The smallest graph whose expected drop, once it is trained, is within ``limit``.

        From half of the units on, more go while the drop permits it, or less until it does; then once more
        between the last two.
        """
        if not self._pruner.groups:
            return None
        share, is_near = _HALF, self._is_within(_HALF, limit)
        for following in _MORE if is_near else _LESS:
            near, beyond = (share, following) if is_near else (following, share)
            share = following
            if self._is_within(following, limit) != is_near:
                return self._between(near, beyond, limit)
        return self._cut(share) if is_near else None

    @property
    def why_not(self) -> str:
        """What keeps all that was tried from being within a limit."""
        if not self._pruner.groups:
            return "no channels, neurons or heads of this graph can go without others"
        drops = [cut.drop for cut in self._known.values() if cut is not None]
        if drops:
            return f"even an eighth gone costs {min(drops):.2g}, too far from the bound"
        return "the groups are too small, or layers read NaN or infinity"

    def _between(self, near: float, beyond: float, limit: float) -> Cut | None:
        """A little more than the share ``near``, as far as that is within the limit as well."""
        last, following = self._cut(near), self._cut(beyond)
        if last is None or following is None:
            return last
        part, aim = 0.5, _AIM * limit
        low, high = last.expected_drop, following.expected_drop
        if 0 < low < aim < high < math.inf:  # its logarithm grows about as the share does
            part = math.log(aim / low) / math.log(high / low)
        share = near + _FINEST * math.floor(part * (beyond - near) / _FINEST)
        is_within = near < share < beyond and self._is_within(share, limit)
        return self._cut(share) if is_within else last

    def _is_within(self, share: float, limit: float) -> bool:
        cut = self._cut(share)
        return cut is not None and cut.expected_drop <= limit

    def _cut(self, share: float) -> Cut | None:
        """The graph without so much of every group; None where nothing can go."""
        if share not in self._known:
            self._known[share] = self._made(share)
        return self._known[share]

    def _made(self, share: float) -> Cut | None:
        job = self._job
        path = job.work.path(f"pruned-{share:g}-{self._key}.float")
        data = path.read_bytes() if path.exists() else self._pruned(share)
        if data is None:
            return None
        if not path.exists():
            job.work.write(path.name, data)
        return judged(job, data, self._blocks, share)

    def _pruned(self, share: float) -> bytes | None:
        if not self._is_ordered:
            groups = len(self._pruner.groups)
            self._job.tell(f"trying: pruning, {groups} groups of channels, neurons or heads")
            self._pruner.order(self._senses())
            self._is_ordered = True
        return self._pruner.pruned(share)

    def _senses(self) -> Mapping[str, Matrix]:
        from optimizer.train.errors import CannotTrain  # noqa: PLC0415 - torch is there for those who train only
        from optimizer.train.importance import senses_of  # noqa: PLC0415

        seed = self._job.options.seed
        try:
            return senses_of(self._model, self._pruner.readers, self._feeds[:_SENSED_ON], seed)
        except CannotTrain:  # said when it is trained
            return {}
