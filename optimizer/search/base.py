"""The float graph in which layers are treated, and what treatments have to know of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import onnx_ir as ir

from bundle.manifest import AppliedPass, Scalar
from optimizer.external import parse
from optimizer.quantize import (
    QuantizeDynamic,
    QuantizeEmbeddings,
    QuantizeStatic,
    dynamic,
    embeddings,
    matmul_nbits,
    pointwise,
    static,
    unfolded,
)
from optimizer.quantize.bias_correction import correct_biases
from optimizer.quantize.clusters import ClusterWeights, clusterable
from optimizer.quantize.gptq import Gptq, gptq
from optimizer.quantize.layers import layers_of
from optimizer.quantize.matmul_nbits import QuantizeMatMulNBits
from optimizer.quantize.pointwise import QuantizePointwise
from optimizer.quantize.ranges import ChannelRanges, Range, observe, observe_channels
from optimizer.quantize.smoothing import Smoothing, plan_smoothing
from optimizer.quantize.storage import StoreWeights, storable
from optimizer.quantize.unfolded import QuantizeUnfolded
from optimizer.runtime import Feeds
from optimizer.search.clipping import pick_ranges
from optimizer.search.plan import TREATMENTS, Treatment

_CORRECTED_ON = 16  # samples

Built = tuple[bytes, list[AppliedPass]]
Step = tuple[ir.passes.PassBase, dict[str, Scalar]]


class Base:
    """A graph, and the passes that treat layers of it; what several of them need is computed once."""

    def __init__(self, built: Built, feeds: Sequence[Feeds], *, saturates: bool, seed: int) -> None:
        """``feeds``: calibration data; ``saturates``: whether int8 sums may."""
        self.data, self.applied = built
        self.feeds = feeds
        self.saturates = saturates
        self.seed = seed

    @cached_property
    def treatable(self) -> dict[str, tuple[Treatment, ...]]:
        """What can be done to each layer."""
        graph = self._graph
        unfoldable = [layer.node for layer in unfolded.quantisable(graph)]
        products, tables = matmul_nbits.quantisable(graph), embeddings.quantisable(graph)
        stored = storable(graph)
        by_treatment: dict[Treatment, Iterable[ir.Node]] = {
            "static": static.quantisable(graph),
            "pointwise": [layer.node for layer in pointwise.quantisable(graph)],
            "unfolded": unfoldable,
            "unfolded16": unfoldable,
            "dynamic": dynamic.quantisable(graph),
            "nbits4": products,
            "nbits": products,
            "embedding": tables,
            "embedding4": tables,
            "clustered": [layer.node for layer in clusterable(graph)],
            "storage": [layer.node for layer in stored],
            "half": [layer.node for layer in stored if layer.groups == 1],  # others always are
        }
        found: dict[str, list[Treatment]] = {}
        for treatment in TREATMENTS:
            for node in by_treatment[treatment]:
                found.setdefault(str(node.outputs[0].name), []).append(treatment)
        return {name: tuple(treatments) for name, treatments in found.items()}

    @cached_property
    def smoothing(self) -> dict[str, Smoothing]:
        """How each value that gains by it could be smoothed."""
        return plan_smoothing(self.data, self.feeds, self.seed, saturates=self.saturates)

    @cached_property
    def ranges(self) -> Mapping[str, Range]:
        """Of activations, by value: those of least squared error, until better ones are picked."""
        return {name: several[0] for name, several in self._several_ranges.items()}

    def pick_ranges(self, outputs: Sequence[str], until: float) -> dict[str, Range]:
        """The ranges that change the ``outputs`` least."""
        return pick_ranges(self.data, self._several_ranges, self.feeds, outputs, until)

    def corrected(self, quantised: bytes, layers: Sequence[str]) -> bytes:
        """A model that was treated, with biases that make up for the mean errors of its layers."""
        return correct_biases(self.data, quantised, layers, self.feeds[:_CORRECTED_ON])

    def step(self, treatment: Treatment, layers: frozenset[str]) -> Step:
        """The pass that treats these layers, and its parameters."""
        return self._steps[treatment](layers)

    @cached_property
    def _steps(self) -> dict[Treatment, Callable[[frozenset[str]], Step]]:
        saturates = self.saturates
        safe: dict[str, Scalar] = {"avx2_safe": saturates}
        return {
            "static": lambda layers: (
                QuantizeStatic(self.ranges, saturates=saturates, layers=layers, rounding=self._rounding),
                safe,
            ),
            "pointwise": lambda layers: (
                QuantizePointwise(
                    self._channel_ranges, saturates=saturates, layers=layers, rounding=self._rounding
                ),
                safe,
            ),
            "unfolded": lambda layers: (
                QuantizeUnfolded(saturates=saturates, layers=layers, rounding=self._rounding),
                {**safe, "input_bits": 8},
            ),
            "unfolded16": lambda layers: (
                QuantizeUnfolded(saturates=saturates, layers=layers, rounding=self._rounding, twice=True),
                {**safe, "input_bits": 16},
            ),
            "dynamic": lambda layers: (
                QuantizeDynamic(saturates=saturates, layers=layers, rounding=self._rounding),
                safe,
            ),
            "nbits4": lambda layers: (QuantizeMatMulNBits(layers, bits=4), {"bits": 4}),
            "nbits": lambda layers: (QuantizeMatMulNBits(layers), {"bits": 8}),
            "embedding": lambda layers: (QuantizeEmbeddings(layers), {"bits": 8}),
            "embedding4": lambda layers: (QuantizeEmbeddings(layers, bits=4), {"bits": 4}),
            "clustered": lambda layers: (ClusterWeights(layers), {"bits": 4}),
            "storage": lambda layers: (StoreWeights(layers=layers, rounding=self._rounding), {"bits": 8}),
            "half": lambda layers: (StoreWeights(layers=layers, half=True), {"bits": 16}),
        }

    @cached_property
    def _graph(self) -> ir.Graph:
        return parse(self.data).graph

    @cached_property
    def _several_ranges(self) -> dict[str, list[Range]]:
        return observe(self.data, static.observed_names(self._graph), self.feeds, self.seed)

    @cached_property
    def _channel_ranges(self) -> dict[str, ChannelRanges]:
        read = [layer.node.inputs[0] for layer in pointwise.quantisable(self._graph)]
        names = [str(value.name) for value in read if value is not None]
        return observe_channels(self.data, names, self.feeds, self.seed)

    @cached_property
    def _rounding(self) -> dict[str, Gptq]:
        return gptq(self.data, {layer.name for layer in layers_of(self._graph)}, self.feeds, self.seed)
