import numpy as np
import onnx
import pytest

from optimizer.press import Options, press
from optimizer.search.layers import LayerFigures, LayerTable, layer_options


def row(treatment, ms, error, layer="a"):
    return LayerFigures(layer=layer, operator="MatMul", treatment=treatment, ms=ms, size_bytes=0, error=error)


def test_times_that_cannot_be_told_apart_are_the_same():
    rows = [
        row(None, 1.0, 0.0),
        row("static", 0.500, 0.2),
        row("dynamic", 0.510, 0.1),
        row("nbits", 0.56, 0.1),
        row(None, 0.010, 0.0, "b"),
        row("dynamic", 0.0085, 0.1, "b"),
    ]
    options = layer_options(LayerTable(rows), "latency", 1)
    costs = {
        (layer, choice): round(cost * 1.01, 4)
        for layer in options
        for choice, (cost, _) in options[layer].items()
    }
    assert costs == {
        ("a", None): 1.0,
        ("a", "static"): 0.5,
        ("a", "dynamic"): 0.5,
        ("a", "nbits"): 0.56,
        ("b", None): 0.0085,
        ("b", "dynamic"): 0.0085,
    }


@pytest.mark.parametrize("objective", ["latency", "size", "cold-start"])
def test_sixteen_values_are_tried_for_size_only(objective, make, rng, tmp_path):
    weights = {"w": rng.normal(size=(64, 64)), "v": rng.normal(size=(64, 64))}
    text = "g (float[n, 64] x) => (float[n, 64] y) { a = MatMul (x, w) b = Relu (a) y = MatMul (b, v) }"
    onnx.save(
        make(text, **{name: array.astype(np.float32) for name, array in weights.items()}), tmp_path / "m.onnx"
    )
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(24, 64)).astype(np.float32))
    pressed = press(
        Options(
            model=tmp_path / "m.onnx",
            calibration=str(tmp_path / "data.npz"),
            evaluation=str(tmp_path / "data.npz"),
            out=tmp_path / "bundles",
            measurements=tmp_path / "measurements",
            name="m",
            metric="cosine",
            max_drop=0.05,
            objective=objective,
        ),
        lambda _line: None,
    )
    report = (pressed.folder / "report.html").read_text()
    assert ("16 values" in report) == (objective == "size")
