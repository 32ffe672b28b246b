"""Tensors outside their model: a protobuf ends at 2 GB, so those of a larger model stay in their files.

As bytes, such a model refers to them from the root of the file system: so they are found wherever it is
parsed or run, and only what a pass makes anew is in memory.
"""

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from optimizer.runtime import ROOT

MAX_BYTES = 2 * 1024**3 - 1


class TooLarge(Exception):
    """A model that has to stay in more files than one."""


def external_files(proto: onnx.ModelProto, folder: Path) -> list[Path]:
    """The files, each once, in which tensors of a model from ``folder`` are.

    Raises:
        OSError: one is missing, or outside the folder.
    """
    return sorted({_file_of(tensor, folder) for tensor in _external_tensors(proto.graph)})


def refer_from_root(proto: onnx.ModelProto, folder: Path) -> None:
    """Let external tensors of a model from ``folder`` be found from everywhere."""
    for tensor in _external_tensors(proto.graph):
        location = str(_file_of(tensor, folder).relative_to(ROOT))
        next(entry for entry in tensor.external_data if entry.key == "location").value = location


def parse(model: bytes) -> ir.Model:
    """The graph of a serialised model, tensors that stayed outside mapped where they are read."""
    parsed = ir.from_proto(onnx.load_model_from_string(model))
    ir.external_data.set_base_dir(parsed.graph, ROOT)
    return parsed


def taken_in(model: bytes) -> bytes:
    """The model with all of its tensors inside.

    Raises:
        TooLarge: a protobuf, and so a bundle, cannot hold them.
    """
    proto = onnx.load_model_from_string(model)
    outside = sum(_length(tensor) for tensor in _external_tensors(proto.graph))
    if len(model) + outside > MAX_BYTES:
        raise TooLarge("larger than 2 GB, which a bundle cannot hold")
    onnx.external_data_helper.load_external_data_for_model(proto, ROOT)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _external_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for tensor in _tensors(graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield tensor


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                yield from _tensors(inner)


def _file_of(tensor: onnx.TensorProto, folder: Path) -> Path:
    """Links are followed, as caches of models have them, but a path never leads out of the folder."""
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    if Path(location).is_absolute() or ".." in Path(location).parts or not (folder / location).is_file():
        raise FileNotFoundError(f"no file '{location}' in its folder")
    return (folder / location).resolve()


def _length(tensor: onnx.TensorProto) -> int:
    """Bytes outside; where the model does not say how many, all of the file from where they begin."""
    known = {entry.key: entry.value for entry in tensor.external_data}
    rest = _file_of(tensor, Path(ROOT)).stat().st_size - int(known.get("offset", 0))
    return int(known.get("length", rest))
