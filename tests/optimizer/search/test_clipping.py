import time

import numpy as np
import pytest

from optimizer.search.clipping import pick_ranges

NARROW, WIDE = (0.0, 1.0), (0.0, 50.0)


@pytest.mark.parametrize(("after", "expected"), [("Clip (h, zero, one)", NARROW), ("Neg (h)", WIDE)])
def test_an_outlier_counts_as_much_as_it_moves_the_answers(make, rng, after, expected):
    ends = {"zero": np.zeros((), np.float32), "one": np.ones((), np.float32)}
    text = f"g (float[n] x) => (float[n] y) {{ h = Relu (x) y = {after} }}"
    model = make(text, **(ends if "Clip" in after else {})).SerializeToString()
    samples = [{"x": np.append(rng.uniform(0, 1, 50), 50).astype(np.float32)} for _ in range(3)]
    for first, second in ((NARROW, WIDE), (WIDE, NARROW)):
        picked = pick_ranges(model, {"h": [first, second]}, samples, ["y"], time.monotonic() + 60)
        assert picked == {"h": expected}


def test_an_input_that_several_read_and_a_late_hour(make, rng):
    model = make("g (float[n] x) => (float[n] y) { a = Relu (x) y = Add (a, x) }").SerializeToString()
    samples = [{"x": rng.uniform(-40, 40, 50).astype(np.float32)} for _ in range(4)]
    several = {"x": [(-1.0, 1.0), (-40.0, 40.0)], "y": [(-1.0, 1.0), (-40.0, 40.0)]}
    picked = pick_ranges(model, several, samples, ["y"], until=0.0)
    # What is an output of the model is not rounded: whatever stands first.
    assert picked == {"x": (-40.0, 40.0), "y": (-1.0, 1.0)}
