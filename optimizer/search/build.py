"""Plans into models; what several plans need is computed once."""

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import msgspec
import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from bundle.manifest import AppliedPass, Scalar, Target
from optimizer.data import Sample
from optimizer.external import parse
from optimizer.model import Model
from optimizer.normalise import equal_outputs, normalise, pipeline, tidy
from optimizer.passes import ApproximateGelu, CompactTrees, FoldAffine, FuseAttention, RemoveRounding
from optimizer.quantize.smoothing import Smooth
from optimizer.runtime import optimised_session, run
from optimizer.search.base import Base, Built
from optimizer.search.plan import ORIGINAL_BASE, Change, Plan

# Smoothing that costs an operator has to bring a value's error down to this share: it is a matter of how much
# room the bound has.
_SMOOTHED: Mapping[Change, float] = {"smooth": 0.5, "smooth some": 0.3}
_COMPARED_SAMPLES = 2  # for the equality of the cleaned graph; the metric sees many more


Trainer = Callable[[bytes, bytes, Plan], bytes]
"""From a float graph, a treated form of it and its plan, the trained form."""


def key_of(graph: bytes) -> str:
    """What is made of this graph is kept under names with it."""
    return hashlib.sha256(graph).hexdigest()[:8]


@dataclass(frozen=True)
class Form:
    """Another float graph with the original's signature: a pruned one, say, or a student.

    ``word`` is what a person calls it; ``applied``, at least one, is what made it.
    """

    word: str
    data: bytes
    applied: list[AppliedPass]

    @property
    def name(self) -> str:
        """Of this graph alone: what was measured of another one is never taken for its figures."""
        return f"{self.word}-{key_of(self.data)}"


class Builder:
    """Builds the plans of one model, and of the forms that may stand in its place."""

    def __init__(
        self,
        model: Model,
        calibration: Sequence[Sample],
        target: Target,
        seed: int,
        form: Form | None = None,
    ) -> None:
        """``target`` decides whether int8 sums may saturate; ``form``: the model, if not the original."""
        self.model = model
        self.calibration = calibration
        self.feeds = [sample.feeds for sample in calibration]
        self.target: Target = target
        self.saturates = target == "x86_64"
        self.seed = seed
        self.form = form
        self.forms: dict[str, Builder] = {}
        self._bases: dict[tuple[Change, ...], Base] = {}
        self.trainer: Trainer | None = None

    @property
    def name(self) -> str:
        """What its plans have as ``base``."""
        return self.form.name if self.form else ORIGINAL_BASE

    def add(self, form: Form) -> "Builder":
        """The builder of the plans whose base is this form."""
        if form.name not in self.forms:
            model = replace(self.model, data=form.data, is_large=False, session=optimised_session(form.data))
            self.forms[form.name] = Builder(model, self.calibration, self.target, self.seed, form)
        return self.forms[form.name]

    def of(self, plan: Plan) -> "Builder":
        """The builder of the plan's base."""
        return self if plan.base == self.name else self.forms[plan.base]

    @cached_property
    def clean(self) -> Built:
        """The model after the lossless passes."""
        feeds, names = self.feeds[:_COMPARED_SAMPLES], self.model.outputs
        expected = [run(self.model.session, feed, names) for feed in feeds]

        def same(data: bytes) -> bool:
            session = optimised_session(data)
            return equal_outputs(expected, [run(session, feed, names) for feed in feeds])

        data, applied = normalise(self.model.data, same)
        return data, [*(self.form.applied if self.form else ()), *applied]

    def base(self, changes: tuple[Change, ...]) -> Base:
        """The cleaned graph after these changes; those that find nothing to do are not among ``applied``."""
        if changes not in self._bases:
            built = self._changed(self.base(changes[:-1]), changes[-1]) if changes else self.clean
            self._bases[changes] = Base(built, self.feeds, saturates=self.saturates, seed=self.seed)
        return self._bases[changes]

    def build(self, plan: Plan) -> Built | None:
        """The model, and the passes that shaped it; nothing where a plan's passes find nothing to do."""
        if plan.base != self.name:
            return self.of(plan).build(plan)
        if plan.graph == "original":
            return self.model.data, []
        return self._trained(plan) if plan.trained else self._treated(plan)

    def _treated(self, plan: Plan) -> Built | None:
        base = self.base(plan.changes)
        applied = list(base.applied)
        if not plan.layers:
            return (base.data, applied) if applied else None
        model = parse(base.data)
        for treatment, layers in plan.by_treatment().items():
            step, parameters = base.step(treatment, layers)
            result = step(model)
            if not result.modified:
                return None
            model = result.model
            applied.append(
                AppliedPass(name=type(step).__name__, parameters={**parameters, "layers": len(layers)})
            )
        data = _tidied(model)
        if not plan.corrected:
            return data, applied
        corrected = base.corrected(data, list(plan.layers))
        if corrected == data:
            return None
        return corrected, [*applied, AppliedPass(name="CorrectBiases", parameters={})]

    def _trained(self, plan: Plan) -> Built | None:
        built = self.build(msgspec.structs.replace(plan, trained=0, labels_weight=0.0))
        if built is None or self.trainer is None:
            return None
        data = self.trainer(self.base(plan.changes).data, built[0], plan)
        parameters: dict[str, Scalar] = {"seconds": plan.trained, "seed": self.seed}
        if plan.labels_weight:
            parameters["labels_weight"] = plan.labels_weight
        applied = AppliedPass(name="Train", parameters=parameters)
        return None if data == built[0] else (data, [*built[1], applied])

    def _changed(self, base: Base, change: Change) -> Built:
        data, applied = base.data, base.applied
        if change not in ("attention", "gelu") and self.model.is_large:
            return data, applied  # it makes nearly all weights anew, which are mapped from their files now
        step = _step(base, change)
        result = step(parse(data))
        if not result.modified:
            return data, applied
        try:
            changed = _tidied(_folded(result.model, change))
        except EncodeError:  # a model over 2 GB, of whose weights too many became others
            return data, applied
        return changed, [*applied, AppliedPass(name=type(step).__name__, parameters={})]


def _folded(model: ir.Model, change: Change) -> ir.Model:
    """With what a change brought folded: a constant factor, or weights that are floats only now."""
    if change == "float":
        return functools.reduce(lambda folded, step: step(folded).model, pipeline(), model)
    return FoldAffine()(model).model if change == "gelu" else model


def _step(base: Base, change: Change) -> ir.passes.PassBase:
    if change == "float":
        return RemoveRounding()
    if change == "attention":
        return FuseAttention()
    if change == "gelu":
        return ApproximateGelu()
    if change == "compact trees":
        return CompactTrees(classifiers=True)
    share = _SMOOTHED[change]
    return Smooth(
        {n: one for n, one in base.smoothing.items() if one.free or one.error <= share * one.plain_error}
    )


def _tidied(model: ir.Model) -> bytes:
    for step in tidy():
        model = step(model).model
    data: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
    return data
