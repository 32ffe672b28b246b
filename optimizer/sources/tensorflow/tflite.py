"""TFLite files: as they are, int8 ones with their roundings."""

import warnings
import zipfile
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx.convert

from optimizer.errors import InputError
from optimizer.runtime import Array, Feeds
from optimizer.sources.tensorflow.loaded import Loaded, refuse_unknown

_OPSET = 17


def load(title: str, path: Path) -> Loaded:
    """Read the file; inputs and outputs get the names of its signature, if it has one.

    Raises:
        InputError: it is damaged, or has an operator that ONNX lacks.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the interpreter moves to another package
            interpreter = tf.lite.Interpreter(
                str(path), experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF
            )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{title} is not a TFLite model, or is damaged ({reason}): convert it anew."
        ) from None
    proto, _ = tf2onnx.convert.from_tflite(str(path), opset=_OPSET)
    refuse_unknown(title, proto)
    inputs, outputs = _names(interpreter)
    _rename(proto.graph, {**inputs, **outputs})
    details = interpreter.get_input_details()

    def run(feeds: Feeds) -> dict[str, Array]:
        for detail in details:
            name = inputs[detail["name"]]
            interpreter.resize_tensor_input(detail["index"], feeds[name].shape)
        interpreter.allocate_tensors()
        for detail in details:
            interpreter.set_tensor(detail["index"], feeds[inputs[detail["name"]]])
        interpreter.invoke()
        return {
            outputs[detail["name"]]: np.array(interpreter.get_tensor(detail["index"]))
            for detail in interpreter.get_output_details()
        }

    return Loaded(proto=proto, run=run, framework="tflite", class_labels=_labels(path))


def _names(interpreter: tf.lite.Interpreter) -> tuple[dict[str, str], dict[str, str]]:
    """By the tensors' names, those that people gave the inputs and the outputs."""
    ins, outs = interpreter.get_input_details(), interpreter.get_output_details()
    names = (
        {one["name"]: _plain(one["name"]) for one in ins},
        {one["name"]: _plain(one["name"]) for one in outs},
    )
    for key in list(interpreter.get_signature_list())[:1]:
        runner = interpreter.get_signature_runner(key)
        for given, details in zip(
            names, (runner.get_input_details(), runner.get_output_details()), strict=True
        ):
            given.update({one["name"]: name for name, one in details.items() if one["name"] in given})
    return names


def _plain(name: str) -> str:
    return name.removesuffix(":0").removeprefix("serving_default_")


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Everywhere in the graph."""
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, value) for value in values]
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)


def _labels(path: Path) -> list[str]:
    """Of the file that TFLite's metadata keep behind the model, as a zip."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if "label" in name and name.endswith(".txt")]
        return file.read(names[0]).decode("utf-8").splitlines() if names else []
