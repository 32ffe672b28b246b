import msgspec
import numpy as np
import pytest

from monitoring.baseline import decode, encode
from monitoring.build import build
from monitoring.checks import findings
from monitoring.confidence import estimate
from monitoring.explain import explain
from monitoring.features import SchemaMismatch
from monitoring.monitor import Monitor
from monitoring.view import view
from tests.monitoring.subjects import SUBJECTS, some, table

LARGEST = 350_000


@pytest.fixture(scope="module")
def baseline():
    return build(*table(np.random.default_rng(0), 2000))


@pytest.mark.parametrize("draw", SUBJECTS.values(), ids=SUBJECTS)
def test_clean_requests_of_every_kind_raise_no_alarm(draw):
    rng = np.random.default_rng(0)
    monitor = Monitor(decode(encode(build(*draw(rng, 300)))))
    for _ in range(4):
        monitor.update(*draw(rng, 150))
    assert monitor.alarm is None
    assert monitor.evidence.max() < 0.1
    assert len(monitor.encode()) < LARGEST
    assert monitor.state.evidence.count == 600


def test_it_goes_on_from_its_state_as_if_it_had_never_stopped(baseline):
    rng = np.random.default_rng(1)
    inputs, outputs = table(rng, 500)
    whole = Monitor(baseline)
    parts = Monitor(baseline)
    for start in range(0, 500, 100):
        chosen = slice(start, start + 100)
        whole.update(some(inputs, chosen), some(outputs, chosen))
        parts = Monitor(decode(encode(baseline)), parts.encode())
        parts.update(some(inputs, chosen), some(outputs, chosen))
    assert parts.encode() == whole.encode()


def test_the_largest_state_is_bounded():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 96)).astype(np.float32)
    more = {f"column{i}": rng.normal(size=(400, 1)).astype(np.float32) for i in range(100)}
    monitor = Monitor(build({"x": x, **more}, {"p": rng.random((400, 90)).astype(np.float32)}))
    x = rng.normal(size=(600, 96)).astype(np.float32)
    more = {f"column{i}": rng.normal(size=(600, 1)).astype(np.float32) for i in range(100)}
    monitor.update({"x": x, **more}, {"p": rng.random((600, 90)).astype(np.float32)})
    assert len(monitor.encode()) < LARGEST


def test_another_baselines_state_and_damaged_ones_are_refused(baseline):
    state = Monitor(baseline).encode()
    other = build(*table(np.random.default_rng(5), 200))
    with pytest.raises(msgspec.ValidationError, match="another baseline"):
        Monitor(other, state)
    with pytest.raises(msgspec.ValidationError, match="damaged"):
        Monitor(baseline, state[: len(state) // 2])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda i, o: ({**i, "x": i["x"][:, :3]}, o),
            r"'x' has requests of shape \[3\], but the baseline's are \[5\]",
        ),
        (lambda i, o: ({"x": i["x"]}, o), "no 'kind' among their inputs"),
        (lambda i, o: ({**i, "kind": i["rooms"]}, o), "'kind' is numbers, but string"),
        (lambda i, o: (i, {**o, "label": o["label"][:5]}), "not of the same number"),
    ],
)
def test_requests_of_another_schema_are_refused_and_not_counted(baseline, change, says):
    monitor = Monitor(baseline)
    before = monitor.encode()
    with pytest.raises(SchemaMismatch, match=says):
        monitor.update(*change(*table(np.random.default_rng(0), 20)))
    assert monitor.encode() == before


def drift(name, inputs):
    x = inputs["x"].copy()
    if name == "higher":
        x[:, 1] += 2
    elif name == "against the others":
        x[:, 2] = x[:, 2] * 0.5
    elif name == "missing":
        x[::2, 0] = np.nan
    elif name == "wild":
        x[:, 3] = np.inf
    kind = inputs["kind"]
    if name == "new category":
        kind = np.where(np.arange(len(kind))[:, None] % 3 == 0, "violet", kind).astype(object)
    return {**inputs, "x": x, "kind": kind}


@pytest.mark.parametrize(
    ("name", "feature", "direction"),
    [
        ("higher", "x[1]", "higher"),
        ("against the others", "x[2]", None),
        ("missing", "x[0]", "missing"),
        ("wild", "x[3]", "higher"),
        ("new category", "kind", "more of new ones"),
    ],
)
def test_what_moved_is_named_with_its_direction_its_beginning_and_requests_that_show_it(
    baseline, name, feature, direction
):
    rng = np.random.default_rng(2)
    monitor = Monitor(baseline)
    monitor.update(*table(rng, 300))
    assert explain(monitor) == []
    inputs, outputs = table(rng, 300)
    inputs = drift(name, inputs)
    for start in range(0, 300, 10):
        monitor.update(some(inputs, slice(start, start + 10)), some(outputs, slice(start, start + 10)))
        if monitor.alarm is not None:
            break
    assert monitor.alarm is not None
    first = explain(monitor)[0]
    assert first.feature == feature
    assert direction in (None, first.direction)
    assert 290 <= first.since <= monitor.alarm.request
    assert first.examples
    assert all(first.since <= index < monitor.state.evidence.count for index in first.examples)


def test_the_estimate_without_labels_is_shown_only_while_no_alarm_stands():
    rng = np.random.default_rng(0)

    def draw(count):
        inputs, outputs = table(rng, count)
        right = rng.random(count) < outputs["p"].max(axis=1)
        return inputs, outputs, right

    inputs, outputs, right = draw(3000)
    monitor = Monitor(build(inputs, outputs, correct=right))
    inputs, outputs, right = draw(500)
    monitor.update(inputs, outputs)
    found = estimate(monitor.baseline, monitor.state.windows, alarm=monitor.alarm is not None)
    assert found == pytest.approx(right.mean(), abs=0.06)
    monitor.update({**inputs, "x": inputs["x"] * 100}, outputs)
    assert monitor.alarm is not None
    assert estimate(monitor.baseline, monitor.state.windows, alarm=True) is None


def day(rng, count, start):
    """Requests over time whose first column goes up by day and down by night."""
    times = np.sort(start + rng.random(count) * 86_400)
    inputs, outputs = table(rng, count)
    part = (times % 86_400) // 14_400
    x = inputs["x"].copy()
    x[:, 1] += 3 * np.sin(2 * np.pi * part / 6).astype(np.float32)
    return {**inputs, "x": x}, outputs, times


def test_a_daily_rhythm_is_no_drift_where_parts_of_the_day_are_told_apart():
    rng = np.random.default_rng(0)
    inputs, outputs, times = day(rng, 4000, 0)
    order = rng.permutation(4000)
    inputs, outputs, times = some(inputs, order), some(outputs, order), times[order]
    seasonal = Monitor(build(inputs, outputs, times=times, seasons="day"))
    blind = Monitor(build(inputs, outputs))
    for number in range(1, 4):
        *requests, moments = day(rng, 1500, number * 86_400)
        seasonal.update(*requests, times=moments)
        blind.update(*requests, times=moments)
    assert blind.alarm is not None
    assert seasonal.alarm is None
    # And what comes at the wrong time of the day is one.
    *requests, moments = day(rng, 1500, 4 * 86_400)
    seasonal.update(*requests, times=moments + 43_200)
    assert seasonal.alarm is not None
    assert len(seasonal.encode()) < LARGEST


def test_a_seasonal_baseline_asks_for_times():
    inputs, outputs = table(np.random.default_rng(0), 200)
    with pytest.raises(ValueError, match="times"):
        build(inputs, outputs, seasons="week")
    monitor = Monitor(build(inputs, outputs, times=np.arange(200.0), seasons="week"))
    with pytest.raises(ValueError, match="times"):
        monitor.update(inputs, outputs)


def test_of_requests_without_inputs_the_answers_are_watched():
    _, outputs = table(np.random.default_rng(0), 500)
    monitor = Monitor(build({}, outputs))
    monitor.update({}, table(np.random.default_rng(1), 300)[1])
    assert monitor.state.evidence.count == 300
    assert findings(view(monitor)) == []  # all inputs are alike, for there are none: that is no repetition


def without(outputs, name):
    return {other: rows for other, rows in outputs.items() if other != name}


def test_requests_that_asked_for_some_outputs_are_no_drift_and_change_nothing_of_the_others(baseline):
    rng = np.random.default_rng(3)
    whole, mixed = Monitor(baseline), Monitor(baseline)
    for number in range(12):
        inputs, outputs = table(rng, 100)
        mixed.update(inputs, outputs if number % 2 else without(outputs, "p"))
        if number % 2:
            whole.update(inputs, outputs)
    assert mixed.alarm is None
    assert findings(view(mixed)) == []
    assert mixed.evidence.max() < 0.1
    titles = [str(name) for name in baseline.names]
    of_p = [i for i, title in enumerate(titles) if title.startswith(("p[", "p:", "outputs", "label: given"))]
    assert len(of_p) > 6
    assert (mixed.state.evidence.seen[0, of_p] == 600).all()
    assert np.array_equal(mixed.state.evidence.urn[0, of_p], whole.state.evidence.urn[0, of_p])
    others = np.setdiff1d(np.arange(len(baseline.names)), of_p)
    assert (mixed.state.evidence.seen[0, others] == 1200).all()


def test_drift_is_found_in_what_requests_have(baseline):
    rng = np.random.default_rng(4)
    monitor = Monitor(baseline)
    inputs, outputs = table(rng, 200)
    monitor.update(inputs, without(outputs, "p"))
    inputs, outputs = table(rng, 200)
    inputs["x"][:, 1] *= 20
    monitor.update(inputs, without(outputs, "p"))
    assert monitor.alarm is not None
    assert explain(monitor)[0].feature == "x[1]"
    again = Monitor(baseline, monitor.encode())
    again.update(*table(rng, 50))
    assert explain(again)[0].feature == "x[1]"


def test_inputs_are_needed(baseline):
    inputs, outputs = table(np.random.default_rng(5), 5)
    with pytest.raises(SchemaMismatch, match="no 'x' among their inputs"):
        Monitor(baseline).update(without(inputs, "x"), outputs)
