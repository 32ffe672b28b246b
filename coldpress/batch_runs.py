"""The runs of ``coldpress batch``: executions of the stage's state machine, and what they leave in S3."""

import json
import secrets
from datetime import UTC, datetime
from typing import Any, NamedTuple

from coldpress import aws
from coldpress.errors import CommandError

# Below the output: a folder a run, with Step Functions' files and failures.json (handlers/batch/report.py).
_RUNS = "_batch/"
_FAILURES = "failures.json"


class Place(NamedTuple):
    """A bucket, and what the keys of the objects meant begin with."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def below(self, name: str) -> "Place":
        """A place, or one object, further down."""
        return Place(self.bucket, self.prefix + name)


class Run(NamedTuple):
    """A batch that was started, and boto3's client of Step Functions."""

    name: str
    arn: str
    client: Any

    @property
    def stop_command(self) -> str:
        """What ends it."""
        return f"aws stepfunctions stop-execution --execution-arn {self.arn}"

    def describe(self) -> Any:
        """The execution as DescribeExecution has it."""
        return self.client.describe_execution(executionArn=self.arn)

    def counts(self) -> dict[str, int]:
        """How many objects are how far, as DescribeMapRun has it; empty before the first is read."""
        map_runs = self.client.list_map_runs(executionArn=self.arn)["mapRuns"]
        if not map_runs:
            return {}
        told = self.client.describe_map_run(mapRunArn=map_runs[0]["mapRunArn"])
        found: dict[str, int] = told["itemCounts"]
        return found


def start(machine: str, job: dict[str, Any], output: Place, retry: str | None) -> Run:
    """Start a run, which gets a name of its own, sorted by time.

    Args:
        machine: the state machine's ARN.
        job: what the execution is told (infra/constructs/batch.py), but for where its results go.
        output: where answers and results go.
        retry: the name of an earlier run, of which the failed objects are asked; None: all objects are.
    """
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    told = {**job, "output": output._asdict(), "results": results_of(output, name)._asdict()}
    if retry is not None:
        failures = failures_of(output, retry)
        told["failures"] = {"bucket": failures.bucket, "key": failures.prefix}
    client = aws.client("stepfunctions")
    started = client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(told))
    return Run(name, started["executionArn"], client)


def running(machine: str) -> list[Run]:
    """The runs under way; none where the state machine is gone."""
    client = aws.client("stepfunctions")
    pages = client.get_paginator("list_executions")
    try:
        return [
            Run(execution["name"], execution["executionArn"], client)
            for page in pages.paginate(stateMachineArn=machine, statusFilter="RUNNING")
            for execution in page["executions"]
        ]
    except client.exceptions.StateMachineDoesNotExist:
        return []


def results_of(output: Place, name: str) -> Place:
    """Where a run leaves what became of its objects."""
    return output.below(f"{_RUNS}{name}/")


def failures_of(output: Place, name: str) -> Place:
    """Where a run lists what failed."""
    return results_of(output, name).below(_FAILURES)


def read_failures(output: Place, name: str) -> list[dict[str, str]]:
    """What failed in a run that came to its end: ``Key`` and ``Error`` of each object.

    Raises:
        CommandError: there is no such run, or it did not come to its end.
    """
    place, s3 = failures_of(output, name), aws.s3_client()
    try:
        body = s3.get_object(Bucket=place.bucket, Key=place.prefix)["Body"].read()
    except s3.exceptions.NoSuchKey:
        known = ", ".join(_names(output)) or "none"
        raise CommandError(
            f"there is no {place}: the run is under way, was stopped, or is none of this OUTPUT's "
            f"(it has {known})."
        ) from None
    found: list[dict[str, str]] = json.loads(body)
    return found


def _names(output: Place) -> list[str]:
    runs = output.below(_RUNS)
    pages = aws.s3_client().get_paginator("list_objects_v2")
    return [
        entry["Prefix"].removeprefix(runs.prefix).rstrip("/")
        for page in pages.paginate(Bucket=runs.bucket, Prefix=runs.prefix, Delimiter="/")
        for entry in page.get("CommonPrefixes", [])
    ]
