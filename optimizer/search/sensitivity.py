"""How much the model's answers change when one layer alone is treated.

The cleaned model is made once into one that takes an error for each layer's output and adds it
(``Probe``). A treated layer, cut out of a model in which all layers are treated, runs on its float input;
what it gives differently is fed back as that layer's error. So a layer costs a run of the model for each
sample: no model is built, no session created, nothing evaluated.

The measure is the squared error of the outputs in relation to their own variation, which says something on a
few samples where a share of equal predictions does not. (Dong et al. 2019, HAWQ, and Hubara et al. 2020 rank
layers so, and add up what is measured layer by layer.)
"""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort

from optimizer.runtime import Array, Feeds, optimised_session
from optimizer.search.plan import Treatment

_THREADS, _SAMPLES = 2, 8
_RAW, _ERROR = "#raw", "#error"
_ELEMENTWISE = frozenset(
    "Add Clip Div Elu Gelu HardSigmoid HardSwish LeakyRelu Mul Relu Sigmoid Softplus Sub Tanh".split()  # noqa: SIM905 - a list of words
)

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
            if len(readers) != 1 or readers[0].op_type not in _ELEMENTWISE:
                break
            if any(value and value != self.end and value not in constants for value in readers[0].input):
                break
            self.end = readers[0].output[0]


def probe(clean: onnx.ModelProto, layers: Sequence[Layer]) -> ort.InferenceSession:
    """The cleaned model with an error as another input for each layer, and its layers' ends as outputs."""
    model = onnx.ModelProto()
    model.CopyFrom(clean)
    graph = model.graph
    ends = {layer.end for layer in layers}
    for node in graph.node:
        for index, output in enumerate(node.output):
            if output in ends:
                node.output[index] = output + _RAW
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        nodes.append(node)
        for output in node.output:
            if output.endswith(_RAW):
                end = output.removesuffix(_RAW)
                nodes.append(onnx.helper.make_node("Add", [output, end + _ERROR], [end]))
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(end + _ERROR, onnx.TensorProto.FLOAT, None) for end in sorted(ends)
    )
    known = {value.name for value in graph.output}
    wanted = dict.fromkeys([*(layer.start for layer in layers), *(end + _RAW for end in sorted(ends))])
    given = {value.name for value in graph.input}
    graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in wanted if name not in known and name not in given
    )
    return optimised_session(model.SerializeToString())


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
        self.outputs = list(outputs)
        self.probe = probe(model, self.layers)
        self.zeros: Feeds = {layer.end + _ERROR: np.zeros((), np.float32) for layer in self.layers}
        inputs = {value.name for value in model.graph.input}
        values = dict.fromkeys(value for one in self.layers for value in (one.start, one.end + _RAW))
        self.values = [name for name in values if name not in inputs]
        self.treated = {name: onnx.load_model_from_string(data) for name, data in treated.items()}
        self.parts: dict[tuple[str, Treatment], ort.InferenceSession] = {}

    def errors(self, samples: Sequence[Feeds], until: float) -> Errors:
        """The mean error of the outputs for each layer and treatment.

        Over up to 8 samples; no further one is begun after the time ``until``.
        """
        found: list[dict[tuple[str, Treatment], float]] = []
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, min(len(samples), _SAMPLES), _THREADS):
                if found and time.monotonic() > until:
                    break
                found += pool.map(self._of_sample, samples[start : start + _THREADS])
        errors: Errors = {}
        for layer, treatment in found[0]:
            of_samples = [one[layer, treatment] for one in found]
            errors.setdefault(layer, {})[treatment] = float(np.mean(of_samples))
        return errors

    def _of_sample(self, feeds: Feeds) -> dict[tuple[str, Treatment], float]:
        """The error of the outputs for each layer and treatment."""
        names = [*self.outputs, *self.values]
        values = {**feeds, **dict(zip(names, self.probe.run(names, {**self.zeros, **feeds}), strict=True))}
        found = {}
        for layer in self.layers:
            for treatment in self.treatments[layer.name]:
                part = self._part(layer, treatment, values[layer.start])
                expected = values[layer.end + _RAW]
                got = part.run(None, {layer.start: values[layer.start]})[0]
                if got.shape != expected.shape:
                    continue
                error = got - expected
                answers = self.probe.run(self.outputs, {**self.zeros, **feeds, layer.end + _ERROR: error})
                found[layer.name, treatment] = max(
                    _distance(answer, values[name])
                    for name, answer in zip(self.outputs, answers, strict=True)
                )
        return found

    def _part(self, layer: Layer, treatment: Treatment, start: Array) -> ort.InferenceSession:
        key = (layer.name, treatment)
        if key not in self.parts:
            self.parts[key] = cut(self.treated[treatment], layer, start)
        return self.parts[key]


def _distance(answer: Array, expected: Array) -> float:
    """Squared error by squared size; for what are no floats, the share that differs."""
    if expected.dtype.kind != "f":
        return float(np.mean(answer != expected))
    gap = answer.astype(np.float64) - expected
    total = float(np.square(gap).sum() / max(float(np.square(expected.astype(np.float64)).sum()), 1e-30))
    return total if np.isfinite(total) else np.inf
