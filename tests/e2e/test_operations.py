"""`coldpress status`, `doctor`, `rollback`, `promote` and `destroy` on a stage that the CDK deployed."""

import json

import boto3
import pytest

from tests.e2e.endpoint import total, until

NAME = "ops"


@pytest.mark.slow
def test_a_stage_from_its_first_version_to_its_end(make_endpoint, tmp_path):
    limits = {"min": 1, "max": 2}
    canary = {"type": "canary", "percent": 10, "minutes": 10}
    stage = make_endpoint(NAME, provisioned_concurrency=limits, rollout=canary)

    first = stage.push(total(2), 20, "first")
    stage.deployment.deploy()
    status = stage.report
    assert status["traffic"] == {"1": 1.0}
    assert status["deployed_digest"] == status["versions"][0]["digest"] == first
    (kept,) = status["provisioned_concurrency"]
    assert (kept["qualifier"], kept["available"], kept["status"]) == ("1", 1, "READY")
    code, told = stage.run("doctor", stage.stack)
    # A new account has so few; all else is well, and was looked at but for what needs requests.
    assert [line.partition(":")[0] for line in told.splitlines()] == ["quota", "not checked, alarms"], told
    assert code == 1

    # A canary is rolled back in the middle.
    second = stage.push(total(2), 20, "second")
    with stage.deploying() as failures:
        until(lambda: len(stage.report["traffic"]) == 2)
        assert stage.report["rollout"]["status"] == "InProgress"
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
    assert stage.report["traffic"] == {"1": 1.0}

    # It is deployed after all, rolled back by hand, and what serves goes on to another stage.
    stage.deployment.deploy()
    assert {version["digest"] for version in stage.report["versions"]} == {first, second}
    assert stage.report["traffic"] == {"3": 1.0}
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
