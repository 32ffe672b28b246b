"""What users of a stage rely on, read from the template that would be deployed."""

import json
from collections.abc import Callable
from typing import Any

import pytest

DIGEST = "0123456789abcdef" * 4
OTHER_DIGEST = "fedcba9876543210" * 4
STAGE: dict[str, Any] = {
    "model": {"name": "ocr", "version": 7, "digest": DIGEST},
    "provisioned_concurrency": {"min": 2, "max": 5, "target_utilization": 0.6},
    "transform": "transforms.ocr:Transform",
    "throttling": {"rate": 20, "burst": 40},
    "alarms": {"p99_latency_ms": 250, "errors": 3, "throttles": 4, "email": "on-call@example.com"},
    "tags": {"team": "search"},
}
Synthesise = Callable[..., Any]


@pytest.fixture(scope="module")
def full(synthesise: Synthesise) -> Any:
    """A stage with everything on."""
    return synthesise(STAGE).stack("coldpress-dev")


@pytest.fixture(scope="module")
def plain(synthesise: Synthesise) -> Any:
    """The shortest stage that has a model."""
    return synthesise({"model": {"name": "ocr", "digest": DIGEST}}).stack("coldpress-dev")


# The model and its version


def test_the_function_is_told_its_model(full: Any) -> None:
    assert full.properties("AWS::Lambda::Function")["Environment"]["Variables"] == {
        "COLDPRESS_MODEL": "ocr",
        "COLDPRESS_VERSION": "7",
        "COLDPRESS_DIGEST": DIGEST,
        "COLDPRESS_BUCKET": {"Fn::ImportValue": "coldpress-registry:BucketName"},
        "COLDPRESS_TRANSFORM": "transforms.ocr:Transform",
    }


def test_the_version_says_its_digest_and_outlives_its_successor(full: Any) -> None:
    (version,) = full.all("AWS::Lambda::Version").values()
    assert DIGEST in version["Properties"]["Description"]
    assert version["DeletionPolicy"] == version["UpdateReplacePolicy"] == "Retain"


def test_another_digest_is_another_version_and_another_tag_is_not(synthesise: Synthesise, full: Any) -> None:
    model = {**STAGE["model"], "digest": OTHER_DIGEST}
    redeployed = synthesise({**STAGE, "model": model}).stack("coldpress-dev")
    retagged = synthesise({**STAGE, "tags": {"team": "ads"}}).stack("coldpress-dev")
    version = full.id_of("AWS::Lambda::Version")
    assert redeployed.id_of("AWS::Lambda::Version") != version
    assert retagged.id_of("AWS::Lambda::Version") == version
    assert {"Key": "team", "Value": "ads"} in retagged.properties("AWS::Lambda::Function")["Tags"]
    assert redeployed.id_of("AWS::Lambda::Function") == full.id_of("AWS::Lambda::Function")


def test_the_alias_points_to_the_version(full: Any) -> None:
    alias = full.properties("AWS::Lambda::Alias")
    assert alias["FunctionVersion"] == {"Fn::GetAtt": [full.id_of("AWS::Lambda::Version"), "Version"]}
    assert alias["Name"] == "live"


@pytest.mark.parametrize(("architecture", "platform"), [("x86_64", "linux/amd64"), ("arm64", "linux/arm64")])
def test_the_image_is_built_for_the_architecture(
    synthesise: Synthesise, architecture: str, platform: str
) -> None:
    stage = {"model": {"name": "ocr", "digest": DIGEST}, "architecture": architecture}
    templates = synthesise(stage)
    function = templates.stack("coldpress-dev").properties("AWS::Lambda::Function")
    assert function["Architectures"] == [architecture]
    assets = json.loads((templates.folder / "coldpress-dev.assets.json").read_text())
    (image,) = assets["dockerImages"].values()
    assert image["source"]["platform"] == platform
    assert image["source"]["dockerFile"] == "handlers/inference/Dockerfile"


# What it may do


def test_the_role_reads_this_models_bundles_and_uploads_and_writes_its_own_log(full: Any) -> None:
    statements = full.properties("AWS::IAM::Policy")["PolicyDocument"]["Statement"]
    read, upload, log = statements
    assert read["Action"] == "s3:GetObject"
    bucket = {"Fn::ImportValue": "coldpress-registry:BucketName"}
    assert read["Resource"] == {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::", bucket, "/models/ocr/*"]]
    }
    assert upload["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert upload["Resource"] == {
        "Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":s3:::", bucket, "/uploads/ocr/*"]]
    }
    assert log["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
    group = full.properties("AWS::Lambda::Function")["LoggingConfig"]["LogGroup"]["Ref"]
    assert log["Resource"] == {"Fn::GetAtt": [group, "Arn"]}
    assert "ManagedPolicyArns" not in full.properties("AWS::IAM::Role")


def test_a_rollback_can_still_read_the_old_bundle(synthesise: Synthesise, full: Any) -> None:
    """All versions share the role: if it named one digest, an older version could not load its own."""
    model = {**STAGE["model"], "digest": OTHER_DIGEST}
    redeployed = synthesise({**STAGE, "model": model}).stack("coldpress-dev")
    assert redeployed.properties("AWS::IAM::Policy") == full.properties("AWS::IAM::Policy")


# The way in


def test_the_api_invokes_the_alias_and_never_latest(full: Any) -> None:
    alias = {"Ref": full.id_of("AWS::Lambda::Alias")}
    integration = full.properties("AWS::ApiGatewayV2::Integration")
    assert integration["IntegrationUri"] == alias
    assert integration["PayloadFormatVersion"] == "2.0"
    assert full.properties("AWS::Lambda::Permission")["FunctionName"] == alias
    route = full.properties("AWS::ApiGatewayV2::Route")
    assert route["RouteKey"] == "ANY /{proxy+}"
    assert route["Target"]["Fn::Join"][1][1] == {"Ref": full.id_of("AWS::ApiGatewayV2::Integration")}


def test_requests_are_signed_unless_the_stage_is_open(synthesise: Synthesise, full: Any, plain: Any) -> None:
    opened = synthesise({"model": {"name": "ocr", "digest": DIGEST}, "authorization": "none"})
    for template in (full, plain):
        assert template.properties("AWS::ApiGatewayV2::Route")["AuthorizationType"] == "AWS_IAM"
    route = opened.stack("coldpress-dev").properties("AWS::ApiGatewayV2::Route")
    assert route.get("AuthorizationType", "NONE") == "NONE"


def test_the_stage_throttles_and_logs_without_payload_or_credential(full: Any) -> None:
    stage = full.properties("AWS::ApiGatewayV2::Stage")
    assert stage["DefaultRouteSettings"] == {"ThrottlingRateLimit": 20, "ThrottlingBurstLimit": 40}
    assert stage["StageName"] == "$default"
    fields = set(json.loads(stage["AccessLogSettings"]["Format"]).values())
    assert {"$context.requestId", "$context.status", "$context.path"} <= fields
    assert not any("header" in field or "body" in field for field in fields)
    group = stage["AccessLogSettings"]["DestinationArn"]["Fn::GetAtt"][0]
    assert full.content["Resources"][group]["Properties"]["LogGroupName"].startswith("/aws/vendedlogs/")


def test_every_log_ends_some_day(full: Any) -> None:
    assert full.all("AWS::Logs::LogGroup")
    assert all(
        group["Properties"]["RetentionInDays"] == 30 for group in full.all("AWS::Logs::LogGroup").values()
    )


# Environments kept ready


def test_provisioned_concurrency_belongs_to_the_alias_and_its_number_to_the_target_alone(full: Any) -> None:
    target = full.properties("AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 5)
    assert target["ScalableDimension"] == "lambda:function:ProvisionedConcurrency"
    before, reference, after = target["ResourceId"]["Fn::Join"][1]
    assert (before, after) == ("function:", ":live")
    assert {"Ref": full.id_of("AWS::Lambda::Alias")} in reference["Fn::Select"][1]["Fn::Split"]
    assert "ProvisionedConcurrencyConfig" not in json.dumps(full.content)
    policy = full.properties("AWS::ApplicationAutoScaling::ScalingPolicy")
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 0.6
    assert tracking["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"
    }


def test_without_provisioned_concurrency_it_serves_from_zero(plain: Any) -> None:
    assert not plain.all("AWS::ApplicationAutoScaling::ScalableTarget")


# Who hears of trouble


def test_alarms_watch_what_the_alias_serves_within_a_minute(full: Any) -> None:
    alarms = {
        alarm["Properties"]["MetricName"]: alarm["Properties"]
        for alarm in full.all("AWS::CloudWatch::Alarm").values()
    }
    thresholds = {name: alarm["Threshold"] for name, alarm in alarms.items()}
    assert thresholds == {"Errors": 3, "5xx": 3, "Duration": 250, "Throttles": 4}
    for alarm in alarms.values():
        assert alarm["Period"] == 60
        assert alarm["TreatMissingData"] == "notBreaching"
    function = {"Ref": full.id_of("AWS::Lambda::Function")}
    for name in ("Errors", "Duration", "Throttles"):
        dimensions = {item["Name"]: item["Value"] for item in alarms[name]["Dimensions"]}
        assert dimensions == {"FunctionName": function, "Resource": {"Fn::Join": ["", [function, ":live"]]}}
    assert alarms["Duration"]["ExtendedStatistic"] == "p99"
    assert alarms["Errors"]["Statistic"] == alarms["5xx"]["Statistic"] == "Sum"
    api = {"Ref": full.id_of("AWS::ApiGatewayV2::Api")}
    assert alarms["5xx"]["Dimensions"] == [{"Name": "ApiId", "Value": api}]


def test_alarms_reach_the_address_and_the_topic_lets_them_publish(full: Any, plain: Any) -> None:
    topic = {"Ref": full.id_of("AWS::SNS::Topic")}
    subscription = full.properties("AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "on-call@example.com")
    for alarm in full.all("AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == alarm["Properties"]["OKActions"] == [topic]
    statements = full.properties("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    allowed = [statement for statement in statements if statement["Effect"] == "Allow"]
    assert [statement["Principal"] for statement in allowed] == [{"Service": "cloudwatch.amazonaws.com"}]
    assert not plain.all("AWS::SNS::Topic")


def test_the_dashboard_shows_what_the_handler_measures(full: Any) -> None:
    body = full.properties("AWS::CloudWatch::Dashboard")["DashboardBody"]["Fn::Join"][1]
    widgets = json.loads("".join(part if isinstance(part, str) else "token" for part in body))["widgets"]
    shown = [metric for widget in widgets for metric in widget["properties"].get("metrics", [])]
    ours = {metric[1]: metric[2:6] for metric in shown if metric[0] == "coldpress"}
    assert set(ours) == {"Latency", "Requests", "Errors", "ColdStarts"}
    assert all(dimensions == ["Model", "ocr", "Version", "7"] for dimensions in ours.values())


# What the deployment tells


def test_the_outputs_that_others_read(full: Any) -> None:
    assert full.outputs == {
        "EndpointUrl": {"Fn::GetAtt": [full.id_of("AWS::ApiGatewayV2::Api"), "ApiEndpoint"]},
        "FunctionName": {"Ref": full.id_of("AWS::Lambda::Function")},
        "AliasArn": {"Ref": full.id_of("AWS::Lambda::Alias")},
        "ModelDigest": DIGEST,
    }


def test_nothing_but_services_resources_is_deployed(full: Any) -> None:
    """No custom resource: nothing of ours runs during a deployment."""
    kinds = {resource["Type"] for resource in full.content["Resources"].values()}
    assert not [kind for kind in kinds if kind.startswith("Custom::") or "CustomResource" in kind]
