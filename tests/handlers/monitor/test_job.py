"""Runs over captures and labels, as the schedule starts them."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from bundle.manifest import Metric
from handlers.monitor import app
from handlers.monitor.scope import Scope
from handlers.monitor.store import PAGE, STATE, Moved, Store
from monitoring.baseline import encode
from monitoring.build import build
from monitoring.deviation import measure
from tests.handlers.monitor.world import CAPTURES, NAME, NOON, World, answers, draw


def raised(line: dict[str, Any]) -> dict[str, float]:
    """The metrics of a line, by which alarms go."""
    (directive,) = line["_aws"]["CloudWatchMetrics"] if "_aws" in line else [{"Metrics": []}]
    return {metric["Name"]: line[metric["Name"]] for metric in directive["Metrics"]}


def test_clean_requests_are_right(world: World) -> None:
    world.push()
    world.put(world.lines(draw(world.rng, 1000)))
    (line,) = world.run()
    status = world.status()
    assert (line["Captures"], world.trouble) == (1000, "")
    assert "_aws" not in line  # no metric, which would cost, while all is well
    assert (status.right, status.alarms, status.requests) == (True, [], 1000)
    assert status.sentence.startswith("Yes: 1,000 requests since 2026-11-29")
    assert b"Yes: 1,000 requests" in world.read(PAGE)


def test_a_run_that_finds_nothing_new_puts_nothing_and_is_told_once_an_hour(world: World) -> None:
    world.push()
    world.put(world.lines(draw(world.rng, 100)))
    world.run()
    kinds: list[str] = []
    world.client.meta.events.register("before-call.s3", lambda model, **_: kinds.append(model.name))
    world.run(pass_s=1800)
    assert set(kinds) <= {"ListObjectsV2", "GetObject"}
    assert kinds.count("ListObjectsV2") <= 3
    assert world.status().updated == NOON + 300
    world.run(pass_s=1800)
    assert world.status().updated == world.now


def test_a_unit_change_is_named_with_its_requests(world: World) -> None:
    world.push()
    clean, wrong = draw(world.rng, 500), draw(world.rng, 300)
    wrong[:, 1] *= 25
    world.put(world.lines(clean))
    world.run()
    world.put(world.lines(wrong, prefix="wrong"))
    (line,) = world.run()
    status = world.status()
    assert (raised(line), status.right, status.alarms) == ({"DriftAlarm": 1}, False, ["drift"])
    assert status.changes[0].feature == "x[1]"
    assert "x[1] is wider since 2026-11-29 12:0" in status.sentence
    assert status.examples
    assert all(example.id.startswith("wrong-") for example in status.examples)
    page = world.read(PAGE).decode()
    assert status.examples[0].id in page
    assert sum(status.changes[0].bars.now) == pytest.approx(1, abs=0.05)


def test_nothing_is_known_before_the_first_request(world: World) -> None:
    world.push()
    (line,) = world.run()
    assert world.status().right is None
    assert "Captures" in line
    assert world.status().sentence == "Unknown: no request was captured yet."


def test_every_object_counts_once_however_it_comes(world: World) -> None:
    world.push()
    lines = world.lines(draw(world.rng, 400))
    world.put(lines[:100], name="b")
    world.run()
    world.put(lines[100:200], name="a")  # before the last one by its name
    world.put(lines[200:300], hour=world.now - 3 * 3600)  # hours late
    world.put(lines[:100], name="c")  # delivered twice
    world.run()
    world.run()
    world.put([lines[300][:50], *lines[300:]])  # cut in half, and then whole
    (line,) = world.run()
    status = world.status()
    assert status.requests == 400
    assert (status.counts["duplicated"], status.counts["damaged"]) == (100, 1)
    assert (line["Captures"], line["CapturesUnreadable"]) == (100, 1)


def test_of_two_runs_at_once_one_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.push()
    world.put(world.lines(draw(world.rng, 200)))
    save, inner = Store.save, []

    def overtaken(self, digest, data, before):
        if not inner:
            inner.append(None)
            inner[:] = world.run(pass_s=0)
        return save(self, digest, data, before)

    monkeypatch.setattr(Store, "save", overtaken)
    (line,) = world.run()
    assert inner[0]["Captures"] == 200
    assert line["note"] == "another run was quicker"
    assert world.status().requests == 200
    world.put(world.lines(draw(world.rng, 50), prefix="more"))
    world.run()
    assert world.status().requests == 250


@pytest.mark.parametrize("place", ["chunks", "save", "put"])
def test_a_run_that_is_killed_counts_nothing_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    world.push()
    for part in range(4):
        world.put(world.lines(draw(world.rng, 100), prefix=f"part{part}"))
    whole, calls = getattr(Store, place), []

    def killed(self, *arguments):
        calls.append(arguments)
        if len(calls) == (3 if place == "chunks" else 1):
            raise KeyboardInterrupt
        return whole(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Store, place, killed)
        with pytest.raises(KeyboardInterrupt):
            world.run()
    world.run()
    status = world.status()
    assert status.requests == status.counts["read"] == 400
    assert "duplicated" not in status.counts


def test_a_run_stops_in_time_and_the_next_one_goes_on(world: World) -> None:
    world.push()
    for part in range(3):
        world.put(world.lines(draw(world.rng, 100), prefix=f"part{part}"), hour=world.now - 20 * part * 3600)
    world.run(seconds=-1.0)
    assert world.status().requests == 0
    world.run(pass_s=40 * 3600)  # later than what is looked for anew, but these were seen waiting
    world.run()
    assert world.status().requests == 200  # what was more than a day old at the beginning is not looked for


def test_another_version_begins_anew_and_the_one_before_is_watched_meanwhile(world: World) -> None:
    before = world.push("1")
    world.put(world.lines(draw(world.rng, 300)))
    world.run()
    after = world.push("2")
    assert after != before
    x = draw(world.rng, 100)
    world.put([*world.lines(x[:60], prefix="old", digest=before), *world.lines(x[60:], prefix="new")])
    lines = world.run()
    assert [(line["Version"], line["Captures"]) for line in lines] == [("2", 40), ("1", 60)]
    assert (world.status(after).requests, world.status(before).requests) == (40, 360)
    assert [other.digest for other in world.status(after).versions] == [before]
    world.now += 2 * 3600
    world.put(world.lines(draw(world.rng, 10), prefix="late"))
    assert [line["Version"] for line in world.run()] == ["2"]


def test_labels_say_how_often_it_is_right(world: World) -> None:
    world.push()
    x = draw(world.rng, 900)
    truth = answers(x).argmax(axis=1)
    truth[::10] = (truth[::10] + 1) % 3  # nine tenths are right, as was verified
    world.put(world.lines(x))
    world.run()
    world.label({f"r-{number}": int(truth[number]) for number in range(600)})
    (line,) = world.run()
    assert (line["Labels"], line["Accuracy"], raised(line)) == (600, pytest.approx(0.9), {})
    assert world.status().quality.lately == pytest.approx(0.9, abs=0.01)
    world.label({f"r-{number}": int(truth[number]) for number in range(500, 600)} | {"nobody": 1})
    (line,) = world.run()
    assert "Labels" not in line
    assert world.status().right is True


def test_worse_answers_raise_the_quality_alarm(world: World) -> None:
    world.push()
    x = draw(world.rng, 500)
    # Labels may come before their requests.
    world.label(
        {f"r-{number}": int(wrong) for number, wrong in enumerate((answers(x).argmax(axis=1) + 1) % 3)}
    )
    world.run()
    world.put(world.lines(x))
    (line,) = world.run()
    status = world.status()
    assert (raised(line), line["Accuracy"], status.alarms) == ({"QualityAlarm": 1}, 0, ["quality"])
    # An alarm that stands is told by each run, also by those that find nothing new.
    assert [raised(line) for line in world.run()] == [{"QualityAlarm": 1}]
    assert status.sentence.startswith("No: 0.0% of the labelled requests are right lately, and 90.0% should")


RMSE = Metric(name="rmse", before=-0.1, after=-0.1, drop=0.0, interval=(0.0, 0.0), bound=0.01, samples=1000)


def push_with_errors(world: World, metric: Metric, errors: np.ndarray) -> None:
    """The first class's probability is a number, or the second one's score, that labels say more of."""
    x = draw(np.random.default_rng(0), 2000)
    known = measure("p", metric.name, errors.tolist())
    baseline = msgspec.structs.replace(build({"x": x}, {"p": answers(x)[:, :1]}), deviation=known)
    world.push(metric=metric, baseline=encode(baseline))


def label_numbers(world: World, x: np.ndarray, wrong: np.ndarray, prefix: str) -> None:
    p = answers(x)[:, :1]
    world.put(world.lines(x, p, prefix=prefix))
    world.label({f"{prefix}-{number}": float(p[number, 0] + wrong[number]) for number in range(len(x))})


def test_numbers_are_judged_by_how_near_they_are_to_their_labels(world: World) -> None:
    errors = np.abs(world.rng.normal(scale=0.1, size=1000))
    push_with_errors(world, RMSE, errors)
    label_numbers(world, draw(world.rng, 400), world.rng.normal(scale=0.1, size=400), "near")
    (line,) = world.run()
    status = world.status()
    assert (line["Labels"], status.right) == (400, True)
    assert status.quality.lately == pytest.approx(0.5, abs=0.06)
    assert status.metric.lately == pytest.approx(0.1, abs=0.02)
    label_numbers(world, draw(world.rng, 600), world.rng.normal(scale=0.16, size=600), "far")
    world.run()
    status = world.status()
    assert status.alarms == ["quality"]
    assert "of the labelled requests are nearer to the label than verified ones lately, and 50.0%" in (
        status.sentence
    )
    assert "(rmse 0.1" in status.sentence
    assert "nearer to the label than verified ones" in world.read(PAGE).decode()
    world.put(world.lines(draw(world.rng, 1), answers(draw(world.rng, 1))[:, :1], prefix="odd"))
    world.label({"odd-0": "far away"})
    world.run()
    assert world.status().counts["wrong labels"] == 1


def test_scores_of_two_classes_are_judged_by_what_they_gave_the_label(world: World) -> None:
    metric = msgspec.structs.replace(RMSE, name="log-loss", after=-0.5)
    x = draw(np.random.default_rng(1), 2000)
    score = answers(x)[:, 0]
    truth = np.random.default_rng(2).random(2000) < score
    push_with_errors(world, metric, np.abs(score - truth)[:1000])
    world.put(world.lines(x[1000:], score[1000:, None]))
    world.label({f"r-{n}": int(truth[1000 + n]) for n in range(500)})
    world.run()
    assert (world.status().right, world.status().metric.name) == (True, "log-loss")
    world.label({f"r-{n}": int(not truth[1000 + n]) for n in range(500, 1000)})
    world.run()
    assert world.status().alarms == ["quality"]


def test_numbers_without_verified_errors_are_not_judged_and_that_is_said(world: World) -> None:
    world.push(metric=RMSE)
    world.put(world.lines(draw(world.rng, 50)))
    world.label({f"r-{number}": 0.5 for number in range(50)})
    world.run()
    assert "press the model with labels beside its evaluation data" in world.status().quality.unknown


def test_requests_of_which_some_outputs_were_asked_are_used_for_what_they_have(world: World) -> None:
    x = draw(np.random.default_rng(0), 2000)
    outputs = {"p": answers(x), "sum": x.sum(axis=1, keepdims=True)}
    world.push(baseline=encode(build({"x": x}, outputs)))
    clean, wrong = draw(world.rng, 400), draw(world.rng, 100)
    world.put(world.lines(clean))  # without the sum
    truth = answers(clean).argmax(axis=1)
    world.label({f"r-{number}": int(truth[number]) for number in range(400)})
    (line,) = world.run()
    status = world.status()
    assert (line["Captures"], line["Labels"], status.right) == (400, 400, True)
    assert (status.counts["partial"], "misfit" in status.counts, status.findings) == (400, False, [])
    wrong[:, 1] *= 25
    world.put(world.lines(wrong, prefix="wrong"))
    world.run()
    assert world.status().changes[0].feature == "x[1]"
    assert b"not all outputs were asked" in world.read(PAGE)


AGREES = Metric(
    name="agreement", before=1.0, after=0.999, drop=0.001, interval=(0.0, 0.0), bound=0.01, samples=2000
)


def test_the_original_is_asked_as_well(world: World) -> None:
    world.push(original=True, metric=AGREES)
    x = draw(world.rng, 400)
    world.put(world.lines(x))
    (line,) = world.run(agreement_share=0.5)
    assert 150 < line["Replayed"] < 250
    assert (line["Agreement"], raised(line)) == (1, {})
    world.put(world.lines(x, answers(x, -np.eye(4, 3)), prefix="other"))
    (line,) = world.run(agreement_share=0.5)
    assert raised(line)["AgreementAlarm"] == 1
    assert "agreement" in world.status().alarms
    assert "agree with the original model lately" in world.status().sentence


def test_without_the_original_agreement_is_unknown(world: World) -> None:
    world.push(metric=AGREES)
    world.put(world.lines(draw(world.rng, 100)))
    (line,) = world.run(agreement_share=1.0)
    assert "Agreement" not in line
    assert "push BUNDLE --original" in world.status().agreement.unknown
    assert world.status().right is True


def test_another_file_in_the_originals_place_is_refused(world: World) -> None:
    world.push(original=True, metric=AGREES)
    listed = world.client.list_objects_v2(Bucket="registry", Prefix=f"models/{NAME}/originals/")
    world.client.put_object(Bucket="registry", Key=listed["Contents"][0]["Key"], Body=b"other")
    world.put(world.lines(draw(world.rng, 100)))
    world.run(agreement_share=1.0)
    assert "it is not the model that was pressed" in world.status().agreement.unknown


def redact(line: bytes) -> bytes:
    """As capture does where ``x[1]`` and all of ``p`` are redacted."""
    record = json.loads(line)
    record["inputs"][0] |= {
        "redacted": [1],
        "data": [None if i == 1 else v for i, v in enumerate(record["inputs"][0]["data"])],
    }
    record["outputs"][0] |= {"redacted": True, "data": None}
    return json.dumps(record).encode()


def test_what_is_redacted_is_no_drift_and_the_rest_is_watched(world: World) -> None:
    world.push(original=True)
    scope = Scope(redacted=("x[1]", "p"))
    world.put([redact(line) for line in world.lines(draw(world.rng, 600))])
    (line,) = world.run(scope=scope, agreement_share=1.0)
    status = world.status()
    assert (raised(line), status.right, status.findings) == ({}, True, [])
    assert "redacted" in status.agreement.unknown
    assert status.quality.unknown == "the model predicts no classes"
    wrong = draw(world.rng, 200)
    wrong[:, 2] += 4
    world.put([redact(line) for line in world.lines(wrong, prefix="wrong")])
    (line,) = world.run(scope=scope)
    assert (raised(line), world.status().changes[0].feature) == ({"DriftAlarm": 1}, "x[2]")


@pytest.mark.parametrize(("side", "other"), [("inputs", "outputs"), ("outputs", "inputs")])
def test_one_side_alone_is_watched(world: World, side: str, other: str) -> None:
    world.push(original=True)
    scope = Scope(sides=(side,))

    def kept(lines: list[bytes]) -> list[bytes]:
        return [
            json.dumps({k: v for k, v in json.loads(line).items() if k != other}).encode() for line in lines
        ]

    world.put(kept(world.lines(draw(world.rng, 400))))
    (line,) = world.run(scope=scope, agreement_share=1.0)
    assert (line["Captures"], raised(line)) == (400, {})
    assert world.status().agreement.unknown == "inputs and answers are not both kept"
    world.put(kept(world.lines(draw(world.rng, 300) + 4, prefix="wrong")))
    (line,) = world.run(scope=scope)
    assert (line.get("CapturesUnreadable", 0), raised(line)) == (0, {"DriftAlarm": 1})
    # All is kept from now on: that is another baseline, and watching begins anew.
    world.put(world.lines(draw(world.rng, 100), prefix="whole"))
    (line,) = world.run()
    assert (raised(line), world.status().requests) == ({}, 100)


def test_where_all_is_redacted_nothing_is_watched_and_that_is_said(world: World) -> None:
    world.push()
    (line,) = world.run(scope=Scope(redacted=("x", "p")))
    assert "nothing that could be watched is kept" in line["Problem"]
    assert world.trouble == line["Problem"]


def test_silence_is_told_and_over_with_the_next_request(world: World) -> None:
    world.push()
    world.put(world.lines(draw(world.rng, 500)))
    world.run(pass_s=6 * 3600)
    assert not world.trouble  # who knows what is usual here?
    for day in range(1, 9):
        world.put(world.lines(draw(world.rng, 200), prefix=f"day{day}", at=NOON + 3600 - day * 86_400))
    world.run()
    assert world.trouble == "no requests come, when many should"
    assert "no request has come since 2026-11-29 12:00 UTC" in world.status().sentence
    world.put(world.lines(draw(world.rng, 10), prefix="again"))
    world.run(pass_s=60)
    assert not world.trouble


def test_nothing_captured_is_in_the_log(world: World) -> None:
    world.push()
    x = draw(world.rng, 50)
    world.put([*world.lines(x, prefix="planted-secret"), b'{"schema": 1, "inference_id": "planted-secret'])
    assert "planted" not in str(world.run())


def test_a_bundle_without_a_baseline_is_said_to_be_one(world: World) -> None:
    digest = world.push()
    world.client.put_object(Bucket="registry", Key=f"models/{NAME}/{digest}/baseline.json", Body=b"{}")
    (line,) = world.run()
    assert (world.trouble, "is not what was pushed" in line["Problem"]) == (line["Problem"], True)
    assert world.status().sentence.startswith("Unknown: baseline.json of")


def test_a_state_that_is_damaged_is_said_to_be(world: World) -> None:
    world.push()
    world.run()
    key = f"monitor/model={NAME}/{world.settings.digest}/{STATE}"
    world.client.put_object(Bucket=CAPTURES, Key=key, Body=b"no state")
    (line,) = world.run()
    assert (world.trouble, "--begin-anew" in line["Problem"]) == (line["Problem"], True)


def test_a_state_is_saved_in_place_of_the_one_that_was_read_only(world: World) -> None:
    store = Store(world.client, CAPTURES, NAME)
    first = store.save("d", b"1", None)
    with pytest.raises(Moved):
        store.save("d", b"2", None)
    second = store.save("d", b"2", first)
    with pytest.raises(Moved):
        store.save("d", b"3", first)
    assert store.load("d") == second


def test_lambda_s_entry_runs_at_the_schedule_s_time_and_says_when_it_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.push()
    world.put(world.lines(draw(world.rng, 20), prefix="planted-secret"))
    settings = world.settings
    for name, value in {
        "COLDPRESS_MODEL": NAME,
        "COLDPRESS_VERSION": settings.version,
        "COLDPRESS_DIGEST": settings.digest,
        "COLDPRESS_BUCKET": settings.registry,
        "COLDPRESS_CAPTURES": settings.captures,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(app, "_client", lambda: world.client)
    app.handler({"time": "2026-11-29T12:05:00Z"}, None)
    assert json.loads(capsys.readouterr().out)["Captures"] == 20
    assert world.status().updated == NOON + 300

    def fail(self: Store, key: str) -> Iterator[bytes]:
        raise KeyError("planted-secret")

    world.put(world.lines(draw(world.rng, 20)))
    monkeypatch.setattr(Store, "chunks", fail)
    with pytest.raises(app.RunFailed, match=r"^KeyError at ") as error:
        app.handler({}, None)
    said = capsys.readouterr().out
    assert json.loads(said)["Problem"] == str(error.value)
    assert "planted" not in said + str(error.value)
    # What a run finds to be in trouble fails as well: Lambda's count of failures is what the alarm watches.
    monkeypatch.setenv("COLDPRESS_CAPTURE_REDACT", '["x", "p"]')
    with pytest.raises(app.RunFailed, match="nothing that could be watched is kept"):
        app.handler({}, None)
