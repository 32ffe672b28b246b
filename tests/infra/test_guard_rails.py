"""What bounds cost and rights, read from the templates."""

import json
from collections.abc import Callable
from typing import Any

import pytest

DIGEST = "0123456789abcdef" * 4
OCR = {"model": {"name": "ocr", "digest": DIGEST}}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"
Synthesise = Callable[..., Any]


def stack(synthesise: Synthesise, **stage: Any) -> Any:
    return synthesise({**OCR, **stage}).stack("coldpress-dev")


def inference(template: Any) -> dict[str, Any]:
    """The function that serves."""
    (found,) = template.serving()
    return found


def test_a_budget_watches_what_has_the_stages_tag(synthesise: Synthesise) -> None:
    template = stack(synthesise, budget={"monthly_usd": 50}, alarms={"email": "on-call@example.com"})
    properties = template.properties("AWS::Budgets::Budget")
    budget = properties["Budget"]
    assert budget["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}
    assert budget["CostFilters"] == {"TagKeyValue": ["user:coldpress-stage$dev"]}
    told = properties["NotificationsWithSubscribers"]
    kinds = {(one["Notification"]["NotificationType"], one["Notification"]["Threshold"]) for one in told}
    assert kinds == {("ACTUAL", 80), ("FORECASTED", 100)}
    assert all(one["Subscribers"][0]["Address"] == "on-call@example.com" for one in told)
    assert {"Key": "coldpress-stage", "Value": "dev"} in inference(template)["Tags"]


def test_an_unusual_cost_of_the_stages_tag_is_told_once_a_day(synthesise: Synthesise) -> None:
    budget = {"monthly_usd": 50, "anomaly_usd": 2.5}
    template = stack(synthesise, budget=budget, alarms={"email": "on-call@example.com"})
    monitor = template.properties("AWS::CE::AnomalyMonitor")
    # One of all services ("DIMENSIONAL") would be the account's only one.
    assert monitor["MonitorType"] == "CUSTOM"
    assert json.loads(monitor["MonitorSpecification"]) == {
        "Tags": {"Key": "coldpress-stage", "Values": ["dev"]}
    }
    told = template.properties("AWS::CE::AnomalySubscription")
    assert told["Subscribers"] == [{"Address": "on-call@example.com", "Type": "EMAIL"}]
    assert told["Frequency"] == "DAILY"
    assert json.loads(told["ThresholdExpression"])["Dimensions"]["Values"] == ["2.50"]
    without = stack(synthesise, budget={"monthly_usd": 50}, alarms={"email": "on-call@example.com"})
    assert not without.all("AWS::CE::AnomalyMonitor")


def test_idle_provisioned_concurrency_is_an_alarm_after_a_day(synthesise: Synthesise) -> None:
    def alarms(template: Any) -> dict[str, Any]:
        found = [alarm["Properties"] for alarm in template.all("AWS::CloudWatch::Alarm").values()]
        return {alarm.get("MetricName", ""): alarm for alarm in found}

    idle = alarms(stack(synthesise, provisioned_concurrency={}))["ProvisionedConcurrencyUtilization"]
    assert idle["Statistic"] == "Maximum"
    assert idle["Period"] * idle["EvaluationPeriods"] == 24 * 3600
    assert idle["ComparisonOperator"] == "LessThanOrEqualToThreshold"
    assert idle["TreatMissingData"] == "breaching"
    assert "ProvisionedConcurrencyUtilization" not in alarms(stack(synthesise))


def test_reserved_concurrency_is_the_functions(synthesise: Synthesise) -> None:
    template = stack(synthesise, reserved_concurrency=7)
    assert inference(template)["ReservedConcurrentExecutions"] == 7
    assert "ReservedConcurrentExecutions" not in inference(stack(synthesise))


def test_a_key_encrypts_variables_and_logs_and_the_role_may_use_it(synthesise: Synthesise) -> None:
    template = stack(synthesise, kms_key_arn=KEY)
    assert inference(template)["KmsKeyArn"] == KEY
    groups = template.all("AWS::Logs::LogGroup").values()
    assert {group["Properties"].get("KmsKeyId") for group in groups} == {KEY}
    statements = [statement for statement in template.rights() if statement["Resource"] == KEY]
    assert statements
    assert {str(one["Action"]) for one in statements} == {"kms:Decrypt"}


def test_every_role_is_within_the_boundary(synthesise: Synthesise) -> None:
    roles = stack(synthesise, permissions_boundary_arn=BOUNDARY, api="rest").all("AWS::IAM::Role").values()
    assert roles
    assert {role["Properties"]["PermissionsBoundary"] for role in roles} == {BOUNDARY}


def test_logs_are_kept_as_long_as_the_stage_says(synthesise: Synthesise) -> None:
    groups = stack(synthesise, log_retention_days=365).all("AWS::Logs::LogGroup").values()
    assert groups
    assert {group["Properties"]["RetentionInDays"] for group in groups} == {365}


@pytest.mark.parametrize("protected", [True, False])
def test_a_protected_stage_cannot_be_destroyed_by_accident(synthesise: Synthesise, protected: bool) -> None:
    templates = synthesise({**OCR, "termination_protection": protected})
    manifest = json.loads((templates.folder / "manifest.json").read_text())
    properties = manifest["artifacts"]["coldpress-dev"]["properties"]
    assert properties.get("terminationProtection", False) is protected


def test_nothing_may_do_everything(synthesise: Synthesise) -> None:
    """No wildcard in an action; in a resource only where cdk-nag was told why."""
    template = stack(
        synthesise, api="rest", provisioned_concurrency={}, kms_key_arn=KEY, alarms={"email": "a@example.com"}
    )
    statements = template.rights()
    assert statements
    actions = {
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert not [action for action in actions if "*" in action]
    assert not [statement for statement in statements if statement["Resource"] == "*"]
