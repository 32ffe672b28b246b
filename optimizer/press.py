"""From a model to a bundle: search, choose, verify, write."""

import importlib.metadata
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bundle.folder import write
from bundle.manifest import Manifest
from bundle.manifest import Metric as MetricFigures
from monitoring.baseline import SCHEMA_VERSION as BASELINE_VERSION
from optimizer.baseline import baseline_json, deviation_from
from optimizer.candidates import Candidates
from optimizer.choose import Measured, ranked
from optimizer.contents import golden_error, golden_npz, golden_samples
from optimizer.errors import InputError
from optimizer.job import Job, Options, Tell, processor, threads
from optimizer.report import Findings, Search, render
from optimizer.search.build import Builder
from optimizer.search.layers import LayerTable, layers_file
from optimizer.search.plan import ORIGINAL
from optimizer.search.search import search
from optimizer.search.student import try_student
from optimizer.search.train import train_best
from optimizer.search.trees import search_trees
from optimizer.verify import Verified, verify

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
    candidates = Candidates(job, Builder(job.model, job.tuning[:_SEARCHED], options.target, options.seed))
    try:
        pressed = _press(job, candidates)
    except KeyboardInterrupt:
        best = ranked(candidates.measured, options.objective, options.max_drop)[:1]
        if not best or best[0].plan == ORIGINAL:
            raise
        tell("interrupted: verifying the best so far (Ctrl-C again stops at once)")
        chosen, verified = verify(job, candidates, candidates.measured)
        if verified is None:
            raise
        raise Interrupted(_bundle(job, candidates, candidates.measured, chosen, verified)) from None
    _advise(job, candidates, pressed)
    return pressed


def _press(job: Job, candidates: Candidates) -> Pressed:
    """Search and verify; each candidate that fails then adds a standard error to the margin of the next."""
    while True:
        _search(job, candidates)
        measured = candidates.race()
        chosen, verified = verify(job, candidates, measured)
        if verified is not None:
            job.work.save("search.result", _circumstances(job))
            return _bundle(job, candidates, measured, chosen, verified)
        candidates.rejected.add(chosen.name)
        candidates.widen_margin()


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
