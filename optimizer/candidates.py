"""Candidates: built from their plans, measured once, and kept in the work folder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import onnxruntime as ort

from optimizer.choose import File, Margin, Measured, Race, Tried, as_it_was, contenders, is_hopeless, is_same
from optimizer.errors import InputError
from optimizer.evaluate import Scores
from optimizer.external import TooLarge, taken_in
from optimizer.job import Job
from optimizer.measure import cold_starts, latencies, representative
from optimizer.runtime import ort_format, serving_session
from optimizer.search.base import Built
from optimizer.search.build import Builder
from optimizer.search.plan import ORIGINAL, Plan

_STAGES = (32, 128)  # after so many samples, a hopeless candidate is given up
_TIMING_BUDGET_S = 0.8
_RACING_BUDGET_S = 1.5
# Fusions of ONNX Runtime that are faster on some models and slower on others.
_DOUBTFUL_FUSION, _ITS_OPERATOR = "SkipLayerNormFusion", b"SkipLayerNormalization"


class Candidates:
    """The plans that were measured for one job, in order."""

    def __init__(self, job: Job, builder: Builder) -> None:
        self.job = job
        self.builder = builder
        # One standard error, because what is verified later are other samples; and what is binding there.
        self.margin = Margin(1 + job.errors_at_the_end, job.errors_at_the_end)
        self.rejected: set[str] = set()  # by verification
        self._tried: dict[str, Tried] = {}
        self._feeds = representative([sample.feeds for sample in job.selection])

    @property
    def measured(self) -> list[Measured]:
        """All, each as the file that serves the objective best."""
        return [self._served(tried) for tried in self._tried.values() if tried.applies]

    def measure(self, plan: Plan) -> Measured | None:
        """Build a candidate and measure it, or take what an earlier run measured."""
        tried = self._tried.get(plan.name) or self.job.work.load(f"{plan.name}.result", Tried)
        if tried is None or (tried.hopeless_at is not None and tried.hopeless_at < self.job.options.max_drop):
            tried = self._try(plan)
            self.job.work.save(f"{plan.name}.result", tried)
        fresh = plan.name not in self._tried
        self._tried[plan.name] = tried
        if not tried.applies:
            return None
        measured = self._served(tried)
        if fresh:
            self.job.tell(measured.sentence(self.job.options.max_drop))
        return measured

    def path(self, measured: Measured, kind: str) -> Path:
        """A candidate's file, built again if an earlier run let it go."""
        name = f"{measured.name}.onnx" if kind == "model.onnx" else measured.ort_file
        path = self.job.work.path(name)
        if not path.exists():
            built = self._build(measured.plan)
            if built is not None:
                self._files(measured.plan, built)
        return path

    def served(self, measured: Measured) -> ort.InferenceSession:
        """A session as a server would have it."""
        return serving_session(self.path(measured, measured.serve))

    def race(self) -> list[Measured]:
        """All candidates, those that may be the fastest timed once more, all in the same rounds.

        A machine is not equally fast all the time, so candidates that were timed one after the other, each
        beside the original, cannot be told apart finely.
        """
        measured, options = self.measured, self.job.options
        racing = contenders(measured, options.max_drop)
        if options.objective != "latency" or len(racing) < 2:
            return measured
        names = ",".join(f"{one.name}/{one.served_file}" for one in racing)
        key = f"race-{hashlib.sha256(names.encode()).hexdigest()[:16]}.result"
        race = self.job.work.load(key, Race)
        if race is None:
            self.job.tell("timing all that are within the bound together")
            try:
                race = self._timed_together(racing)
            except Exception as error:  # noqa: BLE001 - onnxruntime raises many types; memory may be short
                self.job.tell(f"they cannot be timed together ({error}): each is as it was timed before")
                return measured
            self.job.work.save(key, race)
        times = race.times
        return [one.timed_anew(times[one.name]) if one.name in times else one for one in measured]

    def _timed_together(self, racing: Sequence[Measured]) -> Race:
        sessions = {one.name: self.served(one) for one in racing}
        budget = _RACING_BUDGET_S * len(racing)
        return Race(latencies(self.job.model.session, sessions, self._feeds, budget, self.job.options.seed))

    def reject(self, measured: Measured) -> None:
        """After it failed verification: do not choose it again, and ask for one standard error more."""
        self.rejected.add(measured.name)
        self.margin = Margin(self.margin.errors + 1, self.margin.unseen)

    def _served(self, tried: Tried) -> Measured:
        return tried.served(self.job.options.objective, self.margin)

    def _try(self, plan: Plan) -> Tried:
        title = self._title(plan)
        self.job.tell(f"trying: {title}")
        try:
            built = self._build(plan)
            if built is None:
                return Tried(plan=plan, title=title, applies=False)
            return self._measure(plan, title, built)
        except TooLarge as error:
            return Tried(plan=plan, title=title, failure=str(error))
        except (InputError, OSError):
            raise
        except Exception as error:
            if plan == ORIGINAL:
                raise InputError(
                    f"{self.job.options.model} cannot be measured ({error}): repair the model."
                ) from error
            return Tried(plan=plan, title=title, failure=f"{type(error).__name__}: {error}"[:300])

    def _title(self, plan: Plan) -> str:
        return plan.title(len(self.builder.of(plan).base(plan.changes).treatable) if plan.layers else 0)

    def _build(self, plan: Plan) -> Built | None:
        """A model as a bundle would hold it."""
        built = self.builder.build(plan)
        if built is None or not self.job.model.is_large:
            return built
        return taken_in(built[0]), built[1]

    def _measure(self, plan: Plan, title: str, built: Built) -> Tried:
        job = self.job
        paths = self._files(plan, built)
        sessions = {name: serving_session(path) for name, path in paths.items()}
        if plan == ORIGINAL:  # beside itself: a few samples say all
            scores, hopeless_at = job.judge.score(sessions["onnx"], job.selection[: _STAGES[0]]), None
        else:
            scores, hopeless_at = self._select(sessions["onnx"])
        timed = latencies(job.model.session, sessions, self._feeds, _TIMING_BUDGET_S, job.options.seed)
        if plan == ORIGINAL:
            timed = {name: as_it_was(t) if name == "onnx" or is_same(t) else t for name, t in timed.items()}
        original = job.work.file("original.onnx", lambda: job.model.data)
        cold = cold_starts({**paths, "original": original}, self._feeds[0])
        tried = Tried(
            plan=plan,
            title=title,
            applied=built[1],
            files={
                name: File(size_bytes=path.stat().st_size, cold_start=cold[name], latency=timed[name])
                for name, path in paths.items()
            },
            original_bytes=job.model.source.size,
            original_cold_start=cold["original"],
            scores=scores,
            hopeless_at=hopeless_at,
        )
        if not self._served(tried).is_within(job.options.max_drop):
            # Large, and quickly built again should another bound want it.
            for path in paths.values():
                if path != original:
                    path.unlink()
        return tried

    def _files(self, plan: Plan, built: Built) -> dict[str, Path]:
        """The model as ``.onnx``, and in ORT format in one or two ways."""
        data, work = built[0], self.job.work
        files = {"onnx": work.write(f"{plan.name}.onnx", data)}
        plain = ort_format(data)
        files["ort"] = work.write(f"{plan.name}.ort", plain)
        if _ITS_OPERATOR in plain:
            files["ort-2"] = work.write(f"{plan.name}.ort-2.ort", ort_format(data, [_DOUBTFUL_FUSION]))
        return files

    def _select(self, session: ort.InferenceSession) -> tuple[Scores, float | None]:
        """Scores on selection samples; the bound at which a candidate was given up, if it was."""
        bound, selection = self.job.options.max_drop, self.job.selection
        for count in _STAGES:
            if len(selection) > 1.5 * count:
                scores = self.job.judge.score(session, selection[:count])
                if is_hopeless(scores, bound):
                    return scores, bound
        return self.job.judge.score(session, selection), None
