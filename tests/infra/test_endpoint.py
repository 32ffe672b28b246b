"""``ModelEndpoint`` in somebody else's app, which has no cdk.json and no feature flags of ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from cdk_nag import AwsSolutionsChecks

from infra import (
    ApiConfig,
    EndpointConfig,
    InvalidConfig,
    Model,
    ModelEndpoint,
    ProvisionedConcurrency,
    PushedImage,
    build_api,
)
from infra.constructs.model_bucket import ModelBucket

CONFIG = EndpointConfig(model=Model(name="digits", version=2, digest="ab" * 32), memory_mb=512)


def synthesise(app: App) -> dict[str, Any]:
    folder = Path(app.synth().directory)
    content: dict[str, Any] = json.loads((folder / "Shop.template.json").read_text())
    return content


def resources(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item["Properties"] for item in template["Resources"].values() if item["Type"] == kind]


def known_by_name(stack: Stack) -> s3.IBucket:
    return s3.Bucket.from_bucket_name(stack, "Models", "shop-models")


def of_the_same_stack(stack: Stack) -> s3.IBucket:
    return ModelBucket(stack, "Models").bucket


@pytest.mark.parametrize("existing_bucket", [known_by_name, of_the_same_stack])
def test_it_serves_from_an_existing_bucket_and_passes_cdk_nag(
    tmp_path: Path, existing_bucket: Callable[[Stack], s3.IBucket]
) -> None:
    app = App(outdir=str(tmp_path), auto_synth=False)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    stack = Stack(app, "Shop")
    bucket = existing_bucket(stack)
    endpoint = ModelEndpoint(stack, "Digits", bucket=bucket, config=CONFIG)
    template = synthesise(app)
    (function,) = [
        item
        for item in resources(template, "AWS::Lambda::Function")
        if "COLDPRESS_VERSION" in item["Environment"]["Variables"]
    ]
    assert function["MemorySize"] == 512
    assert function["Environment"]["Variables"]["COLDPRESS_BUCKET"] == stack.resolve(bucket.bucket_name)
    (alias,) = resources(template, "AWS::Lambda::Alias")
    assert alias["FunctionName"] == stack.resolve(endpoint.function.function_name)


def test_two_in_one_stack_and_a_role_that_may_call_one(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), auto_synth=False)
    stack = Stack(app, "Shop")
    bucket = known_by_name(stack)
    first = ModelEndpoint(stack, "First", bucket=bucket, config=CONFIG)
    second = ModelEndpoint(stack, "Second", bucket=bucket, config=CONFIG)
    role = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    first.grant_invoke(role)
    template = synthesise(app)
    policies = [
        item for item in resources(template, "AWS::IAM::Policy") if item["PolicyName"].startswith("Caller")
    ]
    (statement,) = policies[0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == "execute-api:Invoke"
    granted = json.dumps(statement["Resource"])
    assert json.dumps(stack.resolve(first.api.api_id)) in granted
    assert json.dumps(stack.resolve(second.api.api_id)) not in granted


def test_endpoints_that_share_an_api_are_granted_one_by_one(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), auto_synth=False)
    stack = Stack(app, "Shop")
    api, bucket = build_api(stack, "Api", config=ApiConfig()), known_by_name(stack)
    digits, letters = (
        ModelEndpoint(
            stack,
            name,
            bucket=bucket,
            api=api,
            config=EndpointConfig(model=Model(name=name, digest="ab" * 32)),
        )
        for name in ("digits", "letters")
    )
    assert digits.url == letters.url
    role = iam.Role(stack, "Caller", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
    letters.grant_invoke(role)
    template = synthesise(app)
    (policy,) = [
        item for item in resources(template, "AWS::IAM::Policy") if item["PolicyName"].startswith("Caller")
    ]
    (statement,) = policy["PolicyDocument"]["Statement"]
    granted = json.dumps(statement["Resource"])
    for path in ("/v1/models/letters", "/v1/models/letters:*", "/v2/models/letters/*", "/v2/*"):
        assert f'/*/*{path}"' in granted
    assert "digits" not in json.dumps(statement)
    assert len(resources(template, "AWS::ApiGatewayV2::Api")) == 1


def test_an_api_of_somebody_elses_gets_the_models_own_routes(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), auto_synth=False)
    stack = Stack(app, "Shop")
    theirs = apigatewayv2.HttpApi(stack, "Theirs")
    endpoint = ModelEndpoint(stack, "Digits", bucket=known_by_name(stack), api=theirs, config=CONFIG)
    template = synthesise(app)
    keys = {route["RouteKey"] for route in resources(template, "AWS::ApiGatewayV2::Route")}
    assert "ANY /v1/models/digits:predict" in keys
    assert "ANY /{proxy+}" not in keys
    assert endpoint.api is theirs
    assert len(resources(template, "AWS::ApiGatewayV2::Api")) == 1
    assert len(resources(template, "AWS::ApiGatewayV2::Stage")) == 1


def test_a_key_a_topic_and_an_image_may_be_there_already(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path), auto_synth=False)
    stack = Stack(app, "Shop")
    repository = ecr.Repository.from_repository_name(stack, "Images", "coldpress")
    topic = sns.Topic.from_topic_arn(stack, "Told", "arn:aws:sns:eu-west-1:123456789012:told")
    key_arn = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
    endpoint = ModelEndpoint(
        stack,
        "Digits",
        bucket=known_by_name(stack),
        config=CONFIG,
        image=PushedImage(repository, f"sha256:{'ab' * 32}"),
        key=kms.Key.from_key_arn(stack, "Key", key_arn),
        topic=topic,
    )
    template = synthesise(app)
    (alias,) = resources(template, "AWS::Lambda::Alias")
    function = template["Resources"][alias["FunctionName"]["Ref"]]["Properties"]
    assert function["KmsKeyArn"] == key_arn
    assert f"coldpress@sha256:{'ab' * 32}" in json.dumps(function["Code"])
    alarms = resources(template, "AWS::CloudWatch::Alarm")
    told = [alarm for alarm in alarms if alarm.get("AlarmActions") == [topic.topic_arn]]
    assert len(told) == len(endpoint.alarms)
    assert not resources(template, "AWS::SNS::Topic")


def test_its_metrics_are_the_models(tmp_path: Path) -> None:
    stack = Stack(App(outdir=str(tmp_path), auto_synth=False), "Shop")
    endpoint = ModelEndpoint(stack, "Digits", bucket=known_by_name(stack), config=CONFIG)
    metric = endpoint.metric_latency("p90")
    assert (metric.namespace, metric.metric_name, metric.statistic) == ("coldpress", "Latency", "p90")
    assert metric.dimensions == {"Model": "digits", "Version": "2"}
    counts = [endpoint.metric_requests(), endpoint.metric_errors(), endpoint.metric_cold_starts()]
    assert [one.metric_name for one in counts] == ["Requests", "Errors", "ColdStarts"]


def test_its_parts_can_be_built_upon(tmp_path: Path) -> None:
    stack = Stack(App(outdir=str(tmp_path), auto_synth=False), "Shop")
    endpoint = ModelEndpoint(stack, "Digits", bucket=known_by_name(stack), config=CONFIG)
    assert [alarm.node.id for alarm in endpoint.alarms] == [
        "Errors",
        "ServerErrors",
        "P99Latency",
        "Throttles",
    ]
    assert endpoint.alias.alias_name == "live"
    assert endpoint.dashboard.node.path.startswith("Shop/Digits/")
    assert endpoint.api.node.path.startswith("Shop/Digits/")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (
            EndpointConfig(model=Model(name="digits")),
            "ModelEndpoint Shop/Digits.model.digest is missing: take the one that `coldpress push` printed.",
        ),
        (
            EndpointConfig(
                model=Model(name="digits", digest="ab" * 32),
                provisioned_concurrency=ProvisionedConcurrency(min=0),
            ),
            "ModelEndpoint Shop/Digits.provisioned_concurrency.min is 0, but the smallest number is 1",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_in_python_as_well(
    tmp_path: Path, config: EndpointConfig, sentence: str
) -> None:
    stack = Stack(App(outdir=str(tmp_path), auto_synth=False), "Shop")
    with pytest.raises(InvalidConfig) as caught:
        ModelEndpoint(stack, "Digits", bucket=known_by_name(stack), config=config)
    assert str(caught.value).startswith(sentence)
