"""Environments that are kept ready, by the hour."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import boto3
import pytest

from tests.e2e.endpoint import Endpoint, total, until

BERLIN = "Europe/Berlin"
SCHEDULES = [
    {"cron": "0/15 8-17 ? * * *", "timezone": BERLIN, "min": 2, "max": 3},
    {"cron": "0/15 18-23 ? * * *", "timezone": BERLIN, "min": 1, "max": 1},
]


def wait_for_hour(endpoint: Endpoint, hour: int) -> None:
    """Let time pass until it is a minute past the hour in Berlin."""
    now = datetime.fromtimestamp(endpoint.emulator.now(), ZoneInfo(BERLIN))
    then = now.replace(hour=hour, minute=1, second=0)
    if then <= now:
        then += timedelta(days=1)
    endpoint.emulator.advance((then.astimezone(UTC) - now.astimezone(UTC)).total_seconds())


def ready(endpoint: Endpoint) -> list[tuple[str, int]]:
    """The environments that are initialised, by version."""
    client = boto3.client("lambda")
    configs = client.list_provisioned_concurrency_configs(FunctionName=endpoint.function)
    return [
        (config["FunctionArn"].rpartition(":")[2], config["AvailableProvisionedConcurrentExecutions"])
        for config in configs["ProvisionedConcurrencyConfigs"]
    ]


@pytest.mark.slow
def test_schedules_change_the_limits_in_their_timezone_and_of_a_new_version_too(make_endpoint):
    limits = {"min": 1, "max": 3, "schedules": SCHEDULES}
    endpoint = make_endpoint("hours", provisioned_concurrency=limits)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    for hour, count in ((8, 2), (18, 1), (8, 2)):
        wait_for_hour(endpoint, hour)
        until(lambda count=count: ready(endpoint) == [("1", count)])
    # A version that is deployed in the morning begins with one, and hears of the others a quarter later.
    endpoint.push(total(3), answer=30)
    endpoint.deployment.deploy()
    version = endpoint.alias["FunctionVersion"]
    until(lambda: ready(endpoint) == [(version, 1)])
    endpoint.emulator.advance(16 * 60)
    until(lambda: ready(endpoint) == [(version, 2)])
