"""The sets of samples that tools and judge share."""

from itertools import count

import numpy as np
import pytest

from benchmarks.samples import read_set, write_sets, write_training

COUNTS = {"calibration": 2, "evaluation": 3, "report": 1}


def test_no_sample_is_in_two_sets(tmp_path):
    write_sets(tmp_path, ({"x": np.array([index])} for index in count()), COUNTS)
    read = {name: [int(sample["x"][0]) for sample in read_set(tmp_path / name)] for name in COUNTS}
    assert read == {"calibration": [0, 1], "evaluation": [2, 3, 4], "report": [5]}


def test_too_few_samples_are_an_error(tmp_path):
    with pytest.raises(SystemExit, match="0 samples for report"):
        write_sets(tmp_path, ({"x": np.array([index])} for index in range(5)), COUNTS)


def test_tools_get_no_labels(tmp_path):
    np.savez(tmp_path / "0.npz", x=np.ones(2), labels=np.array([1]))
    assert [list(sample) for sample in read_set(tmp_path)] == [["x"]]


def test_what_trains_gets_the_calibration_set_and_more(tmp_path):
    write_sets(tmp_path, ({"x": np.array([index])} for index in count()), COUNTS)
    write_training(tmp_path, ({"x": np.array([index])} for index in (7, 8)))
    assert [int(sample["x"][0]) for sample in read_set(tmp_path / "training")] == [0, 1, 7, 8]
