"""How much the model's answers change when one layer alone is treated.

A treated layer, cut out of a model in which all layers are treated, runs on its float input; what it gives
differently is put into a ``Probe`` as that layer's error. So a layer costs a run for each sample.

The measure is the squared error of the outputs in relation to their own variation, which says something on a
few samples where a share of equal predictions does not. (Dong et al. 2019, HAWQ, and Hubara et al. 2020 rank
layers so, and add up what is measured layer by layer.)
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime as ort

from optimizer.quantize._channels_last import SCALAR, UNARY
from optimizer.runtime import Array, Feeds, optimised_session
from optimizer.search.plan import Treatment
from optimizer.search.probe import Probe, over_samples

_SAMPLES = 8

Errors = dict[str, dict[Treatment, float]]


class Layer:
    """Where a layer begins and ends in the cleaned graph.

    A convolution ends after the element-wise operators that alone read it: what treats it may treat them as
    well (round after a Relu, or compute them in another memory layout).
    """

    def __init__(self, graph: onnx.GraphProto, name: str) -> None:
        node = next(node for node in graph.node if name in node.output)
        constants = {tensor.name for tensor in graph.initializer}
        self.name = name
        self.is_convolution = node.op_type == "Conv"
        self.start = next(value for value in node.input if value and value not in constants)
        self.end = name
        fixed = {value.name for value in graph.output}
        while self.is_convolution and self.end not in fixed:
            readers = [other for other in graph.node if self.end in other.input]
            if len(readers) != 1 or readers[0].op_type not in UNARY | SCALAR:
                break
            if any(value and value != self.end and value not in constants for value in readers[0].input):
                break
            self.end = readers[0].output[0]


def cut(treated: onnx.ModelProto, layer: Layer, start: Array) -> ort.InferenceSession:
    """The treated layer alone: from its float input, ``start`` is one, to what its readers read."""
    nodes = treated.graph.node
    producers = {output: node for node in nodes for output in node.output}
    end = _after_rounding(treated.graph, layer.end) if layer.is_convolution else layer.end
    needed: dict[int, onnx.NodeProto] = {}
    names: set[str] = set()
    stack = [end]
    while stack:
        value = stack.pop()
        if value == layer.start or value in names:
            continue
        names.add(value)
        node = producers.get(value)
        if node is not None:
            needed[id(node)] = node
            stack.extend(node.input)
    element = onnx.helper.np_dtype_to_tensor_dtype(start.dtype)
    graph = onnx.helper.make_graph(
        [node for node in nodes if id(node) in needed],
        "layer",
        [onnx.helper.make_tensor_value_info(layer.start, element, None)],
        [onnx.helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, None)],
        [tensor for tensor in treated.graph.initializer if tensor.name in names],
    )
    model = onnx.helper.make_model(graph, opset_imports=treated.opset_import, ir_version=treated.ir_version)
    return optimised_session(model.SerializeToString())


def _after_rounding(graph: onnx.GraphProto, value: str) -> str:
    """What DequantizeLinear makes of it, where its readers read that."""
    rounded = value
    for expected in ("QuantizeLinear", "DequantizeLinear"):
        readers = [node for node in graph.node if rounded in node.input]
        if len(readers) != 1 or readers[0].op_type != expected:
            return value
        rounded = readers[0].output[0]
    return rounded


class Sensitivity:
    """The probe, and the treated layers one by one."""

    def __init__(
        self,
        clean: bytes,
        treated: Mapping[Treatment, bytes],
        treatable: Mapping[str, Sequence[Treatment]],
        outputs: Sequence[str],
    ) -> None:
        model = onnx.load_model_from_string(clean)
        self.layers = [Layer(model.graph, name) for name in treatable]
        self.treatments = {name: [one for one in treatable[name] if one in treated] for name in treatable}
        self.probe = Probe(
            model,
            {layer.end for layer in self.layers},
            outputs,
            seen=[layer.start for layer in self.layers],
        )
        self.treated = {name: onnx.load_model_from_string(data) for name, data in treated.items()}
        self.parts: dict[tuple[str, Treatment], ort.InferenceSession] = {}

    def errors(self, samples: Sequence[Feeds], until: float) -> Errors:
        """The mean error of the outputs for each layer and treatment, over up to 8 samples.

        Of fewer where that many would not be done by the time ``until``.
        """
        found = over_samples(self._of_sample, samples, _SAMPLES, until)
        errors: Errors = {}
        for layer, treatment in found[0]:
            of_samples = [one[layer, treatment] for one in found]
            errors.setdefault(layer, {})[treatment] = float(np.mean(of_samples))
        return errors

    def _of_sample(self, feeds: Feeds) -> dict[tuple[str, Treatment], float]:
        """The error of the outputs for each layer and treatment."""
        values = self.probe.values(feeds)
        found = {}
        for layer in self.layers:
            for treatment in self.treatments[layer.name]:
                part = self._part(layer, treatment, values[layer.start])
                got = part.run(None, {layer.start: values[layer.start]})[0]
                if got.shape == values[layer.end].shape:
                    error = got - values[layer.end]
                    found[layer.name, treatment] = self.probe.distance(values, {layer.end: error})
        return found

    def _part(self, layer: Layer, treatment: Treatment, start: Array) -> ort.InferenceSession:
        key = (layer.name, treatment)
        if key not in self.parts:
            self.parts[key] = cut(self.treated[treatment], layer, start)
        return self.parts[key]
