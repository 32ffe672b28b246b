"""Several models behind one API, of both kinds, through the real CLI: added, removed, with keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from coldpress.aws import Answer, send_signed, stack_output
from emulator.server import Emulator
from examples.deployment import Deployment
from tests.e2e.endpoint import Endpoint, total
from tests.emulator.requests import send
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine

pytestmark = pytest.mark.slow  # every case is several deployments
TWO: dict[str, Any] = {"first": {}, "second": {}}
PLAIN: dict[str, Any] = {"model": None, "provisioned_concurrency": None}
PAGE = "https://app.example.com"
Start = Callable[..., Deployment]


@pytest.fixture
def start(account: Emulator, tmp_path: Path) -> Start:
    """Configure a stage, push a bundle for each of its models and deploy it."""

    def run(stage: str, models: dict[str, Any], **settings: Any) -> Deployment:
        deployment = Deployment(tmp_path, stage)
        deployment.configure(**PLAIN, models=models, **settings)
        for name in models:
            deployment.push(write_bundle(tmp_path, affine(), name=name))
        deployment.deploy()
        return deployment

    return run


def configured(deployment: Deployment) -> dict[str, Any]:
    """The stage as it stands in cdk.json now, pins included."""
    config = json.loads((deployment.work / "cdk.json").read_text())
    stage: dict[str, Any] = config["context"]["coldpress"][deployment.stage]
    return stage


def metadata(deployment: Deployment, path: str) -> Answer:
    return send_signed(deployment.output("EndpointUrl") + path)


def objects(prefix: str) -> set[str]:
    bucket = stack_output("coldpress-registry", "BucketName")
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix)
    return {item["Key"] for item in found.get("Contents", [])}


@pytest.mark.parametrize("api", ["http", "rest"])
def test_a_model_that_leaves_cdk_json_loses_its_routes_and_keeps_its_bundles(start: Start, api: str) -> None:
    deployment = start(f"two-{api}", TWO, api=api)
    for path in ("/v1/models/first", "/v2/models/first", "/v1/models/second", "/v2/models/second/ready"):
        assert metadata(deployment, path).status == 200, path
    assert metadata(deployment, "/v2/health/ready").status == 200
    data = json.dumps({"instances": [[1, 2, 3]]}).encode()
    url = deployment.output("EndpointUrl")
    asked = send_signed(f"{url}/v1/models/second:predict", method="POST", body=data)
    assert json.loads(asked.body) == {"predictions": [[3, 5, 7]]}
    bundles = objects("models/second/")
    assert bundles
    pinned = configured(deployment)
    deployment.configure(**pinned | {"models": {"first": pinned["models"]["first"]}})
    deployment.deploy()
    gone = metadata(deployment, "/v1/models/second")
    assert gone.status == 404
    assert "this endpoint serves 'first'" in json.loads(gone.body)["error"]
    assert metadata(deployment, "/v1/models/first").status == 200
    assert objects("models/second/") == bundles
    # The other way round: whoever is first takes what is left.
    deployment.configure(**pinned | {"models": {"second": pinned["models"]["second"]}})
    deployment.deploy()
    assert metadata(deployment, "/v1/models/second").status == 200
    assert metadata(deployment, "/v1/models/first").status == 404
    assert deployment.output("EndpointUrl") == url


@pytest.mark.parametrize("api", ["http", "rest"])
def test_an_earlier_version_keeps_its_route(make_endpoint: Callable[..., Endpoint], api: str) -> None:
    endpoint = make_endpoint(f"earlier-{api}", api=api)
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    assert endpoint.answer() == endpoint.answer("/versions/1") == 20
    endpoint.push(total(3), answer=30)
    endpoint.deployment.change(model={"versions": [1]})
    endpoint.deployment.deploy()
    assert endpoint.answer() == endpoint.answer("/versions/2") == 30
    assert endpoint.answer("/versions/1") == 20
    assert endpoint.ask(version="/versions/3").status == 404
    endpoint.deployment.change(model={"versions": []})
    endpoint.deployment.deploy()
    assert endpoint.answer() == 30
    assert endpoint.ask(version="/versions/1").status == 404


def test_api_keys_open_a_rest_api_and_a_quota_ends_it(start: Start) -> None:
    deployment = start(
        "keyed",
        {"first": {}},
        api="rest",
        authorization="api_key",
        api_keys=["shop", "office"],
        quota={"limit": 3, "period": "day"},
        cors={"origins": [PAGE]},
        streaming=True,
    )
    keys = boto3.client("apigateway")
    shop, office = (
        keys.get_api_key(apiKey=key_id, includeValue=True)["value"]
        for key_id in deployment.output("ApiKeyIds").split()
    )
    url = deployment.output("EndpointUrl")

    def ask(key: str) -> int:
        return send(url, "/v2/models/first", headers={"x-api-key": key}).status

    assert ask("guessed") == 403
    asked = send(url, "/v2/models/first", method="OPTIONS", headers={"origin": PAGE})
    assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, PAGE)
    assert "x-api-key" in asked.headers["access-control-allow-headers"]
    read = send(url, "/v2/nothing", headers={"x-api-key": office, "origin": PAGE})
    assert (read.status, read.headers["access-control-allow-origin"]) == (404, PAGE)
    assert [ask(shop) for _ in range(4)] == [200, 200, 200, 429]
    assert ask(office) == 200
