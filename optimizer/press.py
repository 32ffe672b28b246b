"""The search: build candidates, measure them, and choose the best that is proved to stay within the bound."""

import hashlib
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

from bundle.folder import write
from bundle.manifest import Figures, Manifest, Target, check_name
from bundle.manifest import Metric as MetricFigures
from optimizer.candidates import Recipe, Recipes
from optimizer.choose import (
    Measured,
    Objective,
    Race,
    as_it_was,
    choose_file,
    contenders,
    is_hopeless,
    is_same,
    ranked,
)
from optimizer.contents import Golden, baseline_json, golden_error, golden_npz, golden_samples
from optimizer.data import Sample, hash_samples, load_samples
from optimizer.errors import InputError
from optimizer.evaluate import Judge, Scores, model_fails
from optimizer.measure import cold_starts_ms, latencies, representative
from optimizer.metrics import find_metric
from optimizer.report import Search, render
from optimizer.runtime import ort_format, serving_session
from optimizer.source import load_model
from optimizer.work import Work, code_version

_FIRST_SAMPLES = 32  # after so many samples, a hopeless candidate is given up
_TIMING_BUDGET_S = 1.5
_TOOLS = ("coldpress", "numpy", "onnx", "onnx-ir", "onnxruntime")
# Fusions of ONNX Runtime that are faster on some models and slower on others.
_DOUBTFUL_FUSION, _ITS_OPERATOR = "SkipLayerNormFusion", b"SkipLayerNormalization"

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user asked for; see ``optimize --help``."""

    model: Path
    calibration: str
    evaluation: str
    out: Path
    name: str
    max_drop: float
    metric: str | None = None
    output: str | None = None
    objective: Objective = "latency"
    target: Target = "x86_64"
    time_budget: float | None = None
    seed: int = 0
    class_labels: tuple[str, ...] = ()


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
    started = time.monotonic()
    job = _Job(options, tell)
    measured = []
    for recipe in job.recipes:
        optional = recipe.name not in ("original", "clean")
        if optional and options.time_budget is not None and time.monotonic() - started > options.time_budget:
            tell("the time budget is spent: the rest is not tried")
            break
        candidate = job.measure(recipe)
        if candidate is not None:
            measured.append(candidate)
            tell(candidate.sentence(options.max_drop))
    measured = job.race(measured)
    chosen, verified = job.verify(measured)
    return job.bundle(measured, chosen, verified, time.monotonic() - started)


class _Job:
    """One model with its data, and the work folder that keeps what is measured of it."""

    def __init__(self, options: Options, tell: Tell) -> None:
        check_name(options.name)
        self.options = options
        self.tell = tell
        self.model = load_model(options.model)
        self.calibration = load_samples(options.calibration, self.model.signature)
        self.evaluation = load_samples(options.evaluation, self.model.signature)
        self.metric = find_metric(options.metric or self._default_metric())
        self.selection, self.verification = split(self.evaluation, options.seed)
        self.judge = Judge(self.metric, self.model.session, self._judged(), options.seed)
        self.recipes = Recipes(self.model, self.calibration, options.target, options.seed)
        self._check_runs()
        self.work = Work(options.out / ".work" / self._key()[:32])

    def measure(self, recipe: Recipe) -> Measured | None:
        """Build a candidate and measure it, or take what an earlier run measured."""
        known = self.work.load(f"{recipe.name}.result", Measured)
        if known is not None and not (
            known.hopeless_at is not None and known.hopeless_at < self.options.max_drop
        ):
            return known if known.applies else None
        self.tell(f"trying: {recipe.title}")
        try:
            candidate = self._measure(recipe)
        except (InputError, OSError):
            raise
        except Exception as error:
            if recipe.name == "original":
                raise InputError(
                    f"{self.options.model} cannot be measured ({error}): repair the model."
                ) from error
            candidate = Measured.failed(recipe.name, recipe.title, f"{type(error).__name__}: {error}"[:300])
        self.work.save(f"{recipe.name}.result", candidate)
        return candidate if candidate.applies else None

    def _measure(self, recipe: Recipe) -> Measured:
        built = recipe.build()
        if built is None:
            return Measured.not_applicable(recipe.name, recipe.title)
        data, applied = built
        files = {"onnx": self.work.write(f"{recipe.name}.onnx", data)}
        plain = ort_format(data)
        files["ort"] = self.work.write(f"{recipe.name}.ort", plain)
        if _ITS_OPERATOR in plain:
            other = ort_format(data, [_DOUBTFUL_FUSION])
            files["ort-2"] = self.work.write(f"{recipe.name}.2.ort", other)
        feeds = representative([sample.feeds for sample in self.selection])
        sessions = {name: serving_session(path) for name, path in files.items()}
        timed = latencies(self.model.session, sessions, feeds, _TIMING_BUDGET_S, self.options.seed)
        if recipe.name == "original":
            timed = {name: as_it_was(t) if name == "onnx" or is_same(t) else t for name, t in timed.items()}
        original = self.work.file("original.onnx", lambda: self.model.data)
        cold = cold_starts_ms({**files, "original": original}, feeds[0])
        served = choose_file(timed, cold, self.options.objective)
        best_ort = max((name for name in files if name != "onnx"), key=lambda name: timed[name].ratio)
        scores, hopeless_at = self._select(sessions[served])
        return Measured(
            name=recipe.name,
            title=recipe.title,
            applied=applied,
            serve="model.onnx" if served == "onnx" else "model.ort",
            ort_file=files[served if served != "onnx" else best_ort].name,
            before=Figures(
                size_bytes=self.model.source.size,
                latency_ms=timed[served].original_ms,
                cold_start_ms=cold["original"],
            ),
            after=Figures(
                size_bytes=files[served].stat().st_size,
                latency_ms=timed[served].ms,
                cold_start_ms=cold[served],
            ),
            latency=timed[served],
            scores=scores,
            hopeless_at=hopeless_at,
        )

    def _select(self, session: ort.InferenceSession) -> tuple[Scores, float | None]:
        """Scores on selection samples; the bound at which a candidate was given up, if it was."""
        bound = self.options.max_drop
        if len(self.selection) > 1.5 * _FIRST_SAMPLES:
            first = self.judge.score(session, self.selection[:_FIRST_SAMPLES])
            if is_hopeless(first, bound):
                return first, bound
        return self.judge.score(session, self.selection), None

    def race(self, measured: list[Measured]) -> list[Measured]:
        """Time those that may be the fastest once more, all in the same rounds.

        A machine is not equally fast all the time, so candidates that were timed one after the other, each
        beside the original, cannot be told apart finely.
        """
        racing = contenders(measured, self.options.max_drop)
        if self.options.objective != "latency" or len(racing) < 2:
            return measured
        names = ",".join(one.name for one in racing)
        key = f"race-{hashlib.sha256(names.encode()).hexdigest()[:16]}.result"
        race = self.work.load(key, Race)
        if race is None:
            self.tell("timing all that are within the bound together")
            sessions = {one.name: serving_session(self.work.path(one.served_file)) for one in racing}
            feeds = representative([sample.feeds for sample in self.selection])
            budget = _TIMING_BUDGET_S * len(racing)
            race = Race(latencies(self.model.session, sessions, feeds, budget, self.options.seed))
            self.work.save(key, race)
        times = race.times
        return [one.timed_anew(times[one.name]) if one.name in times else one for one in measured]

    def verify(self, measured: Sequence[Measured]) -> tuple[Measured, Scores]:
        """The best candidate that stays within the bound on samples that no choice was made on."""
        bound = self.options.max_drop
        for candidate in ranked(measured, self.options.objective, bound):
            self.tell(f"verifying: {candidate.title}")
            scores = self._verify(candidate)
            if scores is not None and scores.drop <= bound:
                return candidate, scores
            self.tell(f"not within the bound on verification samples: {candidate.title}")
        original = next(candidate for candidate in measured if candidate.name == "original")
        original = original.served_as_it_was()
        exact = self.work.load("as-it-was.verified", Scores)
        if exact is None:
            exact = self.judge.score(self.model.session, self.verification)
            if exact.drop > bound:
                raise InputError(
                    f"the original model's own {self.metric.name} changes by {exact.drop:.3g} when it is run "
                    "again, which is more than --max-drop: give its random operators a seed, or allow more."
                )
            self.work.save("as-it-was.verified", exact)
        return original, exact

    def _verify(self, candidate: Measured) -> Scores | None:
        """Scores on verification samples; nothing if it fails on one."""
        name = f"{candidate.name}.verified"
        scores = self.work.load(name, Scores)
        if scores is None:
            session = serving_session(self.work.path(candidate.served_file))
            try:
                scores = self.judge.score(session, self.verification)
            except InputError:
                raise
            except Exception as error:  # noqa: BLE001 - onnxruntime raises many types; it is not fit to serve
                self.tell(f"fails on a verification sample: {candidate.title} ({error})")
                return None
            self.work.save(name, scores)
        return scores

    def bundle(
        self, measured: Sequence[Measured], chosen: Measured, scores: Scores, seconds: float
    ) -> Pressed:
        """Write the bundle; the same measurements give the same bytes."""
        options, work = self.options, self.work
        session = serving_session(work.path(chosen.served_file))
        names = self.model.outputs
        golden: Golden = golden_samples(self.model.session, self.verification, names)
        baseline = work.file(
            f"{chosen.name}-{chosen.serve}.baseline",
            lambda: baseline_json(session, self.calibration, names, options.seed),
        )
        search = work.load("search.result", Search)
        if search is None:
            search = Search(seconds=seconds, processor=_processor(), threads=os.cpu_count() or 1)
            work.save("search.result", search)
        manifest = Manifest(
            name=options.name,
            serve=chosen.serve,
            target=options.target,
            objective=options.objective,
            signature=self.model.signature,
            class_labels=list(options.class_labels),
            source=self.model.source,
            passes=chosen.applied,
            metric=MetricFigures(
                name=self.metric.name,
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
                "model.onnx": work.path(f"{chosen.name}.onnx"),
                "model.ort": work.path(chosen.ort_file),
                "golden.npz": golden_npz(golden),
                "baseline.json": baseline,
                "report.html": render(manifest, measured, chosen, search).encode(),
            },
        )
        return Pressed(folder, manifest, chosen)

    def _default_metric(self) -> str:
        return "agreement" if self.evaluation[0].label is None else "accuracy"

    def _judged(self) -> list[str]:
        """The outputs that the metric sees: the one named, the first where there are labels, else all."""
        names = self.model.outputs
        if self.options.output is not None:
            if self.options.output not in names:
                raise InputError(
                    f"the model has no output '{self.options.output}': it has {', '.join(names)}."
                )
            return [self.options.output]
        return names[:1] if self.evaluation[0].label is not None else names

    def _check_runs(self) -> None:
        for where, samples in (("calibration", self.calibration), ("evaluation", self.evaluation)):
            try:
                self.model.session.run(self.model.outputs, samples[0].feeds)
            except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
                raise model_fails(f"the first {where} sample", error) from None

    def _key(self) -> str:
        """sha256 over all that a measurement depends on; the bound is not part of it."""
        options = self.options
        parts: list[str] = [
            hashlib.sha256(self.model.data).hexdigest(),
            hash_samples(self.calibration),
            hash_samples(self.evaluation),
            self.metric.name,
            _source_of(self.metric),
            str(self._judged()),
            options.objective,
            options.target,
            str(options.seed),
            code_version(),
            ort.__version__,
            platform.machine(),
            _processor(),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def split(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Two halves by chance, to choose on and to verify on; a lone sample has to be both."""
    if len(samples) == 1:
        return list(samples), list(samples)
    order = np.random.default_rng(seed).permutation(len(samples))
    half = len(samples) // 2
    return [samples[index] for index in order[:half]], [samples[index] for index in order[half:]]


def _source_of(metric: object) -> str:
    """The source of a user's metric function, so that a changed function is measured anew."""
    module = getattr(getattr(metric, "function", None), "__code__", None)
    path = Path(module.co_filename) if module is not None else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""


def _processor() -> str:
    """The CPU's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


__all__ = ["Options", "Pressed", "press", "split"]
