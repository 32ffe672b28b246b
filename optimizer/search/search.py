"""The search: what each layer costs and gains, a chain of plans out of it, and the best link of the chain."""

import time

import msgspec
from msgspec.structs import replace

from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.job import Job
from optimizer.quantize.ranges import Range
from optimizer.search.base import Base
from optimizer.search.build import Builder, Form
from optimizer.search.chain import Link, chain, cheapest_within
from optimizer.search.changes import choose_changes
from optimizer.search.layers import LayerTable, even, layer_options, layers_file, measure_layers
from optimizer.search.plan import CLEAN, ORIGINAL, Plan, Treatment
from optimizer.search.squeeze import squeezed

_FORM_SHARE = 0.5  # of the time budget, that the search of each further float graph has
_RANGES_SHARE = 0.1  # of the time that is left
_TOLERANCE = 0.01
_ALWAYS_TRIED = 3
# What the verification samples reject counts as so many times the bound, whatever the selection samples said.
_REJECTED = 2
# What bias correction may bring within the bound; it saves about a tenth of the drop.
_NEARLY = 1.2
# Drops up to this share of the bound leave room for less smoothing.
_ROOM = 0.8
# Errors do not add up exactly: so much of what is left of the bound is used.
_USED = 0.8
# The treatments that smoothing is for: they round what a layer reads.
_ROUNDED: frozenset[Treatment] = frozenset(
    {"static", "pointwise", "unfolded", "unfolded16", "dynamic", "nbits"}
)


class Ranges(msgspec.Struct, frozen=True):
    """The ranges of activations that were picked. Kept in the work folder."""

    by_value: dict[str, Range]


def search(job: Job, candidates: Candidates) -> None:
    """Measure the candidates that may be the best one."""
    candidates.measure(ORIGINAL)
    candidates.measure(CLEAN)
    _treat(job, candidates, candidates.builder, 0.0)


def search_form(job: Job, candidates: Candidates, form: Form) -> Measured | None:
    """The same with another float graph in the original's place, if that is within the bound itself.

    Returns the figures of the graph before its layers are treated; nothing if it cannot be measured.
    """
    if form.name not in candidates.builder.forms:
        job.grant(_FORM_SHARE)
    builder = candidates.builder.add(form)
    found = candidates.measure(Plan(base=form.name))
    if found is not None and found.is_within(job.options.max_drop):
        _treat(job, candidates, builder, max(found.upper_drop, 0.0))
    return found


def _treat(job: Job, candidates: Candidates, builder: Builder, spent: float) -> None:
    """Change the graph and treat its layers; ``spent``: the part of the bound that it needs untreated."""
    if job.seconds_left <= 0:
        return
    changes = choose_changes(job, builder)
    base, plan = builder.base(changes), Plan(base=builder.name, changes=changes)
    if not base.treatable:
        if changes:
            candidates.measure(plan)
        return
    base.ranges = _ranges(job, builder, base)
    name = layers_file(builder.name, job.options.objective)
    table = job.work.load(name, LayerTable)
    if table is None:
        job.tell(f"trying: the {len(base.treatable)} layers one by one")
        table = measure_layers(job, builder, changes)
        job.work.save(name, table)
    measured = _along_the_chain(job, candidates, plan, table, spent)
    for refined in _refined(job, plan, table, measured):
        if job.seconds_left > 0:
            candidates.measure(refined)


def _along_the_chain(
    job: Job, candidates: Candidates, plan: Plan, table: LayerTable, spent: float
) -> list[tuple[Link, float]]:
    """Look for the best link; what was measured, with its drop."""
    links = chain(layer_options(table, job.options.objective, job.model.source.size))
    bound = job.options.max_drop
    measured: list[tuple[Link, float]] = []

    def drop_of(link: Link) -> float | None:
        # On a slow machine the layers alone may take all of the time; they must not have been for nothing.
        if job.seconds_left <= 0 and len(measured) >= _ALWAYS_TRIED:
            job.tell("the time budget is spent: the rest is not tried")
            return None
        found = candidates.measure(replace(plan, layers=link.layers))
        drop = float("inf") if found is None else found.upper_drop
        if found is not None and found.name in candidates.rejected:  # the next one has to be more exact
            drop = max(drop, _REJECTED * bound) if bound > 0 else float("inf")
        measured.append((link, drop))
        return drop - spent

    cheapest_within(links, bound - spent, drop_of, _TOLERANCE)
    return measured


def _refined(job: Job, plan: Plan, table: LayerTable, measured: list[tuple[Link, float]]) -> list[Plan]:
    """What else may be better.

    Fewer bytes at the same speed; less smoothing where there is room; none (its factors take bytes) where
    no layer rounds what it reads; a cheaper link that was nearly within.
    """
    bound = job.options.max_drop
    within = min((pair for pair in measured if pair[1] <= bound), key=lambda pair: pair[0].cost, default=None)
    plans = []
    if within is not None and job.options.objective == "latency":
        link, drop = within
        spare = _USED * link.error * (bound / drop - 1) if drop > 0 else link.error
        layers = squeezed(link.layers, even(table.rows), spare)
        if layers != link.layers:
            plans.append(replace(plan, layers=layers))
        if "smooth" in plan.changes and drop <= _ROOM * bound:
            less = tuple("smooth some" if change == "smooth" else change for change in plan.changes)
            plans.append(replace(plan, changes=less, layers=layers))
    if within is not None and job.options.objective == "size" and not _ROUNDED & {*within[0].layers.values()}:
        rest = tuple(change for change in plan.changes if change != "smooth")
        if rest != plan.changes:
            plans.append(replace(plan, changes=rest, layers=within[0].layers))
    nearly = [
        link
        for link, drop in measured
        if bound < drop <= _NEARLY * bound and (within is None or link.cost < within[0].cost)
    ]
    if nearly:
        cheapest = min(nearly, key=lambda link: link.cost)
        plans.append(replace(plan, layers=cheapest.layers, corrected=True))
    return plans


def _ranges(job: Job, builder: Builder, base: Base) -> dict[str, Range]:
    name = f"{builder.name}.ranges"
    known = job.work.load(name, Ranges)
    if known is None:
        job.tell("trying: ranges of activations")
        until = time.monotonic() + max(_RANGES_SHARE * job.seconds_left, 1.0)
        known = Ranges(base.pick_ranges(job.outputs, until))
        job.work.save(name, known)
    return known.by_value
