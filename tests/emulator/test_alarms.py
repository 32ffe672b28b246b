"""Metrics and alarms over emulated time."""

import contextlib
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.cloudwatch.models import MetricDatum

from emulator import settings
from emulator.clients import client_at
from emulator.metrics import summarise


class Watched:
    """A metric, an alarm on it, and who is told."""

    def __init__(self, emulator, name):
        self.emulator = emulator
        self.name = name
        self.cloudwatch = client_at(emulator.url, "cloudwatch", settings.REGION)
        self.sqs = client_at(emulator.url, "sqs", settings.REGION)
        sns = client_at(emulator.url, "sns", settings.REGION)
        self.topic = sns.create_topic(Name=name)["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        sns.subscribe(
            TopicArn=self.topic,
            Protocol="sqs",
            Endpoint=f"arn:aws:sqs:{settings.REGION}:{settings.ACCOUNT}:{name}",
        )

    def alarm(self, **changes):
        settings_ = {
            "AlarmName": self.name,
            "Namespace": "Test",
            "MetricName": self.name,
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 5,
            "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": [self.topic],
        }
        settings_.update(changes)
        if "ExtendedStatistic" in changes:
            del settings_["Statistic"]
        self.cloudwatch.put_metric_alarm(**settings_)

    def minute(self, *values):
        """The state after a minute with these values in it; before and after, a minute has just begun."""
        moment = datetime.fromtimestamp(self.emulator.now(), UTC)
        data = [{"MetricName": self.name, "Value": value, "Timestamp": moment} for value in values]
        if data:
            self.cloudwatch.put_metric_data(Namespace="Test", MetricData=data)
        self.until_the_next_minute()
        return self.state

    def until_the_next_minute(self):
        self.emulator.advance(60 - self.emulator.now() % 60 + 0.01)

    @property
    def state(self):
        alarms = self.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"]
        return alarms[0]["StateValue"] if alarms else None

    @property
    def messages(self):
        received = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        bodies = [json.loads(message["Body"]) for message in received.get("Messages", [])]
        return [json.loads(body["Message"])["NewStateValue"] for body in bodies]


@pytest.fixture
def watched(emulator, request):
    made = Watched(emulator, "".join(c if c.isalnum() else "-" for c in request.node.name)[-60:])
    made.until_the_next_minute()
    return made


def test_an_alarm_rings_once_and_ends(watched):
    watched.alarm(TreatMissingData="notBreaching", OKActions=[watched.topic])
    assert watched.minute(2, 3) == "OK"
    assert watched.minute(2, 4) == "ALARM"
    assert watched.minute(9) == "ALARM"
    assert watched.minute() == "OK"
    assert watched.messages == ["ALARM", "OK"]


@pytest.mark.parametrize(
    ("treat", "state"),
    [("missing", "INSUFFICIENT_DATA"), ("notBreaching", "OK"), ("breaching", "ALARM"), ("ignore", "ALARM")],
)
def test_missing_data_is_treated_as_the_alarm_says(watched, treat, state):
    watched.alarm(TreatMissingData=treat)
    assert watched.minute(9) == "ALARM"
    assert watched.minute() == state


def test_it_takes_as_many_minutes_as_the_alarm_says(watched):
    watched.alarm(EvaluationPeriods=3, DatapointsToAlarm=2, TreatMissingData="notBreaching")
    assert [watched.minute(n) for n in (9, 1, 9, 1, 1)] == ["OK", "OK", "ALARM", "OK", "OK"]


def test_a_percentile(watched):
    watched.alarm(ExtendedStatistic="p90", ComparisonOperator="GreaterThanOrEqualToThreshold")
    assert watched.minute(*[1] * 19, 100) == "OK"
    assert watched.minute(*[1] * 7, 100, 100, 100) == "ALARM"


def test_a_state_that_is_set_is_told_and_ends_with_the_minute(watched):
    watched.alarm(TreatMissingData="notBreaching")
    watched.cloudwatch.set_alarm_state(AlarmName=watched.name, StateValue="ALARM", StateReason="a test")
    assert watched.state == "ALARM"
    assert watched.messages == ["ALARM"]
    assert watched.minute() == "OK"


def test_get_metric_data_knows_percentiles_and_namespaces(watched):
    watched.minute(1, 2, 3, 4, 5)
    watched.cloudwatch.put_metric_data(
        Namespace="Another", MetricData=[{"MetricName": watched.name, "Value": 99}]
    )
    now = datetime.fromtimestamp(watched.emulator.now(), UTC)
    metric = {"Namespace": "Test", "MetricName": watched.name}
    answer = watched.cloudwatch.get_metric_data(
        StartTime=now - timedelta(minutes=10),
        EndTime=datetime.now(UTC),  # a client that knows of no emulated time
        MetricDataQueries=[
            {"Id": statistic.lower(), "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}
            for statistic in ("p50", "Sum", "Maximum", "SampleCount")
        ],
    )
    found = {result["Id"]: result["Values"] for result in answer["MetricDataResults"]}
    assert found == {"p50": [3], "sum": [15], "maximum": [5], "samplecount": [5]}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0.1, 100))
def test_a_percentile_lies_between_the_extremes(values, percent):
    data = [MetricDatum("n", "m", value, [], None) for value in values]
    assert min(values) <= summarise(data, f"p{percent}") <= max(values)
    assert summarise(data, "p100") == max(values)


def test_embedded_metrics_and_lambdas_own(emulator, stack, echo_image, watched):
    """What a function prints in the embedded format, and what Lambda counts by version."""
    stack.create(
        {
            "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Code": {"ImageUri": "echo:1"},
                    "PackageType": "Image",
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                },
            },
            "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": {"Ref": "Function"}}},
            "Alias": {
                "Type": "AWS::Lambda::Alias",
                "Properties": {"FunctionName": {"Ref": "Function"}, "FunctionVersion": "1", "Name": "live"},
                "DependsOn": "Version",
            },
        }
    )
    name = stack.physical_ids["Function"]
    lambda_ = stack.client("lambda")
    document = {
        "_aws": {
            "Timestamp": 0,
            "CloudWatchMetrics": [
                {
                    "Namespace": "coldpress",
                    "Dimensions": [["Model"]],
                    "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}],
                }
            ],
        },
        "Model": name,
        "Latency": [2.5, 7.5],
    }
    for query in ({"do": "print", "text": json.dumps(document)}, {"do": "raise"}, {}):
        payload = json.dumps({"queryStringParameters": query})
        lambda_.invoke(FunctionName=name, Qualifier="live", Payload=payload)

    def value(namespace, metric, statistic, **dimensions):
        now = datetime.fromtimestamp(emulator.now(), UTC)
        listed = [{"Name": key, "Value": text} for key, text in dimensions.items()]
        metric = {"Namespace": namespace, "MetricName": metric, "Dimensions": listed}
        answer = watched.cloudwatch.get_metric_data(
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(seconds=1),
            MetricDataQueries=[
                {"Id": "x", "MetricStat": {"Metric": metric, "Period": 7200, "Stat": statistic}}
            ],
        )
        return sum(answer["MetricDataResults"][0]["Values"])

    assert value("coldpress", "Latency", "Average", Model=name) == 5
    whole = {"FunctionName": name}
    alias = {**whole, "Resource": f"{name}:live"}
    for dimensions in (whole, alias, {**alias, "ExecutedVersion": "1"}):
        assert value("AWS/Lambda", "Invocations", "Sum", **dimensions) == 3
        assert value("AWS/Lambda", "Errors", "Sum", **dimensions) == 1
    # The initialisation, some tens of milliseconds at least, is no part of a duration.
    assert 0 < value("AWS/Lambda", "Duration", "Minimum", **alias) < 20


@pytest.mark.parametrize("dimensions", [{}, {"Stage": "$default"}])
def test_an_apis_answers_are_counted(echo, emulator, watched, dimensions):
    url = echo.outputs["EndpointUrl"]
    dimensions = {"ApiId": url.rpartition("/")[2], **dimensions}
    before = _api_counts(watched, emulator, dimensions)
    for path in ("open/x", "open/x?do=raise", "closed"):
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(f"{url}/{path}"):
            pass
    after = _api_counts(watched, emulator, dimensions)
    assert {name: after[name] - before[name] for name in after} == {"mcount": 3, "m4xx": 1, "m5xx": 1}


def _api_counts(watched, emulator, dimensions) -> dict[str, float]:
    """Of the API's whole life; other tests ask it as well."""
    now = datetime.fromtimestamp(emulator.now(), UTC)
    found = watched.cloudwatch.get_metric_data(
        StartTime=now - timedelta(days=30),
        EndTime=now + timedelta(minutes=1),
        MetricDataQueries=[
            {
                "Id": f"m{name}".lower(),
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/ApiGateway",
                        "MetricName": name,
                        "Dimensions": [{"Name": key, "Value": text} for key, text in dimensions.items()],
                    },
                    "Period": 3600,
                    "Stat": "Sum",
                },
            }
            for name in ("Count", "4xx", "5xx")
        ],
    )["MetricDataResults"]
    return {result["Id"]: sum(result["Values"]) for result in found}
