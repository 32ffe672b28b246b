"""The search's last and dearest moves: to train a pruned graph, and the candidate that is worth most."""

import time

import msgspec

from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.job import Job
from optimizer.runtime import optimised_session
from optimizer.search.build import Builder, Trainer
from optimizer.search.held_out import metric_held_out
from optimizer.search.plan import Plan
from optimizer.search.prune import prune_best

# Training takes less than half of a drop away: what is further from the bound stays outside it.
_WITHIN_REACH = 1.5


def train_best(job: Job, candidates: Candidates) -> None:
    """Spend ``--train`` seconds: on a pruned graph, as far as there is one, and on one candidate.

    The candidate, of the original or of what was pruned, learns from its own float graph. If it beats its
    untrained form for sure, it is measured. What keeps either from being trained is said in one sentence,
    and the rest stays as it was.
    """
    seconds = prune_best(job, candidates)
    if not seconds:
        return
    best = _worth_most(job, candidates.measured, seconds)
    if best is None:
        job.note("training is left out: there is no int8 form near the bound to train")
        return
    from optimizer.train.compare import gain  # noqa: PLC0415 - torch is there for those who train only
    from optimizer.train.errors import CannotTrain  # noqa: PLC0415

    builder = candidates.builder.of(best.plan)
    builder.trainer = _trainer(job, builder)
    plan = msgspec.structs.replace(best.plan, trained=seconds, labels_weight=job.options.labels_weight)
    job.tell(f"training: {best.title}")
    try:
        built = builder.build(plan)
        if built is None:
            job.note("training gained nothing: the untrained form stays")
            return
        sessions = candidates.served(best), optimised_session(built[0])
        found = gain(job.judge, *sessions, job.selection, job.options.seed)
    except CannotTrain as reason:
        job.note(f"training is left out: {reason}")
        return
    except MemoryError:
        job.note("training is left out: this machine has too little memory for it.")
        return
    job.tell(f"training: {job.metric.name} {found.gain:+.3g} [{found.low:+.3g}, {found.high:+.3g}]")
    if found.is_real:
        candidates.measure(plan)


def _trainer(job: Job, builder: Builder) -> Trainer:
    """Trains until its time is over, or the time budget; what it made is kept in the work folder."""
    from optimizer.train.errors import CannotTrain  # noqa: PLC0415
    from optimizer.train.training import Settings, train  # noqa: PLC0415

    def trained(original: bytes, treated: bytes, plan: Plan) -> bytes:
        settings = Settings(
            saturates=builder.saturates,
            until=min(time.monotonic() + plan.trained, job.ends),
            seed=job.options.seed,
            checkpoint=job.work.path(f"{plan.name}.checkpoint"),
            labels_weight=plan.labels_weight,
            labelled=job.outputs[0],
            metric=metric_held_out(job),
        )

        def result() -> bytes:
            if settings.until <= time.monotonic():
                raise CannotTrain("the time budget is spent.")
            return train(original, treated, job.tuning, settings, job.tell).model

        return job.work.file(f"{plan.name}.trained", result).read_bytes()

    return trained


class Chosen(msgspec.Struct, frozen=True):
    """The plan that is trained. Kept with the measurements, as clocks never say twice the same."""

    plan: Plan


def _worth_most(job: Job, measured: list[Measured], seconds: int) -> Measured | None:
    """What was chosen before, for as many seconds, where the search goes on or is run again."""
    name = f"{job.options.objective}-{job.options.max_drop:g}-{seconds}.trained"
    known = job.work.load(name, Chosen)
    best = next((one for one in measured if known is not None and one.plan == known.plan), None)
    if best is None and (best := _fastest_near_the_bound(job, measured)) is not None:
        job.work.save(name, Chosen(best.plan))
    return best


def _fastest_near_the_bound(job: Job, measured: list[Measured]) -> Measured | None:
    """The fastest (or smallest) form with treated layers whose drop is within reach of the bound."""
    within_reach = [
        one
        for one in measured
        if one.plan.layers
        and not one.plan.trained
        and one.hopeless_at is None
        and one.scores is not None
        and one.scores.drop <= _WITHIN_REACH * job.options.max_drop
        and one.latency.ratio >= 1
    ]
    if job.options.objective == "size":
        return min(within_reach, key=lambda one: one.after.size_bytes, default=None)
    return max(within_reach, key=lambda one: one.latency.ratio, default=None)
