"""Ensembles with fewer trees as further candidates."""

from bundle.manifest import AppliedPass
from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.job import Job
from optimizer.measure import latencies, representative
from optimizer.runtime import optimised_session
from optimizer.search.build import Form
from optimizer.search.search import search_form
from optimizer.trees.graph import Trees, trees_in

_FEWEST, _FEWEST_SAMPLES = 4, 32
# The probe: if so few trees are no faster than this, trees are not what the time is spent on.
_PROBED, _PROBED_GAIN, _PROBE_BUDGET_S = 1 / 16, 1.1, 0.3
_SMALLEST = 1 / 32


def search_trees(job: Job, candidates: Candidates) -> None:
    """Halve the trees while the bound holds, and then try the middle of the last two."""
    data = job.model.data  # in the cleaned graph trees may be written otherwise
    count = 0 if job.model.is_large else trees_in(data)
    if count < _FEWEST or job.seconds_left <= 0:
        return
    if len(job.tuning) < _FEWEST_SAMPLES:
        job.tell(
            f"the {count} trees stay: {len(job.tuning)} calibration samples are too few to leave some out, "
            f"{_FEWEST_SAMPLES} the least and some hundreds better"
        )
        return
    job.tell(f"trying: fewer of {count} trees")
    trees = Trees(data, candidates.builder.feeds, job.options.seed)
    if job.options.objective == "latency" and (gain := _most_gain(job, trees)) < _PROBED_GAIN:
        job.tell(
            f"the {count} trees stay: a sixteenth of them would be only {gain:.2f}x as fast for requests of "
            "this size"
        )
        return
    within, share = 1.0, 0.5
    while share >= max(_SMALLEST, 1 / count) and job.seconds_left > 0:
        if not _is_within(job, _measured(job, candidates, trees, share)):
            break
        within, share = share, share / 2
    if share < within and job.seconds_left > 0 and (within + share) / 2 * count >= 1:
        _measured(job, candidates, trees, (within + share) / 2)


def _most_gain(job: Job, trees: Trees) -> float:
    """How much faster a few trees are, whatever they answer."""
    probe = optimised_session(trees.with_share(_PROBED))
    feeds = representative([sample.feeds for sample in job.selection])
    return latencies(job.model.session, {"probe": probe}, feeds, _PROBE_BUDGET_S)["probe"].ratio


def _measured(job: Job, candidates: Candidates, trees: Trees, share: float) -> Measured | None:
    kept = max(1, round(share * trees.count))
    data = job.work.file(f"trees-{kept}.onnx", lambda: trees.with_share(share)).read_bytes()
    applied = AppliedPass(name="FewerTrees", parameters={"trees": kept, "of": trees.count})
    return search_form(job, candidates, Form(f"{kept} of {trees.count} trees", data, [applied]))


def _is_within(job: Job, found: Measured | None) -> bool:
    return found is not None and found.is_within(job.options.max_drop)
