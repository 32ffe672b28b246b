"""The process with TensorFlow: a request on stdin, the ONNX file and an answer as files.

Usage: python -m optimizer.sources.tensorflow.process ANSWER.json < REQUEST.json
"""

import re
import sys
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime as ort

from optimizer.data import load_samples
from optimizer.errors import InputError
from optimizer.model import load_model
from optimizer.normalise import equal_outputs
from optimizer.runtime import Array, Feeds, quiet_options, run
from optimizer.sources.tensorflow import keras, saved_model, tflite
from optimizer.sources.tensorflow.loaded import Loaded
from optimizer.sources.tensorflow.request import Answer, Request

_COMPARED_SAMPLES = 16
_IDLE = re.compile(r"(StatefulPartitionedCall|sequential\w*|functional\w*)/|:0$")
# Of the largest answer, in the mean: a sum next to the border of two steps is rounded to either, and a step
# of int8 is more than what orders of summation make.
_ROUNDED = 0.01


def main() -> None:
    """Answer one request."""
    answer = convert(msgspec.json.decode(sys.stdin.buffer.read(), type=Request))
    Path(sys.argv[1]).write_bytes(msgspec.json.encode(answer))


def convert(request: Request) -> Answer:
    """Write the ONNX file, or say why not."""
    try:
        return _convert(request)
    except InputError as error:
        return Answer(error=str(error))


def _convert(request: Request) -> Answer:
    path = Path(request.model)
    match request.kind:
        case "keras":
            loaded = keras.load(request.title, path, trust_pickle=request.trust_pickle)
        case "saved_model":
            loaded = saved_model.load(request.title, path, trust_pickle=request.trust_pickle)
        case "tflite":
            loaded = tflite.load(request.title, path)
    target = Path(request.target)
    _forget_free_axes(loaded.proto.graph)
    _shorten(loaded.proto.graph)
    onnx.save(loaded.proto, target)
    try:
        _compare(request, loaded, target)
    except BaseException:
        target.unlink()
        raise
    return Answer(framework=loaded.framework, class_labels=list(loaded.class_labels))


def _forget_free_axes(graph: onnx.GraphProto) -> None:
    """tf2onnx numbers them as it comes to them; what they mean, it does not know."""
    for value in (*graph.input, *graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                axis.Clear()


def _shorten(graph: onnx.GraphProto) -> None:
    """Names as TensorFlow makes them are a third of a small file: what says nothing in them goes."""
    del graph.value_info[:]
    for node in graph.node:
        node.name = ""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    values = [value for node in graph.node for value in node.output] + [one.name for one in graph.initializer]
    short = {name: _IDLE.sub("", name) for name in values if name and name not in fixed}
    if len(fixed | {*short.values()}) < len(fixed) + len(short):
        return
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [short.get(name, name) for name in names]
    for one in graph.initializer:
        one.name = short.get(one.name, one.name)


def _compare(request: Request, loaded: Loaded, target: Path) -> None:
    """Compare the answers, and name the axis of the samples if there is one.

    Raises:
        InputError: an answer is another than TensorFlow's.
    """
    samples = load_samples(request.calibration, load_model(target).signature)[:_COMPARED_SAMPLES]
    session = ort.InferenceSession(target, quiet_options())
    names = [output.name for output in session.get_outputs()]
    ours = [run(session, sample.feeds, names) for sample in samples]
    theirs = [loaded.run(sample.feeds) for sample in samples]
    is_rounded = any(node.op_type == "QuantizeLinear" for node in loaded.proto.graph.node)
    for own, other in zip(ours, theirs, strict=True):
        for name in names:
            if equal_outputs([{name: other[name]}], [{name: own[name]}]):
                continue
            apart = _apart(other[name], own[name])
            if not is_rounded or apart > _ROUNDED:
                raise InputError(
                    f"{request.title} as ONNX answers otherwise than TensorFlow ('{name}' differs by "
                    f"{apart:.2g} of its largest value), so it is not pressed: tf2onnx erred."
                )
    if _is_batched(loaded, samples[0].feeds, theirs[0]):
        graph = loaded.proto.graph
        for value in (*graph.input, *graph.output):
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
        onnx.save(loaded.proto, target)


def _apart(left: Array, right: Array) -> float:
    """The mean difference, as a share of the largest value; 1 where the shapes differ."""
    if left.shape != right.shape:
        return 1.0
    difference = np.abs(left.astype(np.float64) - right.astype(np.float64)).mean()
    return float(difference / max(float(np.abs(left.astype(np.float64)).max(initial=0.0)), 1e-9))


def _is_batched(loaded: Loaded, feeds: Feeds, answers: dict[str, Array]) -> bool:
    """Whether the first axis of all inputs and outputs counts samples: TensorFlow is asked for two."""
    graph = loaded.proto.graph
    values = (*graph.input, *graph.output)
    if any(
        not len(v.type.tensor_type.shape.dim) or v.type.tensor_type.shape.dim[0].dim_value for v in values
    ):
        return False
    try:
        twice = loaded.run({name: np.concatenate([array, array]) for name, array in feeds.items()})
    except Exception:  # noqa: BLE001 - whatever TensorFlow raises, two samples do not go through it
        return False
    return equal_outputs([{name: np.concatenate([array, array]) for name, array in answers.items()}], [twice])


if __name__ == "__main__":
    main()
