"""The search's last and dearest move: to train the candidate that is worth most if it gets better."""

import time

import msgspec

from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.job import Job
from optimizer.runtime import optimised_session
from optimizer.search.plan import ORIGINAL_BASE, Plan

# Training takes less than half of a drop away: what is further from the bound stays outside it.
_WITHIN_REACH = 1.5


def train_best(job: Job, candidates: Candidates) -> None:
    """Train one candidate for ``--train`` seconds; it is measured if it beats its untrained form for sure.

    What keeps it from being trained is said in one sentence, and the rest stays as it was.
    """
    best = _worth_most(job, candidates.measured)
    if best is None:
        job.tell("training is left out: there is no int8 form near the bound to train")
        return
    from optimizer.train.compare import gain  # noqa: PLC0415 - torch is there for those who train only
    from optimizer.train.errors import CannotTrain  # noqa: PLC0415
    from optimizer.train.training import Settings, train  # noqa: PLC0415

    def trained(original: bytes, treated: bytes, plan: Plan) -> bytes:
        settings = Settings(
            saturates=candidates.builder.saturates,
            until=time.monotonic() + plan.trained,
            seed=job.options.seed,
            checkpoint=job.work.path(f"{plan.name}.checkpoint"),
        )

        def result() -> bytes:
            return train(original, treated, candidates.builder.feeds, settings, job.tell).model

        return job.work.file(f"{plan.name}.trained", result).read_bytes()

    candidates.builder.trainer = trained
    plan = msgspec.structs.replace(best.plan, trained=job.options.train)
    job.tell(f"training: {best.title}")
    try:
        built = candidates.builder.build(plan)
    except CannotTrain as reason:
        job.tell(str(reason))
        return
    if built is None:
        job.tell("training gained nothing: the untrained form stays")
        return
    sessions = candidates.served(best), optimised_session(built[0])
    found = gain(job.judge, *sessions, job.selection, job.options.seed)
    job.tell(f"training: {job.metric.name} {found.gain:+.3g} [{found.low:+.3g}, {found.high:+.3g}]")
    if found.is_real:
        candidates.measure(plan)


def _worth_most(job: Job, measured: list[Measured]) -> Measured | None:
    """The fastest (or smallest) form with treated layers whose drop is within reach of the bound."""
    within_reach = [
        one
        for one in measured
        if one.plan.layers
        and one.plan.base == ORIGINAL_BASE
        and not one.plan.trained
        and one.hopeless_at is None
        and one.scores is not None
        and one.scores.drop <= _WITHIN_REACH * job.options.max_drop
        and one.latency.ratio >= 1
    ]
    if job.options.objective == "size":
        return min(within_reach, key=lambda one: one.after.size_bytes, default=None)
    return max(within_reach, key=lambda one: one.latency.ratio, default=None)
