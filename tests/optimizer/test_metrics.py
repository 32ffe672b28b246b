import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from optimizer.errors import InputError
from optimizer.metrics import REGISTRY, FunctionMetric, find_metric
from optimizer.metrics.sequences import distance


def value(name, outputs, labels):
    metric = find_metric(name)
    rows = [
        metric.row({"y": np.asarray(output)}, {"y": np.asarray(label)})
        for output, label in zip(outputs, labels, strict=True)
    ]
    return metric.value(rows)


SCORES = np.array([[[0.1, 0.9]], [[0.8, 0.2]], [[0.3, 0.7]], [[0.6, 0.4]]], np.float32)


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "expected"),
    [
        ("accuracy", SCORES, [1, 0, 0, 0], 0.75),
        ("accuracy", np.array([[1], [0], [2]]), [1, 0, 0], 2 / 3),
        ("accuracy", np.array([[[0.9]], [[0.2]]], np.float32), [1, 1], 0.5),
        ("exact-match", np.eye(3, dtype=np.float32)[None], [[0, 1, 1]], 0),
        ("agreement", np.eye(3, dtype=np.float32)[None], [[0, 1, 1]], 2 / 3),
        ("top5", np.arange(10, dtype=np.float32)[None, None], [5], 1),
        ("top5", np.arange(10, dtype=np.float32)[None, None], [4], 0),
        ("f1", SCORES, [1, 0, 0, 0], (2 / 3 + 0.8) / 2),
        ("auc", SCORES, [1, 0, 0, 1], 0.75),
        ("auc", np.ones((4, 1, 1), np.float32), [1, 0, 0, 1], 0.5),
        ("log-loss", SCORES, [1, 0, 1, 0], np.log([0.9, 0.8, 0.7, 0.6]).mean()),
        ("top2", np.arange(10, dtype=np.float32)[None, None], [8], 1),
        ("top2", np.arange(10, dtype=np.float32)[None, None], [7], 0),
        ("cosine-worst", np.array([[1.0, 0.0], [0.0, 2.0]]), [[2.0, 0.0], [1.0, 1.0]], np.sqrt(0.5)),
        ("iou", np.array([[[0.9, 0.8, 0.1]], [[0.1, 0.2, 0.3]]]), [[[1, 0, 0]], [[0, 0, 0]]], 0.75),
        ("iou", np.array([[[-1.0, 2.0, 3.0]]]), [[[0, 1, 0]]], 0.5),
        ("rmse", np.array([[1.0], [2.0]]), [[1.0], [4.0]], -np.sqrt(2)),
        ("mae", np.array([[1.0], [2.0]]), [[1.0], [4.0]], -1),
        ("cosine", np.array([[1.0, 0.0], [0.0, 2.0]]), [[2.0, 0.0], [1.0, 1.0]], (1 + np.sqrt(0.5)) / 2),
    ],
)
def test_values(name, outputs, labels, expected):
    assert value(name, outputs, labels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "truths", "expected"),
    [
        ("agreement", [[0, 0, 0, 3], [0, 0]], (0.75 + 1) / 2),
        ("accuracy", [1.0, 2.0, 2.0, 2.0], 0.75),
        ("accuracy", ["cat", "dog", "dog"], 2 / 3),
        ("exact-match", [[0, 0], [0, 1]], 0.5),
        ("iou", [[True, True, False], [True, False, False], [True, True, False]], (1 + 0.5 + 1) / 3),
        ("cosine", [[1.0, 0.0], [0.0, 7.0]], np.sqrt(0.5)),
        ("cosine-worst", [[1.0, 0.0], [1.0, 0.0]], 1),
        ("agreement", [[0.3, 0.7]], None),
        ("agreement", [[np.inf, np.nan]], None),
        ("agreement", [np.zeros((0,), int)], None),
        ("cosine", [[1.0, 0.0], [1.0]], None),
        ("rmse", [[1.0], [1.0]], None),
    ],
)
def test_the_floor_is_what_an_answer_gets_that_never_changes(name, truths, expected):
    floor = find_metric(name).floor([{"y": np.asarray(truth)} for truth in truths])
    assert floor == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"auc", "log-loss"}))
def test_the_original_is_best_beside_itself(name):
    metric = find_metric(name)
    dice = np.random.default_rng(0)
    outputs = [{"y": dice.normal(size=(1, 4))} for _ in range(9)]
    rows = [metric.row(one, metric.truth(one)) for one in outputs]
    others = [metric.row({"y": dice.normal(size=(1, 4))}, metric.truth(one)) for one in outputs]
    assert metric.value(rows) == pytest.approx(0 if name in ("rmse", "mae", "cer") else 1)
    assert name == "top5" or metric.value(others) < metric.value(rows)


def test_the_worst_output_counts():
    metric = find_metric("agreement")
    truth = {"good": np.array([1]), "bad": np.array([1])}
    scores = {"good": np.array([[0.0, 1.0]]), "bad": np.array([[1.0, 0.0]])}
    assert metric.value([metric.row(scores, truth)]) == 0


@pytest.mark.parametrize(
    ("name", "output", "label"),
    [
        ("accuracy", [[0.1, 0.9]], [1, 0]),
        ("top5", [[0.5]], [1]),
        ("auc", [[0.1, 0.2, 0.7]], [1]),
        ("f1", [[0.1, 0.2], [0.3, 0.4]], [1, 0]),
        ("log-loss", [[0.1, 0.9]], [7]),
        ("rmse", [[0.1, 0.9]], ["cat", "dog"]),
    ],
)
def test_outputs_that_do_not_fit_are_named(name, output, label):
    with pytest.raises(InputError, match=r"label|needs|does not fit"):
        value(name, [output], [label])


def test_an_unknown_name_lists_the_known():
    with pytest.raises(InputError, match=r"no metric 'acuracy'.*accuracy, agreement"):
        find_metric("acuracy")


def test_a_function_gets_all_outputs_and_labels():
    seen = []

    def judge(outputs, labels):
        seen.append((outputs.shape, labels.shape))
        return 0.5

    metric = FunctionMetric("mine:judge", judge)
    rows = [metric.row({"y": np.zeros((1, 3))}, {"y": np.array(1)}) for _ in range(4)]
    assert metric.value(rows) == 0.5
    assert seen == [((4, 3), (4,))]


def test_a_function_gets_lists_where_shapes_differ_and_dicts_of_several_outputs():
    metric = FunctionMetric("mine:judge", lambda outputs, labels: len(outputs["a"]) + outputs["b"].shape[0])
    truth = {"a": np.array(1), "b": np.array(1)}
    rows = [metric.row({"a": np.zeros((1, n)), "b": np.zeros((1, 2))}, truth) for n in (2, 3)]
    assert metric.value(rows) == 4


def steps(*classes):
    """Scores [1, steps, 5] whose best classes are these."""
    return np.eye(5, dtype=np.float32)[list(classes)][None]


@pytest.mark.parametrize(
    ("read", "label", "rate"),
    [
        (steps(1, 1, 0, 1, 2), [1, 1, 2], 0),
        (steps(1, 0, 3), [1, 2, 3, 0, 0], 1 / 3),
        (steps(0, 0, 0), [1, 2], 1),
        (steps(4, 1, 2), [1, 2], 1 / 2),
        (steps(2, 1), [1, 2], 1),
    ],
)
def test_character_error_rate(read, label, rate):
    assert value("cer", [read], [label]) == pytest.approx(-rate)


def test_character_error_rate_is_over_all_characters():
    assert value("cer", [steps(1, 2, 3), steps(4)], [[1, 2, 3], [3]]) == pytest.approx(-1 / 4)


@given(
    st.lists(st.integers(1, 3), max_size=6),
    st.lists(st.integers(1, 3), max_size=6),
    st.lists(st.integers(1, 3), max_size=6),
)
def test_edit_distance_is_a_metric(a, b, c):
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert abs(len(a) - len(b)) <= distance(a, b) <= max(len(a), len(b))


def test_retrieval_compares_neighbours_and_survives_resampling():
    metric = find_metric("retrieval-top1")
    truth = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    same = [metric.row({"y": one * 3}, {"y": one}) for one in truth]
    assert metric.value(same) == 1
    swapped = [
        metric.row({"y": one}, {"y": true}) for one, true in zip(truth[[0, 2, 1, 3]], truth, strict=True)
    ]
    assert metric.value(swapped) == 0
    assert metric.value([*same, same[0], same[0]]) == 1
