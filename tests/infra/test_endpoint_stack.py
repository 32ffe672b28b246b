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


def function_id(template: Any) -> str:
    """Of the function that answers requests: the one with an alias."""
    return str(template.properties("AWS::Lambda::Alias")["FunctionName"]["Ref"])


def function(template: Any) -> dict[str, Any]:
    properties: dict[str, Any] = template.content["Resources"][function_id(template)]["Properties"]
    return properties


def policies(template: Any) -> list[Any]:
    """What the function that answers requests may do."""
    found: list[Any] = template.rights(function(template)["Role"]["Fn::GetAtt"][0])
    return found


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
    assert function(full)["Environment"]["Variables"] == {
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
    assert {"Key": "team", "Value": "ads"} in function(retagged)["Tags"]
    assert function_id(redeployed) == function_id(full)


def test_the_alias_points_to_the_version(full: Any) -> None:
    alias = full.properties("AWS::Lambda::Alias")
    assert alias["FunctionVersion"] == {"Fn::GetAtt": [full.id_of("AWS::Lambda::Version"), "Version"]}
    assert alias["Name"] == "live"


def test_an_image_that_was_pushed_is_every_functions_and_none_is_built(synthesise: Synthesise) -> None:
    digest = f"sha256:{'ab' * 32}"
    stage = {
        "model": {
            "name": "ocr",
            "digest": DIGEST,
            "shadow": {"version": 2, "digest": "f" * 64, "share": 0.1},
        },
        "batch": {"buckets": ["my-data"]},
        "image": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/coldpress@{digest}",
    }
    templates = synthesise(stage)
    functions = templates.stack("coldpress-dev").all("AWS::Lambda::Function").values()
    images = {json.dumps(body["Properties"]["Code"]["ImageUri"]) for body in functions}
    assert len(functions) == 4
    (image,) = images
    assert image.startswith('{"Fn::Join": ["", ["123456789012.dkr.ecr.eu-west-1.')
    assert f"/team/coldpress@{digest}" in image
    commands = sorted(body["Properties"].get("ImageConfig", {}).get("Command", [""])[0] for body in functions)
    assert commands == [
        "",
        "handlers.batch.app.handler",
        "handlers.pretraffic.app.handler",
        "handlers.shadow.app.handler",
    ]
    assets = json.loads((templates.folder / "coldpress-dev.assets.json").read_text())
    assert not assets.get("dockerImages")


@pytest.mark.parametrize(("architecture", "platform"), [("x86_64", "linux/amd64"), ("arm64", "linux/arm64")])
def test_the_image_is_built_for_the_architecture(
    synthesise: Synthesise, architecture: str, platform: str
) -> None:
    stage = {"model": {"name": "ocr", "digest": DIGEST}, "architecture": architecture}
    templates = synthesise(stage)
    functions = templates.stack("coldpress-dev").all("AWS::Lambda::Function").values()
    assert all(body["Properties"]["Architectures"] == [architecture] for body in functions)
    assets = json.loads((templates.folder / "coldpress-dev.assets.json").read_text())
    (image,) = assets["dockerImages"].values()
    assert image["source"]["platform"] == platform
    assert image["source"]["dockerFile"] == "handlers/inference/Dockerfile"


# What it may do


def test_the_role_reads_this_models_bundles_and_uploads_and_writes_its_own_log(full: Any) -> None:
    read, upload, log = policies(full)
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
    group = function(full)["LoggingConfig"]["LogGroup"]["Ref"]
    assert log["Resource"] == {"Fn::GetAtt": [group, "Arn"]}
    role = full.content["Resources"][function(full)["Role"]["Fn::GetAtt"][0]]
    assert "ManagedPolicyArns" not in role["Properties"]


def test_a_rollback_can_still_read_the_old_bundle(synthesise: Synthesise, full: Any) -> None:
    """All versions share the role: if it named one digest, an older version could not load its own."""
    model = {**STAGE["model"], "digest": OTHER_DIGEST}
    redeployed = synthesise({**STAGE, "model": model}).stack("coldpress-dev")
    assert policies(redeployed) == policies(full)


# The way in


def test_the_api_invokes_the_alias_and_never_latest(full: Any) -> None:
    alias = {"Ref": full.id_of("AWS::Lambda::Alias")}
    ((key, route),) = full.http_routes().items()
    assert key == "ANY /{proxy+}"
    assert route["target"] == [alias, "/invocations"]
    assert full.properties("AWS::Lambda::Permission")["FunctionName"] == alias


def test_requests_are_signed_unless_the_stage_is_open(synthesise: Synthesise, full: Any, plain: Any) -> None:
    opened = synthesise({"model": {"name": "ocr", "digest": DIGEST}, "authorization": "none"})
    for template in (full, plain):
        assert [route["security"] for route in template.http_routes().values()] == [[{"callers": []}]]
        (scheme,) = template.http_document()["components"]["securitySchemes"].values()
        assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"
    assert [route["security"] for route in opened.stack("coldpress-dev").http_routes().values()] == [[]]


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


# Who hears of trouble


def test_alarms_watch_what_the_alias_serves_within_a_minute(full: Any) -> None:
    alarms = {
        alarm["Properties"]["MetricName"]: alarm["Properties"]
        for alarm in full.all("AWS::CloudWatch::Alarm").values()
        if "AlarmName" not in alarm["Properties"]  # as those of one version have
    }
    del alarms["ProvisionedConcurrencyUtilization"]
    thresholds = {name: alarm["Threshold"] for name, alarm in alarms.items()}
    assert thresholds == {"Errors": 3, "5xx": 3, "Duration": 250, "Throttles": 4}
    for alarm in alarms.values():
        assert alarm["Period"] == 60
        assert alarm["TreatMissingData"] == "notBreaching"
    named = {"Ref": function_id(full)}
    for name in ("Errors", "Duration", "Throttles"):
        dimensions = {item["Name"]: item["Value"] for item in alarms[name]["Dimensions"]}
        assert dimensions == {"FunctionName": named, "Resource": {"Fn::Join": ["", [named, ":live"]]}}
    assert alarms["Duration"]["ExtendedStatistic"] == "p99"
    assert alarms["Errors"]["Statistic"] == alarms["5xx"]["Statistic"] == "Sum"
    api = {"Ref": full.id_of("AWS::ApiGatewayV2::Api")}
    assert alarms["5xx"]["Dimensions"] == [{"Name": "ApiId", "Value": api}]


def test_alarms_reach_the_address_and_the_topic_lets_them_publish(full: Any, plain: Any) -> None:
    topic = {"Ref": full.id_of("AWS::SNS::Topic")}
    subscription = full.properties("AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "on-call@example.com")
    for alarm in full.all("AWS::CloudWatch::Alarm").values():
        if "AlarmName" in alarm["Properties"]:
            continue  # CodeDeploy is told of it
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
        "FunctionName": {"Ref": function_id(full)},
        "AliasArn": {"Ref": full.id_of("AWS::Lambda::Alias")},
        "ModelDigest": DIGEST,
    }
