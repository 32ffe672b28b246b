"""`optimize` on models that no protobuf holds: over 2 GB, or what is taken for it here."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from bundle.folder import verify
from coldpress.optimize import main
from optimizer.external import MAX_BYTES

ROWS, WIDTH = 540_000, 1024


@pytest.fixture
def press(tmp_path, capsys):
    """Run the command on ``m.onnx`` with data of these inputs; gives status, stdout and stderr."""

    def call(feeds, *more):
        np.savez(tmp_path / "data.npz", **feeds)
        data = [f"--{side}={tmp_path / 'data.npz'}" for side in ("calibration", "evaluation")]
        out = ["--json", "-o", str(tmp_path / "out")]
        status = main([str(tmp_path / "m.onnx"), *data, "--metric", "cosine", *out, *more])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def two_products(tmp_path, make, monkeypatch, rng):
    """A model of 8 MB with external data, where the limit is 5 MB."""
    for module in ("external", "model"):
        monkeypatch.setattr(f"optimizer.{module}.MAX_BYTES", 5_000_000)
    weights = {name: rng.normal(scale=0.03, size=(WIDTH, WIDTH)).astype(np.float32) for name in ("w", "v")}
    text = f"""g (float[b, {WIDTH}] x) => (float[b, {WIDTH}] y) {{
        h = MatMul (x, w) r = Relu (h) y = MatMul (r, v) }}"""
    onnx.save(make(text, **weights), tmp_path / "m.onnx", save_as_external_data=True, location="weights")
    return {"x": rng.normal(size=(16, WIDTH)).astype(np.float32)}


def test_a_bundle_holds_the_whole_of_what_was_pressed(press, two_products):
    status, out, err = press(two_products, "--max-drop", "0.01")
    assert (status, err) == (0, "")
    result = json.loads(out)
    manifest = verify(Path(result["bundle"]))
    assert result["size_before"] > 8_000_000
    assert result["size_after"] < 5_000_000
    assert manifest.metric.drop <= 0.01
    assert manifest.source.size > 8_000_000


def test_nothing_small_enough_is_one_sentence(press, two_products, tmp_path):
    status, out, err = press(two_products, "--max-drop", "0")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "larger than 2 GB" in err
    assert not list(tmp_path.glob("out/*/*/manifest.json"))


def write_table_model(path, rng):
    """Embeddings of 2.2 GB and a product, the weights written piece by piece."""
    tensors = []
    with (path.parent / "weights").open("wb") as file:
        for name, shape in (("table", (ROWS, WIDTH)), ("w", (WIDTH, WIDTH))):
            start = file.tell()
            for first in range(0, shape[0], 20_000):
                piece = (min(20_000, shape[0] - first), shape[1])
                file.write(rng.standard_normal(piece, dtype=np.float32).tobytes())
            tensor = onnx.TensorProto(name=name, data_type=1, dims=shape, data_location=1)
            known = {"location": "weights", "offset": start, "length": file.tell() - start}
            tensor.external_data.extend(
                onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in known.items()
            )
            tensors.append(tensor)
    nodes = [helper.make_node("Gather", ["table", "i"], ["e"]), helper.make_node("MatMul", ["e", "w"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("i", onnx.TensorProto.INT64, ["b", "n"])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["b", "n", WIDTH])],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_more_than_2_gb(press, tmp_path, rng):
    write_table_model(tmp_path / "m.onnx", rng)
    status, out, err = press({"i": rng.integers(0, ROWS, (16, 1, 20))}, "--max-drop", "0.01")
    assert (status, err) == (0, "")
    result = json.loads(out)
    verify(Path(result["bundle"]))
    assert result["size_before"] > MAX_BYTES > 3 * result["size_after"]
    assert result["drop"] <= 0.01
