"""Ground truth, joined to predictions in whatever order both come."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.sampling import is_among
from monitoring.labels import (
    GroundTruth,
    Join,
    Joined,
    WrongLabel,
    decode,
    encode,
    read_line,
    value_of,
    write_line,
)


def sagemaker(data="1", encoding="CSV", version="0"):
    return json.dumps(
        {
            "groundTruthData": {"data": data, "encoding": encoding},
            "eventMetadata": {"eventId": "a", "metadataUnknownHere": 1},
            "eventVersion": version,
        }
    )


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ('{"inferenceId": "a", "label": 1}', 1),
        ('{"inferenceId": "a", "label": "cat"}', "cat"),
        ('{"inferenceId": "a", "label": false}', False),
        ('{"inferenceId": "a", "label": [1, 0]}', [1, 0]),
        (sagemaker(), 1),
        (sagemaker("0.5"), 0.5),
        (sagemaker('"a, b",2'), ["a, b", 2]),
        (sagemaker("[1, 2]", "JSON"), [1, 2]),
    ],
)
def test_both_forms_are_read(line, label):
    truth = read_line(line)
    assert truth == GroundTruth("a", label)
    assert read_line(write_line(truth)) == truth


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "it is no JSON"),
        ("[1]", "it is no object like"),
        ('{"label": 1}', "missing required field `inferenceId`"),
        ('{"inferenceId": "a"}', "missing required field `label`"),
        ('{"inferenceId": 5, "label": 1}', "Expected `str`, got `int`"),
        ('{"inferenceId": "", "label": 1}', "its inferenceId is empty"),
        ('{"inferenceId": "a", "label": null}', "its label is no number"),
        ('{"inferenceId": "a", "label": {}}', "its label is no number"),
        ('{"inferenceId": "a", "lable": 1, "label": 1}', "unknown field `lable`"),
        (sagemaker(encoding="BASE64"), 'its encoding is "BASE64", and only "CSV" and "JSON" are known'),
        (sagemaker(version="1"), 'its eventVersion is "1", and only "0" is known'),
        (sagemaker("{", "JSON"), "its data are no JSON"),
        (sagemaker(""), "its label is no number"),
        ('{"groundTruthData": {}}', "it is no ground truth of SageMaker"),
    ],
)
def test_what_is_no_label_is_refused(line, sentence):
    with pytest.raises(WrongLabel) as refused:
        read_line(line)
    assert sentence in str(refused.value)


def test_cells_are_numbers_where_they_are():
    found = [value_of(text) for text in ("1", "0.5", "true", "cat", "1e3", "[1]", '"a"', "", "null")]
    assert found == [1, 0.5, True, "cat", 1000.0, "[1]", '"a"', "", "null"]


def test_a_label_may_come_before_or_after_its_request():
    join = Join()
    assert join.labelled(GroundTruth("early", 1)) is None
    assert join.predicted("late", [0]) is None
    assert join.predicted("early", [1]) == Joined("early", [1], 1)
    assert join.labelled(GroundTruth("late", 1)) == Joined("late", [0], 1)
    assert join.counts == {"joined": 2}


def test_what_comes_twice_counts_once():
    join = Join()
    join.predicted("a", [1])
    join.predicted("a", [1])
    join.labelled(GroundTruth("a", 1))
    for label in (1, 2):
        assert join.labelled(GroundTruth("a", label)) is None
    assert join.predicted("a", [1]) is None
    join.labelled(GroundTruth("b", 1))
    join.labelled(GroundTruth("b", 0))
    assert join.predicted("b", [5]) == Joined("b", [5], 1)
    assert join.counts == {"joined": 2, "twice": 2, "repeated": 1, "contradicted": 2}


def test_labels_of_requests_that_were_not_captured_wait_for_nothing():
    join = Join(rate=0.1)
    ids = [f"id-{number}" for number in range(1000)]
    for name in ids:
        join.labelled(GroundTruth(name, 1))
    captured = [name for name in ids if is_among(name, 0.1)]
    assert len(join.labels) == len(captured)
    assert join.counts == {"uncaptured": 1000 - len(captured)}
    assert 50 < len(captured) < 150


def test_rows_have_labels_of_their_own():
    assert list(Joined("a", [1, 2], [3, 4]).pairs()) == [(1, 3), (2, 4)]
    assert list(Joined("a", [[1, 2]], [3, 4]).pairs()) == [([1, 2], [3, 4])]
    for label in (1, [1], "ab"):
        with pytest.raises(WrongLabel, match="no list of the request's 2 rows"):
            list(Joined("a", [1, 2], label).pairs())


EVENTS = st.lists(st.tuples(st.sampled_from(["predicted", "labelled"]), st.integers(0, 12)), max_size=80)


@settings(max_examples=200, deadline=None)
@given(EVENTS, st.integers(0, 80))
def test_each_request_is_joined_once_in_whatever_order_and_over_a_restart(events, restart):
    join, joined = Join(), []
    for number, (kind, name) in enumerate(events):
        if number == restart:
            join = decode(encode(join))
        found = (
            join.predicted(str(name), [name])
            if kind == "predicted"
            else join.labelled(GroundTruth(str(name), name))
        )
        joined += [found] if found else []
    predicted = {name for kind, name in events if kind == "predicted"}
    labelled = {name for kind, name in events if kind == "labelled"}
    assert sorted(int(one.inference_id) for one in joined) == sorted(predicted & labelled)
    assert all(one.predictions == [one.label] for one in joined)
    counts = join.counts
    assert len(events) == 2 * counts.get("joined", 0) + len(join.predictions) + len(join.labels) + sum(
        counts.get(name, 0) for name in ("twice", "repeated", "contradicted")
    )


@settings(max_examples=50, deadline=None)
@given(EVENTS, st.integers(1, 5))
def test_memory_is_bounded_and_what_is_forgotten_is_counted(events, capacity):
    join = Join(capacity=capacity)
    for kind, name in events:
        if kind == "predicted":
            join.predicted(str(name), [name])
        else:
            join.labelled(GroundTruth(str(name), name))
        assert max(len(join.predictions), len(join.labels), len(join.done)) <= capacity
    counts = join.counts
    known = ("twice", "repeated", "contradicted", "unlabelled", "unmatched")
    assert len(events) == 2 * counts.get("joined", 0) + len(join.predictions) + len(join.labels) + sum(
        counts.get(name, 0) for name in known
    )
