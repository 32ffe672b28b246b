"""How a new version takes over, read from the template: checked, shifted, watched, and provisioned ahead."""

import json
from collections.abc import Callable
from typing import Any

import pytest

DIGEST = "0123456789abcdef" * 4
OTHER_DIGEST = "fedcba9876543210" * 4
STAGE: dict[str, Any] = {
    "model": {"name": "ocr", "version": 7, "digest": DIGEST},
    "rollout": {"type": "canary", "percent": 20, "minutes": 3},
    "alarms": {"p99_latency_ms": 250, "errors": 3},
    "provisioned_concurrency": {
        "min": 2,
        "max": 5,
        "target_utilization": 0.6,
        "schedules": [{"cron": "0/15 8-17 ? * MON-FRI *", "timezone": "Europe/Berlin", "min": 3, "max": 9}],
    },
}
Synthesise = Callable[..., Any]


@pytest.fixture(scope="module")
def full(synthesise: Synthesise) -> Any:
    return synthesise(STAGE).stack("coldpress-dev")


@pytest.fixture(scope="module")
def plain(synthesise: Synthesise) -> Any:
    """The shortest stage that has a model."""
    return synthesise({"model": {"name": "ocr", "digest": DIGEST}}).stack("coldpress-dev")


def function(template: Any, kind: str) -> tuple[str, dict[str, Any]]:
    """The endpoint's or the check's function."""
    (found,) = [
        (name, body["Properties"])
        for name, body in template.all("AWS::Lambda::Function").items()
        if kind in body["Properties"]["Description"]
    ]
    return found


def version(template: Any) -> dict[str, Any]:
    return {"Fn::GetAtt": [template.id_of("AWS::Lambda::Version"), "Version"]}


def comes_after(template: Any, later: str, earlier: str) -> bool:
    """Whether CloudFormation makes ``later`` when ``earlier`` is there."""
    body = template.content["Resources"][later]
    named = json.dumps(body)
    needed = {name for name in template.content["Resources"] if f'"{name}"' in named and name != later}
    return earlier in needed or any(comes_after(template, name, earlier) for name in needed)


# Shifting traffic


def test_a_canary_takes_its_share_for_its_minutes(full: Any) -> None:
    steps = full.properties("AWS::CodeDeploy::DeploymentConfig")
    assert steps["TrafficRoutingConfig"] == {
        "Type": "TimeBasedCanary",
        "TimeBasedCanary": {"CanaryInterval": 3, "CanaryPercentage": 20},
    }
    group = full.properties("AWS::CodeDeploy::DeploymentGroup")
    assert group["DeploymentConfigName"] == {"Ref": full.id_of("AWS::CodeDeploy::DeploymentConfig")}


def test_linear_steps(synthesise: Synthesise) -> None:
    stage = {**STAGE, "rollout": {"type": "linear", "percent": 25, "minutes": 2}}
    steps = synthesise(stage).stack("coldpress-dev").properties("AWS::CodeDeploy::DeploymentConfig")
    assert steps["TrafficRoutingConfig"] == {
        "Type": "TimeBasedLinear",
        "TimeBasedLinear": {"LinearInterval": 2, "LinearPercentage": 25},
    }


def test_all_at_once_is_checked_before_as_well(plain: Any) -> None:
    group = plain.properties("AWS::CodeDeploy::DeploymentGroup")
    assert group["DeploymentConfigName"] == "CodeDeployDefault.LambdaAllAtOnce"
    (alias,) = plain.all("AWS::Lambda::Alias").values()
    assert "BeforeAllowTrafficHook" in alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]


def test_codedeploy_moves_the_alias_and_asks_the_check_first(full: Any) -> None:
    (alias,) = full.all("AWS::Lambda::Alias").values()
    check, _ = function(full, "checks")
    assert alias["UpdatePolicy"] == {
        "CodeDeployLambdaAliasUpdate": {
            "ApplicationName": {"Ref": full.id_of("AWS::CodeDeploy::Application")},
            "DeploymentGroupName": {"Ref": full.id_of("AWS::CodeDeploy::DeploymentGroup")},
            "BeforeAllowTrafficHook": {"Ref": check},
        }
    }


def test_any_failure_or_alarm_moves_the_alias_back(full: Any) -> None:
    group = full.properties("AWS::CodeDeploy::DeploymentGroup")
    assert group["AutoRollbackConfiguration"] == {
        "Enabled": True,
        "Events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_REQUEST", "DEPLOYMENT_STOP_ON_ALARM"],
    }
    named = [alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]]
    of_the_version = [
        name
        for name, alarm in full.all("AWS::CloudWatch::Alarm").items()
        if "AlarmName" in alarm["Properties"]
    ]
    assert sorted(named) == sorted(of_the_version)
    assert len(named) == 3


def test_the_alarms_are_the_new_versions_own_within_a_minute(full: Any) -> None:
    endpoint, _ = function(full, "answers")
    alarms = [
        alarm["Properties"]
        for alarm in full.all("AWS::CloudWatch::Alarm").values()
        if "AlarmName" in alarm["Properties"]
    ]
    dimensions = {
        (alarm["Namespace"], alarm["MetricName"]): {
            item["Name"]: item["Value"] for item in alarm["Dimensions"]
        }
        for alarm in alarms
    }
    executed = {
        "FunctionName": {"Ref": endpoint},
        "Resource": {"Fn::Join": ["", [{"Ref": endpoint}, ":live"]]},
        "ExecutedVersion": version(full),
    }
    assert dimensions == {
        ("AWS/Lambda", "Errors"): executed,
        ("AWS/Lambda", "Duration"): executed,
        ("coldpress", "Errors"): {"Model": "ocr", "Version": "7"},
    }
    for alarm in alarms:
        assert (alarm["Period"], alarm["TreatMissingData"]) == (60, "notBreaching")
        # Another name with each version: an alarm of the old one must not stop the fix.
        assert version(full) in alarm["AlarmName"]["Fn::Join"][1]


# The check


def test_the_check_is_told_the_new_version_and_what_it_should_answer(full: Any) -> None:
    endpoint, _ = function(full, "answers")
    _, check = function(full, "checks")
    assert check["Environment"]["Variables"] == {
        "COLDPRESS_FUNCTION": {"Ref": endpoint},
        "COLDPRESS_FUNCTION_VERSION": version(full),
        "COLDPRESS_MODEL": "ocr",
        "COLDPRESS_DIGEST": DIGEST,
        "COLDPRESS_BUCKET": {"Fn::ImportValue": "coldpress-registry:BucketName"},
        "COLDPRESS_LATENCY_FACTOR": "5.0",
        "COLDPRESS_PROVISIONED": "1",
    }
    assert check["ImageConfig"] == {
        "EntryPoint": ["/lambda-entrypoint.sh"],
        "Command": ["handlers.pretraffic.app.handler"],
    }
    assert check["Timeout"] == 900


def test_less_than_a_cpu_is_allowed_to_be_slower(synthesise: Synthesise) -> None:
    stage = {
        "model": {"name": "ocr", "digest": DIGEST},
        "memory_mb": 512,
        "rollout": {"type": "all_at_once", "latency_factor": 2},
    }
    _, check = function(synthesise(stage).stack("coldpress-dev"), "checks")
    assert float(check["Environment"]["Variables"]["COLDPRESS_LATENCY_FACTOR"]) == pytest.approx(
        2 * 1769 / 512, abs=0.01
    )


def test_the_check_may_do_what_it_does_and_no_more(full: Any) -> None:
    endpoint, _ = function(full, "answers")
    _, check = function(full, "checks")
    role = check["Role"]["Fn::GetAtt"][0]
    policy = full.rights(role)
    allowed = {
        action: statement["Resource"]
        for statement in policy
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    assert set(allowed) == {
        "s3:GetObject",
        "lambda:InvokeFunction",
        "lambda:GetProvisionedConcurrencyConfig",
        "lambda:DeleteProvisionedConcurrencyConfig",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "codedeploy:PutLifecycleEventHookExecutionStatus",
        "lambda:CreateAlias",
        "lambda:UpdateAlias",
        "lambda:DeleteAlias",
        "lambda:ListAliases",
        "lambda:ListVersionsByFunction",
        "lambda:DeleteFunction",
    }
    assert allowed["lambda:InvokeFunction"] == {"Fn::Join": ["", [{"Fn::GetAtt": [endpoint, "Arn"]}, ":*"]]}
    assert "deploymentgroup:" in json.dumps(allowed["codedeploy:PutLifecycleEventHookExecutionStatus"])


def test_the_first_version_is_checked_before_the_alias_is_made(full: Any, plain: Any) -> None:
    for template in (full, plain):
        check, _ = function(template, "checks")
        (first,) = template.all("Custom::ModelCheck").values()
        assert first["Properties"] == {
            "ServiceToken": {"Fn::GetAtt": [check, "Arn"]},
            "ServiceTimeout": "960",
        }
        alias, name = template.id_of("AWS::Lambda::Alias"), template.id_of("Custom::ModelCheck")
        assert comes_after(template, alias, name)
        assert comes_after(template, alias, template.id_of("AWS::CodeDeploy::DeploymentGroup"))


def test_a_new_version_changes_nothing_that_a_rollback_could_not_pass(
    synthesise: Synthesise, full: Any
) -> None:
    """The first check is no part of an update: its properties are the same for every version."""
    model = {**STAGE["model"], "version": 8, "digest": OTHER_DIGEST}
    next_one = synthesise({**STAGE, "model": model}).stack("coldpress-dev")
    assert next_one.all("Custom::ModelCheck") == full.all("Custom::ModelCheck")
    check, _ = function(full, "checks")
    assert next_one.rights() == full.rights()
    assert function(next_one, "checks")[0] == check


# Environments kept ready


def test_provisioned_concurrency_belongs_to_the_version_and_its_number_to_the_target_alone(full: Any) -> None:
    endpoint, _ = function(full, "answers")
    target = full.properties("AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 5)
    assert target["ScalableDimension"] == "lambda:function:ProvisionedConcurrency"
    assert target["ResourceId"] == {"Fn::Join": ["", ["function:", {"Ref": endpoint}, ":", version(full)]]}
    assert "ProvisionedConcurrencyConfig" not in json.dumps(
        [full.all("AWS::Lambda::Alias"), full.all("AWS::Lambda::Version")]
    )


def test_target_tracking_follows_the_average_or_the_maximum(synthesise: Synthesise, full: Any) -> None:
    tracking = full.properties("AWS::ApplicationAutoScaling::ScalingPolicy")[
        "TargetTrackingScalingPolicyConfiguration"
    ]
    assert tracking == {
        "TargetValue": 0.6,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"},
    }
    limits = {**STAGE["provisioned_concurrency"], "statistic": "maximum"}
    spiky = synthesise({**STAGE, "provisioned_concurrency": limits}).stack("coldpress-dev")
    metric = spiky.properties("AWS::ApplicationAutoScaling::ScalingPolicy")[
        "TargetTrackingScalingPolicyConfiguration"
    ]["CustomizedMetricSpecification"]
    endpoint, _ = function(spiky, "answers")
    dimensions = {item["Name"]: item["Value"] for item in metric["Dimensions"]}
    assert (metric["MetricName"], metric["Statistic"]) == ("ProvisionedConcurrencyUtilization", "Maximum")
    assert dimensions == {
        "FunctionName": {"Ref": endpoint},
        "Resource": {"Fn::Join": ["", [{"Ref": endpoint}, ":", version(spiky)]]},
    }


def test_schedules_change_the_targets_limits(full: Any) -> None:
    (action,) = full.properties("AWS::ApplicationAutoScaling::ScalableTarget")["ScheduledActions"]
    assert action["Schedule"] == "cron(0/15 8-17 ? * MON-FRI *)"
    assert action["Timezone"] == "Europe/Berlin"
    assert action["ScalableTargetAction"] == {"MinCapacity": 3, "MaxCapacity": 9}


def test_what_is_provisioned_is_released_after_its_target_and_asked_for_before_the_check(full: Any) -> None:
    endpoint, _ = function(full, "answers")
    (release,) = full.all("Custom::ProvisionedConcurrency").values()
    assert release["Properties"]["FunctionName"] == {"Ref": endpoint}
    assert release["Properties"]["Version"] == version(full)
    target = full.id_of("AWS::ApplicationAutoScaling::ScalableTarget")
    # What is made first is deleted last.
    assert comes_after(full, target, full.id_of("Custom::ProvisionedConcurrency"))
    assert comes_after(full, full.id_of("Custom::ModelCheck"), target)
    assert comes_after(full, full.id_of("AWS::Lambda::Alias"), target)


def test_without_provisioned_concurrency_it_serves_from_zero(plain: Any) -> None:
    assert not plain.all("AWS::ApplicationAutoScaling::ScalableTarget")
    assert not plain.all("Custom::ProvisionedConcurrency")
    _, check = function(plain, "checks")
    assert check["Environment"]["Variables"]["COLDPRESS_PROVISIONED"] == "0"
    # What removes the provisioned concurrency of the time before is still there, and may.
    assert "lambda:DeleteProvisionedConcurrencyConfig" in json.dumps(plain.rights())


# Earlier versions


@pytest.mark.parametrize("api", ["http", "rest"])
def test_an_earlier_version_is_reached_by_its_number(synthesise: Synthesise, api: str) -> None:
    model = {"name": "ocr", "version": 8, "digest": DIGEST, "versions": [6]}
    template = synthesise({"model": model, "api": api, "authorization": "iam"}).stack("coldpress-dev")
    endpoint, _ = function(template, "answers")
    target = {"Fn::Join": ["", [{"Fn::GetAtt": [endpoint, "Arn"]}, ":v6"]]}
    permitted = [body["Properties"] for body in template.all("AWS::Lambda::Permission").values()]
    assert target in [permission["FunctionName"] for permission in permitted]
    if api == "rest":
        return  # its routes are tried in the emulator
    reached = [{"Fn::GetAtt": [endpoint, "Arn"]}, ":v6/invocations"]
    routes = {key for key, route in template.http_routes().items() if route["target"] == reached}
    assert {
        "ANY /v1/models/ocr/versions/6",
        "ANY /v1/models/ocr/versions/6:predict",
        "ANY /v2/models/ocr/versions/6/{proxy+}",
    } <= routes


def test_a_label_is_a_route_to_the_version_that_has_it(synthesise: Synthesise) -> None:
    model = {"name": "ocr", "version": 8, "digest": DIGEST, "labels": {"stable": 6, "new": 8}}
    template = synthesise({"model": model, "api": "rest"}).stack("coldpress-dev")
    (release,) = template.all("Custom::ModelVersion").values()
    assert release["Properties"]["Kept"] == ["6"]
    paths = template.properties("AWS::ApiGateway::RestApi")["Body"]["paths"]
    for tail in ("", ":predict", "/{proxy+}"):
        assert ":v6" in json.dumps(paths[f"/v1/models/ocr/labels/stable{tail}"])
        assert ":v6" not in json.dumps(paths[f"/v1/models/ocr/labels/new{tail}"])
    assert "/v2/models/ocr/labels/stable" not in paths  # the Open Inference Protocol has none


def test_a_release_gets_its_alias_when_it_serves(full: Any) -> None:
    endpoint, _ = function(full, "answers")
    (release,) = full.all("Custom::ModelVersion").values()
    properties = {key: value for key, value in release["Properties"].items() if not key.startswith("Service")}
    assert properties == {
        "FunctionName": {"Ref": endpoint},
        "Version": version(full),
        "ModelVersion": "7",
        "Kept": [],
    }
    assert comes_after(full, full.id_of("Custom::ModelVersion"), full.id_of("AWS::Lambda::Alias"))
