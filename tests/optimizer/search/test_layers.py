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
