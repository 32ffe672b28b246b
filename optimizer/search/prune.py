"""A move of the search: fewer channels, neurons and heads, or layers, trained back towards the original."""

import functools
import time
from collections.abc import Iterator, Sequence

import msgspec
import onnx_ir as ir

from bundle.manifest import AppliedPass, Scalar
from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.errors import InputError
from optimizer.external import parse
from optimizer.job import Job
from optimizer.measure import latencies, representative
from optimizer.prune.depth import Shallower
from optimizer.quantize import QuantizeDynamic
from optimizer.runtime import optimised_session
from optimizer.search.base import Base
from optimizer.search.build import Form, key_of
from optimizer.search.distil import Cut, distilled, float_base, judged
from optimizer.search.neurons import Neurons
from optimizer.search.plan import ORIGINAL_BASE
from optimizer.search.search import search_form
from optimizer.search.shallower import blocks_within_reach

_MOST_FOR_INT8 = 0.5  # of the bound
_SAFE = 1 / 2  # of the room: within it whatever chance does
_TIME_SHARE = 0.8  # of --train
_TIMING_BUDGET_S = 3.0


def prune_best(job: Job, candidates: Candidates) -> int:
    """Prune as much as the bound may permit, distil, and search that graph as the original was searched.

    Where distilling does not bring it within the bound, the rest of the seconds goes to a graph that is so
    without. What keeps it from being pruned is said in one sentence. Returns the seconds that are left.
    """
    left = job.options.train
    if job.model.is_large:
        job.note("pruning is left out: the model is over 2 GB")
        return left
    try:
        for form, seconds in _forms(job, candidates):
            left = seconds
            if _is_within(job, search_form(job, candidates, form)):
                break
    except (InputError, OSError):
        raise
    except MemoryError:
        job.note("pruning is left out: this machine has too little memory for it")
    except Exception as error:  # noqa: BLE001 - nobody has seen all graphs, and the others are as good as they were
        job.note(f"pruning is left out, at what it does not understand ({type(error).__name__}: {error})")
    return left


def _forms(job: Job, candidates: Candidates) -> Iterator[tuple[Form, int]]:
    """The pruned graph, then a safer one, each with the seconds of training that are left."""
    seconds, started = job.options.train, time.monotonic()
    left = seconds - int(_TIME_SHARE * seconds)
    base, room = float_base(job, candidates.builder), _room(job, candidates.measured)
    neurons = Neurons(job, base.data, base.feeds)
    cuts = _cuts_within(job, base, neurons, room)
    if not cuts:
        job.note(f"pruning is left out: {neurons.why_not}")
        return
    yield _distilled(job, base, _best(job, base, cuts), seconds - left, started), left
    started = time.monotonic()
    fewer = neurons.most_within(_SAFE * room)
    safe = [cut for cut in (*cuts, fewer) if cut is not None and cut.expected_drop <= _SAFE * room]
    if safe:
        yield _distilled(job, base, _best(job, base, safe), left, started), 0


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


def _cuts_within(job: Job, base: Base, neurons: Neurons, room: float) -> list[Cut]:
    """Without neurons, without whole layers, without both: each as far as the room permits."""
    found = [neurons.most_within(room)]
    layers = _fewest_layers(job, base, room)
    if layers is not None:
        further = Neurons(job, layers.data, base.feeds, layers.blocks)
        found += [layers, further.most_within(room)]
    return [cut for cut in found if cut is not None]


def _fewest_layers(job: Job, base: Base, room: float) -> Cut | None:
    """The graph without as many residual blocks as that permits; None where not even one may go."""
    whole, key = Shallower(base.data, base.feeds), key_of(base.data)
    for count in range(blocks_within_reach(job, whole) if whole.blocks else 0, 0, -1):
        refitted = functools.partial(whole.refitted, count)
        data = job.work.file(f"pruned-{count}-blocks-{key}.float", refitted).read_bytes()
        cut = judged(job, data, count)
        if cut.expected_drop <= room:
            return cut
    return None


def _best(job: Job, base: Base, cuts: Sequence[Cut]) -> Cut:
    """The smallest or the fastest, in int8: there fewer neurons save less than fewer layers do."""
    if len(cuts) == 1 or job.options.objective == "size":
        return min(cuts, key=lambda cut: len(cut.data))
    rounding = QuantizeDynamic(saturates=base.saturates)
    forms = {cut.word: optimised_session(_rounded(cut.data, rounding)) for cut in cuts}
    feeds = representative(base.feeds)
    timed = latencies(job.model.session, forms, feeds, _TIMING_BUDGET_S, job.options.seed)
    job.tell("pruning, by " + ", ".join(f"{word}: {one.ratio:.2f}x" for word, one in timed.items()))
    return max(cuts, key=lambda cut: timed[cut.word].ratio)


def _rounded(model: bytes, rounding: QuantizeDynamic) -> bytes:
    data: bytes = ir.to_proto(rounding(parse(model)).model).SerializeToString()
    return data


def _distilled(job: Job, base: Base, cut: Cut, seconds: int, started: float) -> Form:
    """The graph after training, or as it was where that is not possible or gains nothing."""
    from optimizer.train.errors import CannotTrain  # noqa: PLC0415 - torch is there for those who train only

    what = "-".join(f"{much:g}-{name}" for name, much in cut.parameters.items())
    name = f"pruned-{what}-{key_of(base.data)}-{seconds}"
    checkpoint = job.work.path(f"{name}.checkpoint")

    def result() -> bytes:
        return distilled(job, (base.data, cut.data), started, seconds, checkpoint)

    applied = [*base.applied, AppliedPass(name="Prune", parameters=cut.parameters)]
    try:
        data = job.work.file(f"{name}.distilled", result).read_bytes()
    except CannotTrain as reason:
        job.note(f"training is left out: {reason}")
        data = cut.data
    if data != cut.data:
        parameters: dict[str, Scalar] = {"seconds": seconds, "seed": job.options.seed}
        applied.append(AppliedPass(name="Distil", parameters=parameters))
    return Form(f"pruned by {cut.word}", data, applied)
