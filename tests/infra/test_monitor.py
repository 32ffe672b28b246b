"""The scheduled monitor, what it may do, and its alarms, read from the template."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from coldpress.prices import prices_of
from infra.config import InvalidConfig
from infra.stages import load_stages
from monitoring import cost
from tests.infra.test_batch import statements

DIGEST = "0123456789abcdef" * 4
WATCHED = {"digest": DIGEST, "version": 3, "capture": {"rate": 0.1}}
STAGE = {
    "models": {
        "ocr": {
            **WATCHED,
            "monitor": {"every_minutes": 10, "quality": {"max_drop": 0.03}, "roll_back": True},
            "rollout": {"type": "canary", "minutes": 40},
        },
        "layout": {**WATCHED, "monitor": {}},
        "plain": WATCHED,
    },
    "alarms": {"email": "on-call@example.com"},
}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
ROLE = "reads bundles, captures and labels of ocr, writes its state"
FIGURES = {
    "DriftEvidence",
    "Accuracy",
    "Agreement",
    "Captures",
    "CapturesUnreadable",
    "Labels",
    "Replayed",
    "Problem",
}
Synthesise = Callable[..., Any]


@pytest.fixture(scope="module")
def template(synthesise: Synthesise) -> Any:
    return synthesise(STAGE).stack("coldpress-dev")


def function_of(template: Any, model: str) -> tuple[str, dict[str, Any]]:
    (found,) = [
        (name, body["Properties"])
        for name, body in template.all("AWS::Lambda::Function").items()
        if body["Properties"].get("Description") == f"coldpress: whether the model {model} is still right"
    ]
    return found


def test_the_function_knows_what_it_watches_and_is_invoked_on_schedule(template: Any) -> None:
    name, function = function_of(template, "ocr")
    variables = function["Environment"]["Variables"]
    (bucket,) = template.all("AWS::S3::Bucket")
    assert variables["COLDPRESS_CAPTURES"] == {"Ref": bucket}
    assert variables["COLDPRESS_CAPTURE_RATE"] == "0.1"
    assert (variables["COLDPRESS_VERSION"], variables["COLDPRESS_DIGEST"]) == ("3", DIGEST)
    assert (variables["COLDPRESS_AGREEMENT_SHARE"], variables["COLDPRESS_MAX_DROP"]) == ("0.1", "0.03")
    assert function["ImageConfig"]["Command"] == ["handlers.monitor.app.handler"]
    rules = {
        body["Properties"]["Targets"][0]["Arn"]["Fn::GetAtt"][0]: body["Properties"]["ScheduleExpression"]
        for body in template.all("AWS::Events::Rule").values()
    }
    assert rules == {name: "rate(10 minutes)", function_of(template, "layout")[0]: "rate(30 minutes)"}


def test_nothing_watches_unasked(template: Any) -> None:
    alarms = [
        body["Properties"].get("AlarmName", "") for body in template.all("AWS::CloudWatch::Alarm").values()
    ]
    assert not [name for name in alarms if "-plain-" in str(name)]


def test_it_may_read_its_model_and_write_its_state_and_nothing_else(template: Any) -> None:
    found = statements(template, ROLE)
    below = {(action, place.partition("/")[2]) for action, place in found if "/" in place}
    assert below == {
        ("s3:GetObject", "models/ocr/*"),
        ("s3:GetObject", "captures/model=ocr/*"),
        ("s3:GetObject", "labels/model=ocr/*"),
        ("s3:GetObject", "monitor/model=ocr/*"),
        ("s3:PutObject", "monitor/model=ocr/*"),
    }
    whole = {action for action, place in found if "/" not in place}
    assert whole == {"s3:ListBucket", "logs:CreateLogStream", "logs:PutLogEvents"}
    role = next(
        name
        for name, body in template.all("AWS::IAM::Role").items()
        if ROLE in body["Properties"].get("Description", "")
    )
    (listing,) = [one for one in template.rights(role) if one["Action"] == "s3:ListBucket"]
    prefixes = listing["Condition"]["StringLike"]["s3:prefix"]
    assert prefixes == ["captures/model=ocr/*", "labels/model=ocr/*", "monitor/model=ocr/*"]


def test_the_alarms_are_named_and_tell_the_topic(template: Any) -> None:
    (topic,) = template.all("AWS::SNS::Topic")
    alarms = {
        body["Properties"]["AlarmName"]: body["Properties"]
        for body in template.all("AWS::CloudWatch::Alarm").values()
        if str(body["Properties"].get("AlarmName")).startswith("coldpress-dev-ocr-")
    }
    assert {name.rpartition("-")[2]: alarm["MetricName"] for name, alarm in alarms.items()} == {
        "drift": "DriftAlarm",
        "quality": "QualityAlarm",
        "agreement": "AgreementAlarm",
        "silent": "Errors",
    }
    for alarm in alarms.values():
        assert alarm["AlarmActions"] == [{"Ref": topic}]
        assert alarm["OKActions"] == [{"Ref": topic}]
        assert alarm["Threshold"] == 1
        # Metrics are sent while something is wrong; Lambda tells of every run.
        wanted = ("ignore", 60) if alarm["MetricName"] == "Errors" else ("notBreaching", 3 * 10 * 60)
        assert (alarm["TreatMissingData"], alarm["Period"]) == wanted
    dimensions = {entry["Name"]: entry["Value"] for entry in alarms["coldpress-dev-ocr-drift"]["Dimensions"]}
    assert dimensions == {"Model": "ocr", "Version": "3"}
    name, _ = function_of(template, "ocr")
    assert alarms["coldpress-dev-ocr-silent"]["Dimensions"] == [
        {"Name": "FunctionName", "Value": {"Ref": name}}
    ]


def test_quality_and_agreement_end_a_rollout_where_they_may(template: Any) -> None:
    counts = {}
    for body in template.all("AWS::CodeDeploy::DeploymentGroup").values():
        alarms = body["Properties"]["AlarmConfiguration"]["Alarms"]
        ids = [alarm["Name"]["Ref"] for alarm in alarms]
        metrics = {template.content["Resources"][one]["Properties"]["MetricName"] for one in ids}
        counts[frozenset(metrics)] = len(ids)
        assert len(ids) <= 10
    usual = frozenset({"Errors", "Duration"})
    assert counts == {usual: 3, usual | {"QualityAlarm", "AgreementAlarm"}: 5}


def test_the_alias_moves_only_when_the_monitor_knows_the_new_version(template: Any) -> None:
    name, _ = function_of(template, "ocr")
    waiting = [
        body["DependsOn"] for body in template.all("AWS::Lambda::Alias").values() if "DependsOn" in body
    ]
    assert [names for names in waiting if name in names]


def test_a_key_encrypts_what_it_writes(synthesise: Synthesise) -> None:
    template = synthesise({**STAGE, "kms_key_arn": KEY}).stack("coldpress-dev")
    found = statements(template, ROLE)
    assert {action for action, place in found if place == KEY} == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_what_it_knows_goes_with_the_captures(template: Any) -> None:
    (body,) = template.all("AWS::S3::Bucket").values()
    rules = body["Properties"]["LifecycleConfiguration"]["Rules"]
    kept = {rule.get("Prefix"): rule.get("ExpirationInDays") for rule in rules}
    assert kept["monitor/model=ocr/"] == kept["captures/model=ocr/"] == 30


def test_the_dashboard_reads_the_monitors_figures_from_its_log(template: Any) -> None:
    (body,) = template.all("AWS::CloudWatch::Dashboard").values()
    parts = body["Properties"]["DashboardBody"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else str(part.get("Ref", "token")) for part in parts)
    widgets = [one["properties"] for one in json.loads(text)["widgets"]]
    titles = [one.get("title") for one in widgets]
    assert titles.count("Evidence of drift of version 3 (1 is an alarm)") == 2
    assert titles.count("Requests, by version") == 2
    assert titles.count("Lambda's cost of 1,000 requests on demand (USD)") == 2
    queries = [one["query"] for one in widgets if "query" in one]
    (logs,) = [name for name in template.all("AWS::Logs::LogGroup") if name.startswith("MonitorLogs")]
    assert len(queries) == 6
    assert all(query.startswith(f"SOURCE '{logs}' | filter Model = '") for query in queries)
    # A field that no line has would be a widget without a curve.
    shown = {name for query in queries for name in re.findall(r"\((\w+)[ )*]", query)}
    assert shown <= {*FIGURES, "timestamp", "30m"}
    assert {"DriftEvidence", "Accuracy", "Agreement", "Captures"} <= shown


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"monitor": {"every_minutes": 0}},
            "monitor.every_minutes is 0, but it takes whole minutes from 1 to 60.",
        ),
        (
            {"monitor": {"quality": {"max_drop": 1}}},
            "monitor.quality.max_drop is 1, but it takes a share from 0 up to below 1.",
        ),
        ({"monitor": True}, 'monitor is true, but it takes how often it looks: {"every_minutes": 30}.'),
        (
            {"capture": None, "monitor": {}},
            'monitor looks at captured requests, and none are kept: write "capture": {} beside it.',
        ),
        (
            {"monitor": {"roll_back": True}},
            "monitor.roll_back sees a new version's requests after 36 minutes, when the rollout is over: "
            'write "every_minutes": 5 there and "rollout": {"type": "canary", "minutes": 22} beside monitor, '
            "or take it out.",
        ),
    ],
)
def test_a_wrong_setting_gets_a_sentence(change: dict[str, Any], sentence: str) -> None:
    stage = {"model": {"name": "ocr", "digest": DIGEST}, "capture": {}, **change}
    with pytest.raises(InvalidConfig) as error:
        load_stages({"coldpress": {"dev": {key: value for key, value in stage.items() if value is not None}}})
    assert str(error.value) == f"cdk.json: coldpress.dev.{sentence}"


def test_synthesis_says_what_watching_costs(
    synthesise: Synthesise, capsys: pytest.CaptureFixture[str]
) -> None:
    synthesise({"model": {"name": "costly", "digest": DIGEST}, "capture": {}, "monitor": {}})
    told = capsys.readouterr().err
    assert "Watching costly of the stage dev costs 0.50 USD a month" in told


def test_it_reckons_with_the_prices_of_the_table_and_the_alarms_of_the_template(template: Any) -> None:
    prices = prices_of("us-east-1")
    assert (
        cost.Rates(
            request=prices.lambda_request.of(1),
            gb_second=prices.lambda_x86_64.of(1),
            alarm=prices.alarm.of(1),
            put=prices.s3_put.of(1),
            get=prices.s3_get.of(1),
        )
        == cost.US_EAST_1
    )
    names = [
        str(body["Properties"].get("AlarmName")) for body in template.all("AWS::CloudWatch::Alarm").values()
    ]
    assert sum(name.startswith("coldpress-dev-layout-") for name in names) == cost.ALARMS
