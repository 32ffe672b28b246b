"""A stage with ten models stays well within what CloudFormation takes, and is synthesised in time."""

import time
from collections.abc import Callable
from typing import Any

import pytest

DIGEST = "0123456789abcdef" * 4
MODELS = {f"model-{number}": {"digest": DIGEST} for number in range(10)}
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_RESOURCES, MAX_BYTES, MAX_OUTPUTS = 500, 1_000_000, 200


@pytest.mark.parametrize("api", ["http", "rest"])
def test_ten_models_leave_room_in_the_template(synthesise: Callable[..., Any], api: str) -> None:
    templates = synthesise(
        {
            "api": api,
            "models": MODELS,
            "provisioned_concurrency": {"min": 1, "max": 2},
            "alarms": {"email": "on-call@example.com"},
            "budget": {"monthly_usd": 100},
        }
    )
    template = templates.stack("coldpress-dev").content
    size = (templates.folder / "coldpress-dev.template.json").stat().st_size
    assert len(template["Resources"]) < MAX_RESOURCES / 2
    assert size < MAX_BYTES / 2
    assert len(template["Outputs"]) < MAX_OUTPUTS / 2


@pytest.mark.parametrize("api", ["http", "rest"])
def test_ten_models_with_all_that_can_be_asked_for_still_fit(
    synthesise: Callable[..., Any], api: str
) -> None:
    shadow = {"version": 10, "digest": DIGEST[::-1], "share": 0.1}
    model = {"digest": DIGEST, "version": 9, "versions": [1, 2, 3], "labels": {"stable": 3}, "shadow": shadow}
    schedule = {"cron": "0/15 8-17 ? * MON-FRI *", "min": 2}
    templates = synthesise(
        {
            "api": api,
            "models": dict.fromkeys(MODELS, model | ({"throttling": {"rate": 5}} if api == "rest" else {})),
            "provisioned_concurrency": {"min": 1, "max": 2, "schedules": [schedule]},
            "transform": "transforms.a:B",
            "rollout": {"type": "canary", "minutes": 15},
            "batch": {"buckets": ["my-data"]},
            "capture": {"rate": 0.1},
            "monitor": {"every_minutes": 5, "roll_back": True},
            "cors": {"origins": ["https://app.example.com"]},
            "alarms": {"email": "on-call@example.com"},
            "budget": {"monthly_usd": 100},
        }
    )
    assert len(templates.stack("coldpress-dev").content["Resources"]) < MAX_RESOURCES
    assert (templates.folder / "coldpress-dev.template.json").stat().st_size < MAX_BYTES


def test_what_holds_data_keeps_its_logical_ids(synthesise: Callable[..., Any]) -> None:
    templates = synthesise({"model": {"name": "ocr", "digest": DIGEST}})
    kinds = {"AWS::S3::Bucket", "AWS::ECR::Repository", "AWS::DynamoDB::Table", "AWS::KMS::Key"}
    found = {
        (stack, logical_id): resource["Type"]
        for stack in ("coldpress-registry", "coldpress-dev")
        for logical_id, resource in templates.stack(stack).content["Resources"].items()
        if resource["Type"] in kinds
    }
    assert found == {("coldpress-registry", "ModelsBucket970C6ADA"): "AWS::S3::Bucket"}


@pytest.mark.slow
def test_ten_models_are_synthesised_within_ten_seconds(synthesise: Callable[..., Any]) -> None:
    synthesise({"model": {"name": "warm-up", "digest": DIGEST}})  # jsii has started
    start = time.monotonic()
    synthesise({"models": MODELS, "memory_mb": 1024})
    assert time.monotonic() - start < 10
