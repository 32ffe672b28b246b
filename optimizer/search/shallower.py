"""A student with fewer layers: the original without some of its residual blocks, distilled."""

import time
from pathlib import Path

from optimizer.job import Job
from optimizer.prune.depth import Shallower
from optimizer.search.build import Builder
from optimizer.search.distil import distilled, float_base, untrained

# Least squares take about half of a drop away, minutes of distilling a third of the rest (docs/optimize.md).
_WITHIN_REACH = 3.0


def shallower(job: Job, builder: Builder, checkpoint: Path) -> bytes:
    """The graph without as many blocks as the bound may permit, taught for ``--train`` seconds.

    Raises:
        CannotTrain: one sentence says why there is none.
    """
    from optimizer.train.errors import CannotTrain  # noqa: PLC0415 - torch is there for those who train only

    started = time.monotonic()
    if job.model.is_large:
        raise CannotTrain("the model is over 2 GB.")
    base = float_base(job, builder)
    whole = Shallower(base.data, base.feeds)
    if not whole.blocks:
        raise CannotTrain("no layer of this graph can go whole, as no residual sum goes around one.")
    count = max(blocks_within_reach(job, whole), 1)  # as that is what was asked for
    job.tell(f"student shallower: without {count} of {len(whole.blocks)} residual blocks")
    models = base.data, whole.refitted(count)
    return distilled(job, models, started, job.options.train, checkpoint)


def blocks_within_reach(job: Job, whole: Shallower) -> int:
    """How many may go, at most half: once they are refitted and trained, the drop may be within the bound."""
    for count in range(max(len(whole.blocks) // 2, 1)):
        drop = untrained(job, whole.without(count + 1)).drop
        job.tell(f"residual blocks, {count + 1} gone: drop {drop:.4f}, neither refitted nor trained")
        if not drop <= _WITHIN_REACH * job.options.max_drop:
            return count
    return max(len(whole.blocks) // 2, 1)
