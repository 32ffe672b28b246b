"""`coldpress status`, `doctor`, `rollback`, `promote` and `destroy` on a stage that the CDK deployed."""

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from examples.deployment import BIN, Deployment, Failed
from tests.e2e.cloud import Cloud
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine

NAME = "ops"
GOLDEN = [({"x": np.float32([[1, 2, 3]])}, {"y": np.float32([[3, 5, 7]])})]


class Stage:
    """One stage, and the commands on it."""

    def __init__(self, work: Path) -> None:
        self.deployment = Deployment(work, NAME)
        self.stack = self.deployment.stack

    def push(self, label: str) -> str:
        """The digest of a bundle that differs from others by a class label only."""
        folder = self.deployment.work / "bundles"
        folder.mkdir(exist_ok=True)
        bundle = write_bundle(folder, affine(), name=NAME, golden=GOLDEN, labels=[label])
        self.deployment.push(bundle)
        return bundle.name

    def run(self, *arguments: str) -> tuple[int, str]:
        """A command in the folder of its cdk.json: exit status, and what it said."""
        done = subprocess.run(
            [str(BIN / "coldpress"), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.deployment.work,
            env=dict(os.environ),
        )
        return done.returncode, done.stdout + done.stderr

    @property
    def status(self) -> dict[str, Any]:
        code, told = self.run("status", self.stack, "--json")
        assert code == 0, told
        (status,) = json.loads(told)
        return status

    @contextmanager
    def deploying(self) -> Iterator[list[Exception]]:
        """A deployment meanwhile; what it failed with."""
        failures: list[Exception] = []

        def deploy() -> None:
            try:
                self.deployment.deploy()
            except Failed as failed:
                failures.append(failed)

        thread = threading.Thread(target=deploy)
        thread.start()
        try:
            yield failures
        finally:
            hold_clock(held=False)
            thread.join()


def hold_clock(*, held: bool) -> None:
    """Emulated time stands still, or goes on."""
    request = urllib.request.Request(
        f"{os.environ['AWS_ENDPOINT_URL']}/_emulator/clock", json.dumps({"hold": held}).encode()
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def until(condition: Any) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_stage_from_its_first_version_to_its_end(cloud: Cloud, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    limits = {"min": 1, "max": 2}
    canary = {"type": "canary", "percent": 10, "minutes": 10}
    stage.deployment.configure(model={"name": NAME}, provisioned_concurrency=limits, rollout=canary)

    first = stage.push("first")
    stage.deployment.deploy()
    status = stage.status
    assert status["traffic"] == {"1": 1.0}
    assert status["deployed_digest"] == status["versions"][0]["digest"] == first
    (kept,) = status["provisioned_concurrency"]
    assert (kept["qualifier"], kept["available"], kept["status"]) == ("1", 1, "READY")
    code, told = stage.run("doctor", stage.stack)
    # A new account has so few; all else is well, and was looked at but for what needs requests.
    assert [line.partition(":")[0] for line in told.splitlines()] == ["quota", "not checked, alarms"], told
    assert code == 1

    # A canary is rolled back in the middle.
    second = stage.push("second")
    hold_clock(held=True)
    with stage.deploying() as failures:
        until(lambda: len(stage.status["traffic"]) == 2)
        assert stage.status["rollout"]["status"] == "InProgress"
        code, told = stage.run("destroy", stage.stack, "--force")
        assert code == 2
        assert "end it with `coldpress rollback" in told
        code, told = stage.run("rollback", stage.stack, "--to", "1")
        assert code == 2
        assert "roll it back first, without --to" in told
        code, told = stage.run("rollback", stage.stack)
        assert code == 0, told
        assert "is being stopped and rolled back" in told
    assert failures
    assert stage.status["traffic"] == {"1": 1.0}

    # It is deployed after all, rolled back by hand, and what serves goes on to another stage.
    stage.deployment.deploy()
    assert {version["digest"] for version in stage.status["versions"]} == {first, second}
    assert stage.status["traffic"] == {"3": 1.0}
    code, told = stage.run("rollback", stage.stack)
    assert code == 0, told
    assert "live -> version 1" in told  # and not to 2, which never served
    assert "has no provisioned concurrency" in told
    code, told = stage.run("doctor", stage.stack)
    assert code == 1
    assert f"the alias serves {first[:12]}" in told
    code, told = stage.run("promote", stage.stack, "--label", "best", "--pin", NAME)
    assert code == 0, told
    pinned = json.loads((tmp_path / "cdk.json").read_text())["context"]["coldpress"][NAME]["model"]
    assert pinned == {"name": NAME, "version": 1, "digest": first}
    stage.deployment.deploy()
    assert "digest: " not in stage.run("doctor", stage.stack)[1]

    code, told = stage.run("destroy", stage.stack, "--force")
    assert code == 0, told
    assert "left behind" not in told
    assert boto3.client("s3").list_objects_v2(Bucket=status_bucket(told))["KeyCount"] > 0


def status_bucket(told: str) -> str:
    """The registry's bucket, as `destroy` names it among what it keeps."""
    return told.partition("s3://")[2].partition("/")[0]
