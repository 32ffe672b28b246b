"""Plans into models; what several plans need is computed once."""

from collections.abc import Sequence
from functools import cached_property

import onnx
import onnx_ir as ir

from bundle.manifest import AppliedPass, Target
from optimizer.data import Sample
from optimizer.normalise import equal_outputs, normalise, tidy
from optimizer.quantize import (
    QuantizeDynamic,
    QuantizeEmbeddings,
    QuantizeStatic,
    dynamic,
    embeddings,
    static,
)
from optimizer.quantize.ranges import Range, observe
from optimizer.runtime import optimised_session, run
from optimizer.search.plan import Plan, Treatment
from optimizer.source import Model

Built = tuple[bytes, list[AppliedPass]]
Step = tuple[ir.passes.PassBase, AppliedPass]

_COMPARED_SAMPLES = 2  # for the equality of the cleaned graph; the metric sees many more


class Builder:
    """Builds the plans of one model."""

    def __init__(self, model: Model, calibration: Sequence[Sample], target: Target, seed: int) -> None:
        """``target`` decides whether int8 sums may saturate."""
        self.model = model
        self.calibration = calibration
        self.saturates = target == "x86_64"
        self.seed = seed

    @cached_property
    def clean(self) -> Built:
        """The model after the lossless passes."""
        samples = self.calibration[:_COMPARED_SAMPLES]
        names = self.model.outputs
        expected = [run(self.model.session, sample.feeds, names) for sample in samples]

        def same(data: bytes) -> bool:
            session = optimised_session(data)
            return equal_outputs(expected, [run(session, sample.feeds, names) for sample in samples])

        return normalise(self.model.data, same)

    @cached_property
    def treatable(self) -> dict[str, tuple[Treatment, ...]]:
        """What can be done to each layer of the cleaned graph."""
        graph = ir.from_proto(onnx.load_model_from_string(self.clean[0])).graph
        found: dict[str, list[Treatment]] = {}
        for treatment, nodes in (
            ("static", static.quantisable(graph)),
            ("dynamic", dynamic.quantisable(graph)),
            ("embedding", embeddings.quantisable(graph)),
        ):
            for node in nodes:
                found.setdefault(str(node.outputs[0].name), []).append(treatment)  # type: ignore[arg-type]
        return {name: tuple(treatments) for name, treatments in found.items()}

    @cached_property
    def _ranges(self) -> dict[str, Range]:
        graph = ir.from_proto(onnx.load_model_from_string(self.clean[0])).graph
        feeds = (sample.feeds for sample in self.calibration)
        return observe(self.clean[0], static.observed_names(graph), feeds, self.seed)

    def build(self, plan: Plan) -> Built | None:
        """The model, and the passes that shaped it; nothing where a plan's passes find nothing to do."""
        if plan.graph == "original":
            return self.model.data, []
        data, applied = self.clean
        if not plan.layers:
            return (data, applied) if applied else None
        model = ir.from_proto(onnx.load_model_from_string(data))
        for step, named in self._steps(plan):
            result = step(model)
            if not result.modified:
                return None
            model, applied = result.model, [*applied, named]
        for step in tidy():
            model = step(model).model
        return ir.to_proto(model).SerializeToString(deterministic=True), applied

    def _steps(self, plan: Plan) -> list[Step]:
        steps: list[Step] = []
        for treatment in ("static", "dynamic", "embedding"):
            layers = frozenset(name for name, chosen in plan.layers.items() if chosen == treatment)
            if layers:
                steps.append(self._step(treatment, layers))
        return steps

    def _step(self, treatment: Treatment, layers: frozenset[str]) -> Step:
        safe = {"avx2_safe": self.saturates, "layers": len(layers)}
        if treatment == "static":
            step: ir.passes.PassBase = QuantizeStatic(self._ranges, saturates=self.saturates, layers=layers)
        elif treatment == "dynamic":
            step = QuantizeDynamic(saturates=self.saturates, layers=layers)
        else:
            step, safe = QuantizeEmbeddings(layers), {"layers": len(layers)}
        return step, AppliedPass(name=type(step).__name__, parameters=dict(safe))
