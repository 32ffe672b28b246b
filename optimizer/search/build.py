"""Plans into models; what several plans need is computed once."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property

import onnx
import onnx_ir as ir

from bundle.manifest import AppliedPass, Scalar, Target
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
from optimizer.quantize.gptq import Gptq, gptq
from optimizer.quantize.layers import layers_of
from optimizer.quantize.pointwise import QuantizePointwise
from optimizer.quantize.pointwise import quantisable as pointwise_layers
from optimizer.quantize.ranges import ChannelRanges, Range, observe, observe_channels
from optimizer.quantize.storage import StoreWeights, storable
from optimizer.runtime import Feeds, optimised_session, run
from optimizer.search.plan import TREATMENTS, Plan, Treatment
from optimizer.source import Model

Built = tuple[bytes, list[AppliedPass]]

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
        graph = self._clean_graph
        stored = [layer.node for layer in storable(graph)]
        by_treatment: dict[Treatment, Iterable[ir.Node]] = {
            "static": static.quantisable(graph),
            "pointwise": [layer.node for layer in pointwise_layers(graph)],
            "dynamic": dynamic.quantisable(graph),
            "embedding": embeddings.quantisable(graph),
            "storage": stored,
        }
        found: dict[str, list[Treatment]] = {}
        for treatment in TREATMENTS:
            for node in by_treatment[treatment]:
                found.setdefault(str(node.outputs[0].name), []).append(treatment)
        return {name: tuple(treatments) for name, treatments in found.items()}

    def build(self, plan: Plan) -> Built | None:
        """The model, and the passes that shaped it; nothing where a plan's passes find nothing to do."""
        if plan.graph == "original":
            return self.model.data, []
        data, applied = self.clean
        if not plan.layers:
            return (data, applied) if applied else None
        model = ir.from_proto(onnx.load_model_from_string(data))
        for treatment in TREATMENTS:
            layers = frozenset(name for name, chosen in plan.layers.items() if chosen == treatment)
            if layers:
                step, parameters = self._steps[treatment](layers)
                result = step(model)
                if not result.modified:
                    return None
                model = result.model
                parameters = {**parameters, "layers": len(layers)}
                applied = [*applied, AppliedPass(name=type(step).__name__, parameters=parameters)]
        for step in tidy():
            model = step(model).model
        return ir.to_proto(model).SerializeToString(deterministic=True), applied

    @cached_property
    def _steps(
        self,
    ) -> dict[Treatment, Callable[[frozenset[str]], tuple[ir.passes.PassBase, dict[str, Scalar]]]]:
        """The pass for some layers, and its parameters."""
        saturates = self.saturates
        safe: dict[str, Scalar] = {"avx2_safe": saturates}
        return {
            "static": lambda layers: (
                QuantizeStatic(self._ranges, saturates=saturates, layers=layers),
                safe,
            ),
            "pointwise": lambda layers: (
                QuantizePointwise(
                    self._channel_ranges, saturates=saturates, layers=layers, rounding=self._rounding
                ),
                safe,
            ),
            "dynamic": lambda layers: (QuantizeDynamic(saturates=saturates, layers=layers), safe),
            "embedding": lambda layers: (QuantizeEmbeddings(layers), {}),
            "storage": lambda layers: (StoreWeights(layers=layers, rounding=self._rounding), {"bits": 8}),
        }

    @cached_property
    def _clean_graph(self) -> ir.Graph:
        return ir.from_proto(onnx.load_model_from_string(self.clean[0])).graph

    @property
    def _feeds(self) -> Iterable[Feeds]:
        return (sample.feeds for sample in self.calibration)

    @cached_property
    def _ranges(self) -> dict[str, Range]:
        return observe(self.clean[0], static.observed_names(self._clean_graph), self._feeds, self.seed)

    @cached_property
    def _channel_ranges(self) -> dict[str, ChannelRanges]:
        read = [layer.node.inputs[0] for layer in pointwise_layers(self._clean_graph)]
        names = [str(value.name) for value in read if value is not None]
        return observe_channels(self.clean[0], names, self._feeds, self.seed)

    @cached_property
    def _rounding(self) -> dict[str, Gptq]:
        names = {layer.name for layer in layers_of(self._clean_graph)}
        return gptq(self.clean[0], names, self._feeds, self.seed)
