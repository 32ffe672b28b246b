import json
import re

import msgspec
import numpy as np
import pytest

from monitoring.baseline import SCHEMA_VERSION, decode, encode
from monitoring.build import build
from monitoring.features import SchemaMismatch
from monitoring.sagemaker import constraints_json, statistics_json
from tests.monitoring.subjects import SUBJECTS, table

LARGEST = 350_000


@pytest.mark.parametrize("draw", SUBJECTS.values(), ids=SUBJECTS)
def test_the_file_is_read_as_it_was_written_and_equal_data_give_equal_bytes(draw):
    data = encode(build(*draw(np.random.default_rng(0), 150)))
    assert encode(decode(data)) == data
    assert encode(build(*draw(np.random.default_rng(0), 150))) == data
    assert len(data) < LARGEST


def test_the_size_does_not_grow_with_samples_or_tensors():
    rng = np.random.default_rng(0)
    small = {"x": rng.normal(size=(300, 3000)).astype(np.float32)}
    wide = {f"column{i}": rng.normal(size=(900, 1)).astype(np.float32) for i in range(400)}
    answers = {"y": rng.random((900, 1000)).astype(np.float32)}
    assert len(encode(build(small, {"y": answers["y"][:300]}))) < LARGEST
    baseline = build(wide, answers)
    assert len(encode(baseline)) < LARGEST
    assert len(baseline.names) <= 224


def test_no_sample_is_in_the_file():
    rng = np.random.default_rng(0)
    inputs, outputs = table(rng, 300)
    secret = np.array([f"patient {i}" for i in range(300)], dtype=object)[:, None]
    inputs = {**inputs, "name": secret}
    text = encode(build(inputs, outputs)).decode()
    assert "patient" not in text
    # The extremes and a few quantiles of a column are there, and no more of its values.
    kept = {float(number) for number in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)}
    assert len(kept & set(inputs["x"][:, 0].astype(float).tolist())) <= 5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schema_version": 1}, "press the model again"),
        ({"samples": "three"}, "samples"),
        ({"edges": 3}, "array"),
    ],
)
def test_another_schema_is_refused(change, says):
    data = {**msgspec.json.decode(encode(build(*table(np.random.default_rng(0), 100)))), **change}
    with pytest.raises(msgspec.ValidationError, match=says):
        decode(msgspec.json.encode(data))


def test_the_first_schema_is_refused_with_a_sentence():
    old = json.dumps({"inputs": {}, "outputs": {}, "schema_version": 1}).encode()
    with pytest.raises(msgspec.ValidationError, match=f"version 1, but this release reads {SCHEMA_VERSION}"):
        decode(old)


def test_tensors_are_described_by_what_they_hold():
    rng = np.random.default_rng(0)
    found = {}
    for draw in SUBJECTS.values():
        baseline = build(*draw(rng, 150))
        found |= {tensor.name: (tensor.kind, tensor.shape) for tensor in baseline.tensors}
    assert found["x"] == ("table", (5,))
    assert found["image"] == ("field", (3, 32, 40))
    assert found["ids"] == ("tokens", (-1,))
    assert found["text"] == ("text", (1,))
    assert found["wave"] == ("field", (1, -1))
    assert found["vector"] == ("field", (384,))


def test_a_text_that_came_once_is_no_category():
    kinds = np.array(["yes"] * 60 + ["no"] * 38 + ["my name is Jane", "hello"], dtype=object)[:, None]
    baseline = build({"answer": kinds}, {"y": np.zeros((100, 1), np.float32)})
    assert baseline.features[0].categories == ("yes", "no")
    assert b"Jane" not in encode(baseline)


def test_few_samples_and_constant_columns_are_no_trouble():
    for count in (1, 2, 5, 40):
        x = np.ones((count, 4), np.float32)
        baseline = build({"x": x}, {"y": np.zeros((count, 2), np.float32)})
        assert decode(encode(baseline)).samples == count


def test_samples_of_several_ranks_are_refused():
    rows = [np.zeros(3, np.float32), np.zeros((3, 3), np.float32)]
    with pytest.raises(SchemaMismatch, match="'x' has samples of 2 ranks"):
        build({"x": rows}, {"y": np.zeros((2, 1), np.float32)})


def test_the_export_has_model_monitors_schemas():
    inputs, outputs = table(np.random.default_rng(0), 1000)
    baseline = build(inputs, outputs)
    statistics, constraints = json.loads(statistics_json(baseline)), json.loads(constraints_json(baseline))
    assert statistics["dataset"]["item_count"] == 1000
    by_name = {feature["name"]: feature for feature in statistics["features"]}
    number = by_name["x[0]"]["numerical_statistics"]
    assert number["mean"] == pytest.approx(inputs["x"][:, 0].mean(), rel=1e-3)
    buckets = number["distribution"]["kll"]["buckets"]
    assert len(buckets) == 10
    assert sum(bucket["count"] for bucket in buckets) == 1000
    exact, _ = np.histogram(
        inputs["x"][:, 0], [b["lower_bound"] for b in buckets] + [buckets[-1]["upper_bound"]]
    )
    assert np.abs(exact - [b["count"] for b in buckets]).max() < 60
    missing = by_name["x[4]"]["numerical_statistics"]["common"]
    assert missing["num_missing"] == np.isnan(inputs["x"][:, 4]).sum()
    kinds = by_name["kind"]["string_statistics"]["distribution"]["categorical"]["buckets"]
    assert {b["value"]: b["count"] for b in kinds} == {
        kind: int((inputs["kind"] == kind).sum()) for kind in ("red", "green", "blue")
    }
    rules = {feature["name"]: feature for feature in constraints["features"]}
    assert rules["x[4]"]["completeness"] == pytest.approx(0.95, abs=0.03)
    assert rules["p[0]"]["num_constraints"] == {"is_non_negative": True}
    assert set(rules["kind"]["string_constraints"]["domains"]) == {"red", "green", "blue"}
