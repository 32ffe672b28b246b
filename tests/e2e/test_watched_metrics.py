"""Whatever the alarms and the dashboard of a stage ask for is told under just these dimensions."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from tests.e2e.endpoint import BAD, Endpoint, total, until

# What nothing told of, although requests came, and why that is right.
SILENT = {
    # Nothing was refused: counted when it happens.
    "Throttles",
    # Never more requests at once than environments that were kept ready.
    "ProvisionedConcurrencySpilloverInvocations",
}
Metric = tuple[str, str, frozenset[tuple[str, str]]]


def watched(endpoint: Endpoint) -> Iterator[Metric]:
    """All metrics of the stage's alarms and dashboards."""
    resources = boto3.client("cloudformation").describe_stack_resources(StackName=endpoint.stack)
    cloudwatch: Any = boto3.client("cloudwatch")
    for resource in resources["StackResources"]:
        name = resource["PhysicalResourceId"]
        if resource["ResourceType"] == "AWS::CloudWatch::Alarm":
            (alarm,) = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
            dimensions = frozenset((one["Name"], one["Value"]) for one in alarm["Dimensions"])
            yield alarm["Namespace"], alarm["MetricName"], dimensions
        elif resource["ResourceType"] == "AWS::CloudWatch::Dashboard":
            body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
            for widget in body["widgets"]:
                for metric in widget["properties"].get("metrics", []):
                    namespace, name_, *pairs = (part for part in metric if isinstance(part, str))
                    yield namespace, name_, frozenset(zip(pairs[::2], pairs[1::2], strict=True))


def has_data(endpoint: Endpoint, metric: Metric) -> bool:
    namespace, name, dimensions = metric
    now = datetime.fromtimestamp(endpoint.emulator.now(), UTC)
    found = boto3.client("cloudwatch").get_metric_data(
        StartTime=now - timedelta(days=1),
        EndTime=now + timedelta(minutes=1),
        MetricDataQueries=[
            {
                "Id": "x",
                "MetricStat": {
                    "Metric": {
                        "Namespace": namespace,
                        "MetricName": name,
                        "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                    },
                    "Period": 3600,
                    "Stat": "SampleCount",
                },
            }
        ],
    )
    return bool(found["MetricDataResults"][0]["Values"])


@pytest.mark.slow
@pytest.mark.parametrize("api", ["http", "rest"])
def test_alarms_and_dashboards_watch_what_is_told(make_endpoint, api):
    endpoint = make_endpoint(f"told-{api}", api=api, provisioned_concurrency={"min": 1})
    endpoint.push(total(2, checks_shape=True), answer=20)
    endpoint.deployment.deploy()
    until(lambda: set(endpoint.provisioned.values()) == {"READY"})
    assert [endpoint.ask(shape).status for shape in (BAD, BAD)] == [500, 500]
    assert endpoint.answer() == 20
    endpoint.emulator.advance(120)
    metrics = set(watched(endpoint))
    assert len({name for _, name, _ in metrics}) >= 12
    silent = {
        name
        for namespace, name, dimensions in metrics
        if not has_data(endpoint, (namespace, name, dimensions))
    }
    assert silent == SILENT
