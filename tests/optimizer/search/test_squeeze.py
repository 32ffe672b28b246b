import pytest

from optimizer.search.layers import LayerFigures
from optimizer.search.squeeze import squeezed


def row(layer, treatment, ms, size, error):
    return LayerFigures(
        layer=layer, operator="Gather", treatment=treatment, ms=ms, size_bytes=size, error=error
    )


ROWS = [
    row("words", None, 1.0, 4000, 0.0),
    row("words", "embedding", 1.0, 1000, 0.1),
    row("words", "embedding4", 1.0, 500, 3.0),
    row("places", None, 0.1, 400, 0.0),
    row("places", "embedding", 0.11, 100, 0.01),
    row("product", None, 8.0, 2000, 0.0),
    row("product", "dynamic", 4.0, 500, 0.1),
    row("product", "nbits", 6.0, 250, 0.1),
]
LAYERS = {"words": "embedding", "product": "dynamic"}


@pytest.mark.parametrize(
    ("spare", "expected"),
    [
        (0.0, LAYERS),
        (0.02, {**LAYERS, "places": "embedding"}),
        (5.0, {"words": "embedding4", "places": "embedding", "product": "dynamic"}),
    ],
)
def test_it_saves_bytes_within_what_is_left_of_the_bound_and_for_next_to_no_time(spare, expected):
    assert squeezed(LAYERS, ROWS, spare) == expected
