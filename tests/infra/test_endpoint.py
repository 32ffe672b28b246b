"""``ModelEndpoint`` in somebody else's app, which has no cdk.json and no feature flags of ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks

from infra import EndpointConfig, InvalidConfig, Model, ModelEndpoint, ProvisionedConcurrency
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
