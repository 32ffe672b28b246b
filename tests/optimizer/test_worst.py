import numpy as np
import pytest

from optimizer.data import Sample
from optimizer.evaluate import Judge
from optimizer.metrics import FunctionMetric, find_metric
from optimizer.runtime import optimised_session
from optimizer.worst import worst_samples


@pytest.fixture
def evaluation():
    """Of each sample, the largest of four numbers is its class; in the 12th and 17th it is a close call."""
    rows = np.tile(np.eye(4, dtype=np.float32) * 10, (5, 1))
    rows[12] = rows[17] = [1.0, 0.9, 0, 0]
    return [Sample({"x": row[np.newaxis]}) for row in rows]


def session(make, first):
    weight = np.diag(np.array([first, 1, 1, 1], np.float32))
    return optimised_session(
        make("g (float[n, 4] x) => (float[n, 4] y) { y = MatMul (x, w) }", w=weight).SerializeToString()
    )


def found(make, evaluation, metric, first):
    judge, model = Judge(metric, session(make, 1.0), ["y"], 0), session(make, first)
    verification = evaluation[10:][::-1]
    compared = judge.compare(model, verification)
    places = {id(sample): place for place, sample in enumerate(evaluation)}
    return worst_samples(judge, model, verification, compared, places)


def test_they_are_named_by_their_places_in_the_users_data(make, evaluation):
    worst = found(make, evaluation, find_metric("agreement"), 0.5)
    assert [(one.place, one.before, one.after) for one in worst] == [(12, 1, 0), (17, 1, 0)]
    assert worst[0].difference == pytest.approx(0.5)


def test_there_are_none_where_nothing_changed(make, evaluation):
    assert found(make, evaluation, find_metric("agreement"), 1.0) == []


@pytest.mark.parametrize(
    "metric",
    [find_metric("retrieval-top1"), FunctionMetric("mine:score", lambda outputs, labels: 0.5)],
    ids=["retrieval", "function"],
)
def test_a_metric_of_many_samples_has_no_figure_for_one(make, evaluation, metric):
    worst = found(make, evaluation, metric, 0.9)
    assert 0 < len(worst) <= 5
    assert {one.before for one in worst} == {None}
    assert worst[0].difference > 0
