"""One model to press, with its data, its metric and its work folder."""

import hashlib
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist

import numpy as np
import onnxruntime as ort

from bundle.manifest import Origin, Target, check_name
from optimizer.choose import Objective
from optimizer.data import Sample, fit_samples, hash_samples, load_samples
from optimizer.errors import InputError
from optimizer.evaluate import Judge, model_fails
from optimizer.metrics import find_metric
from optimizer.model import load_model
from optimizer.texts import are_texts, text_samples
from optimizer.work import Work, code_version

_TIME_BUDGET_S = 210.0

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user asked for; see ``optimize --help``."""

    model: Path
    origin: Origin | None = None  # what the model was converted from
    extras: Mapping[str, bytes] = field(default_factory=dict)  # the bundle's optional files
    calibration: str
    evaluation: str
    out: Path
    measurements: Path
    name: str
    max_drop: float
    metric: str | None = None
    output: str | None = None
    objective: Objective = "latency"
    target: Target = "x86_64"
    confidence: float | None = None
    time_budget: float | None = None
    train: int = 0  # seconds
    student: str | None = None  # its kind or module:factory
    labels_weight: float = 0.0
    seed: int = 0
    class_labels: tuple[str, ...] = ()
    command: tuple[str, ...] = ()  # as it was typed, for the report


class Job:
    """What all parts of the search share."""

    def __init__(self, options: Options, tell: Tell) -> None:
        """Read and check all that the user named.

        Raises:
            InputError: the model, the data or the metric is not usable.
        """
        self.started = time.monotonic()
        check_name(options.name)
        self.options = options
        self.tell = tell
        self.notes: list[str] = []
        self.model = load_model(options.model)
        self.calibration = self._samples(options.calibration)
        budget = options.time_budget  # of which the search leaves the time to train
        self._budget = _TIME_BUDGET_S if budget is None else budget - options.train
        self._until = self.started + self._budget
        self.evaluation = self._samples(options.evaluation)
        self.metric = find_metric(options.metric or self._default_metric())
        self.selection, self.verification = split(self.evaluation, options.seed)
        self.tuning = without(self.calibration, self.verification)
        self._check_labels()
        self.outputs = self._judged()
        self.judge = Judge(self.metric, self.model.session, self.outputs, options.seed)
        self._check_runs()
        key = self._key()[:32]
        self.work = Work(options.out / ".work" / key, options.measurements / key)

    @property
    def errors_at_the_end(self) -> float:
        """How many standard errors above its drop an interval ends that ``--confidence`` makes binding."""
        confidence = self.options.confidence
        return 0.0 if confidence is None else NormalDist().inv_cdf((1 + confidence) / 2)

    def note(self, text: str) -> None:
        """Tell what is worth knowing at the end as well."""
        if text not in self.notes:
            self.tell(text)
            self.notes.append(text)

    @property
    def seconds(self) -> float:
        """Since the job began."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float:
        """Until the search has to stop, before the winner is verified and written."""
        return self._until - time.monotonic()

    @property
    def ends(self) -> float:
        """When training has to stop: a monotonic time."""
        budget = self.options.time_budget
        return math.inf if budget is None else self.started + budget

    def grant(self, share: float) -> None:
        """Let the search have so much of its time budget from now on, if there is not as much left."""
        self._until = max(self._until, time.monotonic() + share * self._budget)

    def _check_labels(self) -> None:
        if self.options.labels_weight and self.calibration[0].label is None:
            raise InputError(
                "--labels-weight needs labels in the calibration data: put 'labels' beside its inputs, or "
                "leave the option out."
            )

    def _samples(self, source: str) -> list[Sample]:
        if not are_texts(source):
            return load_samples(source, self.model.signature)
        texts = text_samples(source, self.options.extras.get("tokenizer.json"), self.options.class_labels)
        return fit_samples(source, texts, self.model.signature)

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
        """sha256 over all that a measurement depends on; bound and objective are not part of it."""
        parts: list[str] = [
            hashlib.sha256(self.model.data).hexdigest(),
            hash_samples(self.calibration),
            hash_samples(self.evaluation),
            self.metric.name,
            _source_of(self.metric),
            str(self.outputs),
            self.options.target,
            str(self.options.seed),
            code_version(),
            ort.__version__,
            platform.machine(),
            processor(),
        ]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def split(samples: Sequence[Sample], seed: int) -> tuple[list[Sample], list[Sample]]:
    """Two halves by chance, to choose on and to verify on; a lone sample has to be both."""
    if len(samples) == 1:
        return list(samples), list(samples)
    order = np.random.default_rng(seed).permutation(len(samples))
    half = len(samples) // 2
    return [samples[index] for index in order[:half]], [samples[index] for index in order[half:]]


def without(samples: Sequence[Sample], others: Sequence[Sample]) -> list[Sample]:
    """The samples that are not among the others as well; all of them where nothing else is left.

    So that whoever names one file twice is not verified on what was tuned on.
    """
    known = {hash_samples([Sample(other.feeds)]) for other in others}
    left = [sample for sample in samples if hash_samples([Sample(sample.feeds)]) not in known]
    return left or list(samples)


def processor() -> str:
    """The CPU's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def threads() -> int:
    """How many there are here."""
    return os.cpu_count() or 1


def _source_of(metric: object) -> str:
    """The source of a user's metric function, so that a changed function is measured anew."""
    module = getattr(getattr(metric, "function", None), "__code__", None)
    path = Path(module.co_filename) if module is not None else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None and path.is_file() else ""
