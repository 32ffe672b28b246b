"""From a model to a bundle: search, choose, verify, write."""

import importlib.metadata
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from bundle.folder import write
from bundle.manifest import Manifest
from bundle.manifest import Metric as MetricFigures
from monitoring.baseline import SCHEMA_VERSION as BASELINE_VERSION
from optimizer.baseline import baseline_json, deviation_from
from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.contents import golden_error, golden_npz, golden_samples
from optimizer.data import Sample
from optimizer.errors import InputError
from optimizer.job import Job, Options, Tell, processor, threads
from optimizer.report import Findings, Search, render
from optimizer.runtime import Array
from optimizer.search.build import Builder
from optimizer.search.layers import LayerTable, layers_file
from optimizer.search.plan import ORIGINAL
from optimizer.search.search import search
from optimizer.search.student import try_student
from optimizer.search.train import train_best
from optimizer.search.trees import search_trees
from optimizer.trees.graph import trees_in
from optimizer.verify import Verified, usable, verify

# Calibration samples that the search looks at; training, and the drift baseline, take all.
_SEARCHED = 512
_TOOLS = ("coldpress", "numpy", "onnx", "onnx-ir", "onnxruntime")


@dataclass(frozen=True)
class Pressed:
    """A bundle, and what it holds."""

    folder: Path
    manifest: Manifest
    chosen: Measured
    floor: float | None
    notes: tuple[str, ...] = ()


class Interrupted(KeyboardInterrupt):
    """Stopped by the user, after the best so far was verified and written."""

    def __init__(self, pressed: Pressed) -> None:
        super().__init__()
        self.pressed = pressed


def press(options: Options, tell: Tell) -> Pressed:
    """Press a model into a bundle; ``tell`` gets a line for each step.

    Raises:
        InputError: the model, the data or the metric is not usable.
        OSError: the disk is full, or the output folder cannot be written.
        Interrupted: Ctrl-C came when something better than the original was measured already.
    """
    job = Job(options, tell)
    candidates = Candidates(job, Builder(job.model, _searched(job), options.target, options.seed))
    try:
        pressed = _press(job, candidates)
    except KeyboardInterrupt:
        if not _is_better_known(job, candidates):
            raise
        tell("interrupted: verifying the best so far (Ctrl-C again stops at once)")
        raise Interrupted(_best_so_far(job, candidates)) from None
    _advise(job, candidates, pressed)
    return pressed


def _searched(job: Job) -> list[Sample]:
    """Calibration samples; those with NaN or infinity, which have no range, only for ensembles of trees."""
    finite = [sample for sample in job.tuning if all(np.isfinite(one).all() for one in _numbers(sample))]
    left = len(job.tuning) - len(finite)
    if not left or not finite or (not job.model.is_large and trees_in(job.model.data)):
        return job.tuning[:_SEARCHED]
    job.note(
        f"{left} of {len(job.tuning)} calibration samples hold NaN or infinity: ranges are found without them"
    )
    return finite[:_SEARCHED]


def _numbers(sample: Sample) -> list[Array]:
    return [one for one in sample.feeds.values() if one.dtype.kind == "f"]


def _press(job: Job, candidates: Candidates) -> Pressed:
    """Search and verify; each candidate that fails then adds a standard error to the margin of the next."""
    while True:
        _search(job, candidates)
        measured = candidates.race()
        chosen, verified = verify(job, candidates, measured)
        if verified is not None:
            job.work.save("search.result", _circumstances(job))
            return _bundle(job, candidates, measured, chosen, verified)
        candidates.reject(chosen)


def _best_so_far(job: Job, candidates: Candidates) -> Pressed:
    """What is best of all that was measured, after those that fail verification.

    Raises:
        KeyboardInterrupt: it is the original.
    """
    while _is_better_known(job, candidates):
        measured = candidates.measured
        chosen, verified = verify(job, candidates, measured)
        if verified is not None:
            return _bundle(job, candidates, measured, chosen, verified)
        candidates.reject(chosen)
    raise KeyboardInterrupt


def _is_better_known(job: Job, candidates: Candidates) -> bool:
    """Whether anything better than the original was measured."""
    best = usable(job, candidates, candidates.measured)[:1]
    return best != [] and best[0].plan != ORIGINAL


def _search(job: Job, candidates: Candidates) -> None:
    """Search; a model so odd that a pass trips over it is left as far as it came."""
    try:
        search(job, candidates)
        search_trees(job, candidates)
        if job.options.student:
            try_student(job, candidates, job.options.student)
        elif job.options.train:
            train_best(job, candidates)
    except (InputError, OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - nobody has seen all graphs, and what was measured is good
        job.tell(f"the search ends early, at what it does not understand ({type(error).__name__}: {error})")


def _advise(job: Job, candidates: Candidates, pressed: Pressed) -> None:
    """Say how many samples would do where their number alone kept a faster candidate out."""
    bound = job.options.max_drop
    kept_out = [
        (one.latency.ratio, needed)
        for one in candidates.measured
        if one.hopeless_at is None
        and not one.is_within(bound)
        and one.latency.ratio > pressed.chosen.latency.ratio
        and (needed := one.samples_needed(bound)) is not None
    ]
    if kept_out:
        ratio, needed = max(kept_out)
        job.tell(
            f"{len(job.evaluation)} evaluation samples are too few to tell whether {ratio:.2f}x is within "
            f"the bound: about {2 * needed} would do"
        )


def _bundle(
    job: Job, candidates: Candidates, measured: Sequence[Measured], chosen: Measured, verified: Verified
) -> Pressed:
    """Write the bundle; the same measurements give the same bytes."""
    options, work, names = job.options, job.work, job.model.outputs
    session = candidates.served(chosen)
    golden = golden_samples(job.model.session, job.verification, names)
    baseline = work.file(
        f"{chosen.name}-{chosen.serve}.baseline{BASELINE_VERSION}",
        lambda: baseline_json(
            session,
            job.calibration,
            names,
            options.seed,
            deviation_from(session, job.verification, job.outputs[0], job.metric.name),
        ),
    )
    manifest = _manifest(job, chosen, verified, golden_error(session, golden))
    findings = Findings(
        manifest=manifest,
        measured=measured,
        rejected=candidates.rejected,
        chosen=chosen,
        verified=verified,
        layers=work.load(layers_file(chosen.plan.base, options.objective), LayerTable),
        search=_circumstances(job),
        command=options.command,
        calibration_samples=len(job.calibration),
        evaluation_samples=len(job.evaluation),
        seed=options.seed,
    )
    folder = write(
        options.out,
        manifest,
        {
            "model.onnx": candidates.path(chosen, "model.onnx"),
            "model.ort": candidates.path(chosen, "model.ort"),
            "golden.npz": golden_npz(golden),
            "baseline.json": baseline,
            "report.html": render(findings).encode(errors="replace"),
            **options.extras,
        },
    )
    return Pressed(folder, manifest, chosen, verified.floor, tuple(job.notes))


def _manifest(job: Job, chosen: Measured, verified: Verified, error: dict[str, float]) -> Manifest:
    """``error``: by output, how far answers to golden samples are from the original's."""
    options, scores = job.options, verified.scores
    return Manifest(
        name=options.name,
        serve=chosen.serve,
        target=options.target,
        objective=options.objective,
        signature=job.model.signature,
        class_labels=list(options.class_labels),
        source=msgspec.structs.replace(job.model.source, origin=options.origin),
        passes=chosen.applied,
        metric=MetricFigures(
            name=job.metric.name,
            before=scores.before,
            after=scores.after,
            drop=scores.drop,
            interval=(scores.low, scores.high),
            bound=options.max_drop,
            samples=scores.samples,
        ),
        before=chosen.before,
        after=chosen.after,
        golden_error=error,
        tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
    )


def _circumstances(job: Job) -> Search:
    """Of the first complete search, kept so that a rerun writes the same report; else of this one."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return job.work.load("search.result", Search) or Search(
        seconds=job.seconds,
        peak_bytes=peak if sys.platform == "darwin" else peak * 1024,
        processor=processor(),
        threads=threads(),
    )


__all__ = ["Interrupted", "Options", "Pressed", "Tell", "press"]
