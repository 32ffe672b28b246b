"""Asynchronous invocations: queued, tried again as the function says, and dropped."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from emulator import settings
from emulator.clients import client_at


class Queue:
    """A function's queue, and what CloudWatch says of it."""

    def __init__(self, emulator, function):
        self.function = function
        self._emulator = emulator
        self._cloudwatch = client_at(emulator.url, "cloudwatch", settings.REGION)

    def put(self, **query):
        payload = json.dumps({"queryStringParameters": query}).encode()
        lambda_ = self.function.lambda_
        return lambda_.invoke(FunctionName=self.function.name, InvocationType="Event", Payload=payload)

    def count(self, metric):
        now = datetime.fromtimestamp(self._emulator.now(), UTC)
        points = self._cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=metric,
            Dimensions=[{"Name": "FunctionName", "Value": self.function.name}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=7200,
            Statistics=["Sum"],
        )["Datapoints"]
        return sum(point["Sum"] for point in points)


@pytest.fixture
def make_queue(emulator, make_function):
    return lambda name, **options: Queue(emulator, make_function(name, Timeout=30, **options))


def test_nobody_waits_for_it(make_queue, until, tmp_path):
    queue = make_queue("asynchronous")
    answer = queue.put(do="wait", path=str(tmp_path / "go-on"))
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    assert queue.count("Invocations") == 0
    (tmp_path / "go-on").touch()
    assert until(lambda: queue.count("Invocations") == 1)


@pytest.mark.parametrize(("retries", "tries"), [(None, 3), (0, 1)])
def test_an_error_is_tried_again_as_the_function_says(make_queue, until, retries, tries):
    queue = make_queue(f"raising-{tries}")
    if retries is not None:
        queue.function.lambda_.put_function_event_invoke_config(
            FunctionName=queue.function.name, MaximumRetryAttempts=retries
        )
    queue.put(do="raise")
    assert until(lambda: queue.count("AsyncEventsDropped") == 1)
    assert queue.count("Errors") == tries


def test_without_concurrency_it_stays_in_the_queue(make_queue, until):
    queue = make_queue("stopped")
    name = queue.function.name
    queue.function.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    queue.put()
    assert until(lambda: queue.count("Throttles") > 1)
    assert queue.count("AsyncEventsDropped") == 0
    queue.function.lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    assert until(lambda: queue.count("Invocations") == 1)


def test_what_grew_too_old_is_dropped(make_queue, until, emulator):
    queue = make_queue("aged")
    name = queue.function.name
    lambda_ = queue.function.lambda_
    lambda_.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    queue.put()
    assert until(lambda: queue.count("Throttles") >= 1)
    emulator.advance(61)
    assert until(lambda: queue.count("AsyncEventsDropped") == 1)
    assert queue.count("Invocations") == 0


def test_a_megabyte_is_the_most(make_queue):
    with pytest.raises(ClientError) as raised:
        make_queue("large").put(text="x" * 1024**2)
    assert raised.value.response["Error"]["Code"] == "RequestTooLargeException"


def test_its_settings_in_a_template(stack, echo_image):
    def resources(seconds):
        memory = seconds + 128  # of the function, to be updated as well
        role = {"AssumeRolePolicyDocument": {"Statement": []}}
        function = {"PackageType": "Image", "Code": {"ImageUri": "echo:1"}}
        config = {"Qualifier": "$LATEST", "MaximumEventAgeInSeconds": seconds, "MaximumRetryAttempts": 0}
        return {
            "Role": {"Type": "AWS::IAM::Role", "Properties": role},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    **function,
                    "Role": {"Fn::GetAtt": ["Role", "Arn"]},
                    "MemorySize": memory,
                },
            },
            "Settings": {
                "Type": "AWS::Lambda::EventInvokeConfig",
                "Properties": {**config, "FunctionName": {"Ref": "Function"}},
            },
        }

    def found():
        name = stack.physical_ids["Function"]
        return stack.client("lambda").get_function_event_invoke_config(FunctionName=name)

    stack.create(resources(60))
    assert (found()["MaximumEventAgeInSeconds"], found()["MaximumRetryAttempts"]) == (60, 0)
    stack.update(resources(120))
    assert found()["MaximumEventAgeInSeconds"] == 120
