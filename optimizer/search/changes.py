"""Which changes of the whole graph pay on this model and this machine."""

import msgspec

from optimizer.job import Job
from optimizer.measure import latencies, representative
from optimizer.runtime import optimised_session
from optimizer.search.build import Builder
from optimizer.search.plan import Change

_TIMING_BUDGET_S = 3.0
# These are left out where they are certain to be slower; the others make quantisation more exact, or
# possible, and say themselves where they are worth it. Compact trees are a candidate beside the others.
_FOR_SPEED: tuple[Change, ...] = ("attention", "gelu")
_TRIED: tuple[Change, ...] = ("float", *_FOR_SPEED, "compact trees", "smooth")


class Changes(msgspec.Struct, frozen=True):
    """Those that are kept, in their order. Kept in the work folder."""

    kept: tuple[Change, ...]


def choose_changes(job: Job, builder: Builder) -> tuple[Change, ...]:
    """Try one change after the other on top of those that were kept."""
    known = job.work.load(f"{builder.name}.changes", Changes)
    if known is not None:
        return known.kept
    feeds = representative([sample.feeds for sample in job.tuning])
    kept: tuple[Change, ...] = ()
    for change in _TRIED:
        job.tell(f"trying: {change}")
        before, after = builder.base(kept), builder.base((*kept, change))
        if len(after.applied) == len(before.applied):
            continue
        if change in _FOR_SPEED:
            now = {"after": optimised_session(after.data)}
            timed = latencies(optimised_session(before.data), now, feeds, _TIMING_BUDGET_S, job.options.seed)
            job.tell(f"{change}: {timed['after'].ratio:.2f}x")
            if timed["after"].high <= 1:
                continue
        kept = (*kept, change)
    job.work.save(f"{builder.name}.changes", Changes(kept))
    return kept
