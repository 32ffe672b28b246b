"""What is tried: each recipe turns the original model into another that might serve better."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import onnx
import onnx_ir as ir

from bundle.manifest import AppliedPass, Target
from optimizer.data import Sample
from optimizer.normalise import apply_passes, equal_outputs, normalise, tidy
from optimizer.quantize import QuantizeDynamic, QuantizeEmbeddings, QuantizeStatic
from optimizer.quantize.ranges import Range, observe
from optimizer.quantize.static import observed_names, quantisable
from optimizer.runtime import optimised_session, run
from optimizer.source import Model

Built = tuple[bytes, list[AppliedPass]]

_COMPARED_SAMPLES = 2  # for the equality of the cleaned graph; the metric sees many more
_KEEP_FIRST = 2


@dataclass(frozen=True)
class Recipe:
    """A candidate by name; ``build`` gives nothing where there is nothing to do in this model."""

    name: str
    title: str
    build: Callable[[], Built | None]


class Recipes:
    """The recipes for one model; what several of them need is computed once."""

    def __init__(self, model: Model, calibration: list[Sample], target: Target, seed: int) -> None:
        """``target`` decides whether int8 sums may saturate."""
        self.model = model
        self.calibration = calibration
        self.saturates = target == "x86_64"
        self.seed = seed

    def __iter__(self) -> Iterator[Recipe]:
        """In the order in which they are tried, the safest first."""
        yield Recipe("original", "the original, optimised by ONNX Runtime", lambda: (self.model.data, []))
        yield Recipe("clean", "cleaned graph (lossless)", lambda: self.clean if self.clean[1] else None)
        yield Recipe("dynamic", "dynamic int8 MatMul", lambda: self._quantised(self._dynamic()))
        yield Recipe(
            "dynamic-embeddings",
            "dynamic int8 MatMul, int8 embeddings",
            lambda: self._quantised(self._dynamic(), self._embeddings()),
        )
        yield Recipe("embeddings", "int8 embeddings", lambda: self._quantised(self._embeddings()))
        yield Recipe("static", "static int8 Conv and MatMul", lambda: self._static(0))
        yield Recipe(
            "static-keep-first",
            f"static int8, first {_KEEP_FIRST} convolutions float",
            lambda: self._static(_KEEP_FIRST),
        )

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
    def _clean_graph(self) -> ir.Graph:
        return ir.from_proto(onnx.load_model_from_string(self.clean[0])).graph

    @cached_property
    def _ranges(self) -> dict[str, Range]:
        feeds = (sample.feeds for sample in self.calibration)
        return observe(self.clean[0], observed_names(self._clean_graph), feeds, self.seed)

    def _dynamic(self) -> tuple[ir.passes.PassBase, AppliedPass]:
        named = AppliedPass(name="QuantizeDynamic", parameters={"avx2_safe": self.saturates})
        return QuantizeDynamic(saturates=self.saturates), named

    def _embeddings(self) -> tuple[ir.passes.PassBase, AppliedPass]:
        return QuantizeEmbeddings(), AppliedPass(name="QuantizeEmbeddings", parameters={})

    def _static(self, keep_first: int) -> Built | None:
        layers = quantisable(self._clean_graph, keep_first)
        # Without a convolution, dynamic quantisation is faster and more exact.
        if not any(node.op_type == "Conv" for node in layers):
            return None
        named = AppliedPass(
            name="QuantizeStatic", parameters={"avx2_safe": self.saturates, "keep_first": keep_first}
        )
        return self._quantised(
            (QuantizeStatic(self._ranges, saturates=self.saturates, keep_first=keep_first), named)
        )

    def _quantised(self, *steps: tuple[ir.passes.PassBase, AppliedPass]) -> Built | None:
        """The cleaned model after these passes; nothing if one of them found nothing to do."""
        data, applied = self.clean
        for step, named in steps:
            changed, names = apply_passes(data, [step])
            if not names:
                return None
            data, applied = changed, [*applied, named]
        return apply_passes(data, tidy())[0], applied
