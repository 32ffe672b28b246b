"""From a model to a bundle: search, choose, verify, write."""

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundle.folder import write
from bundle.manifest import Manifest
from bundle.manifest import Metric as MetricFigures
from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.contents import baseline_json, golden_error, golden_npz, golden_samples
from optimizer.evaluate import Scores
from optimizer.job import Job, Options, Tell, processor, threads
from optimizer.report import Search, render
from optimizer.search.build import Builder
from optimizer.search.search import search
from optimizer.verify import verify

_TOOLS = ("coldpress", "numpy", "onnx", "onnx-ir", "onnxruntime")


@dataclass(frozen=True)
class Pressed:
    """A bundle, and what it holds."""

    folder: Path
    manifest: Manifest
    chosen: Measured


def press(options: Options, tell: Tell) -> Pressed:
    """Press a model into a bundle; ``tell`` gets a line for each step.

    Raises:
        InputError: the model, the data or the metric is not usable.
        OSError: the disk is full, or the output folder cannot be written.
    """
    job = Job(options, tell)
    builder = Builder(job.model, job.tuning, options.target, options.seed)
    candidates = Candidates(job, builder)
    search(job, builder, candidates)
    measured = candidates.race()
    chosen, verified = verify(job, candidates, measured)
    return _bundle(job, candidates, measured, chosen, verified)


def _bundle(
    job: Job, candidates: Candidates, measured: Sequence[Measured], chosen: Measured, scores: Scores
) -> Pressed:
    """Write the bundle; the same measurements give the same bytes."""
    options, work, names = job.options, job.work, job.model.outputs
    session = candidates.served(chosen)
    golden = golden_samples(job.model.session, job.verification, names)
    baseline = work.file(
        f"{chosen.name}-{chosen.serve}.baseline",
        lambda: baseline_json(session, job.calibration, names, options.seed),
    )
    circumstances = work.load("search.result", Search)
    if circumstances is None:
        circumstances = Search(seconds=job.seconds, processor=processor(), threads=threads())
        work.save("search.result", circumstances)
    manifest = Manifest(
        name=options.name,
        serve=chosen.serve,
        target=options.target,
        objective=options.objective,
        signature=job.model.signature,
        class_labels=list(options.class_labels),
        source=job.model.source,
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
        golden_error=golden_error(session, golden),
        tools={tool: importlib.metadata.version(tool) for tool in _TOOLS},
    )
    folder = write(
        options.out,
        manifest,
        {
            "model.onnx": candidates.path(chosen, "model.onnx"),
            "model.ort": candidates.path(chosen, "model.ort"),
            "golden.npz": golden_npz(golden),
            "baseline.json": baseline,
            "report.html": render(manifest, measured, chosen, circumstances).encode(),
        },
    )
    return Pressed(folder, manifest, chosen)


__all__ = ["Options", "Pressed", "Tell", "press"]
