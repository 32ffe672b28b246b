"""A graph whose ensembles have fewer trees."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from optimizer.external import parse
from optimizer.runtime import Feeds, quiet_options
from optimizer.trees.ensemble import Floats, read, tree_nodes, write
from optimizer.trees.fewer import Fewer


def trees_in(data: bytes) -> int:
    """How many trees its largest ensemble has; none where there is no ensemble."""
    return max((len(read(node).roots) for node in tree_nodes(parse(data).graph)), default=0)


class Trees:
    """A graph's ensembles, and what goes into them on calibration data."""

    def __init__(self, data: bytes, feeds: Sequence[Feeds], seed: int) -> None:
        self._data = data
        nodes = tree_nodes(parse(data).graph)
        rows = _inputs(data, [str(node.inputs[0].name) for node in nodes if node.inputs[0]], feeds)
        self._ensembles = [Fewer(read(node), part, seed) for node, part in zip(nodes, rows, strict=True)]
        self.count = max((len(one.ensemble.roots) for one in self._ensembles), default=0)

    def with_share(self, share: float) -> bytes:
        """The graph with this share of each ensemble's trees, at least one."""
        model = parse(self._data)
        for node, fewer in zip(tree_nodes(model.graph), self._ensembles, strict=True):
            write(node, *fewer.of(max(1, round(share * len(fewer.ensemble.roots)))))
        written: bytes = ir.to_proto(model).SerializeToString(deterministic=True)
        return written


def _inputs(data: bytes, names: Sequence[str], feeds: Sequence[Feeds]) -> list[Floats]:
    """What these values are on the data, all samples' rows one after the other."""
    proto = onnx.load_model_from_string(data)
    given = {value.name for value in proto.graph.input}
    inner = list(dict.fromkeys(name for name in names if name not in given))
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    session = None
    if inner:
        session = ort.InferenceSession(proto.SerializeToString(), quiet_options())
    found: dict[str, list[Floats]] = {name: [] for name in names}
    for feed in feeds:
        answers = dict(zip(inner, session.run(inner, dict(feed)) if session else [], strict=True))
        for name, parts in found.items():
            parts.append(np.asarray(answers.get(name, feed.get(name)), np.float32))
    return [np.concatenate([one.reshape(-1, one.shape[-1]) for one in found[name]]) for name in names]
