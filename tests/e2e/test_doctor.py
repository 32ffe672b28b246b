"""`coldpress doctor` on stages that the CDK deployed and somebody then spoiled."""

import json

import boto3
import pytest

from coldpress.aws import stack_output
from emulator.images import ImageStore
from examples.deployment import REGISTRY
from tests.e2e.endpoint import Endpoint, total, until

pytestmark = pytest.mark.slow


def findings(endpoint: Endpoint) -> dict[str, str]:
    """What it found, by check, but for the small quota of every new account."""
    code, told = endpoint.run("doctor", endpoint.stack)
    lines = [line.partition(": ")[::2] for line in told.splitlines()]
    found = {check: sentence for check, sentence in lines if not check.startswith("not checked")}
    assert found.pop("quota").startswith("Lambda runs at most 10 environments")
    assert code == 1
    return found


def test_provisioned_concurrency_whose_init_fails(make_endpoint):
    endpoint = make_endpoint("failing", provisioned_concurrency={"min": 1, "max": 2})
    endpoint.push(total(2), answer=20)
    endpoint.deployment.deploy()
    assert "provisioned concurrency" not in findings(endpoint)
    # The bundle goes, and with the next environment the init fails; the one that is there still answers.
    bucket = boto3.resource("s3").Bucket(stack_output(REGISTRY, "BucketName"))
    bucket.objects.filter(Prefix="models/failing/").delete()
    version = endpoint.alias["FunctionVersion"]
    boto3.client("lambda").put_provisioned_concurrency_config(
        FunctionName=endpoint.function, Qualifier=version, ProvisionedConcurrentExecutions=2
    )
    until(lambda: endpoint.provisioned == {version: "FAILED"})
    found = findings(endpoint)
    failed = f"provisioned concurrency of '{version}' failed (FUNCTION_ERROR_INIT_FAILURE)"
    assert found["provisioned concurrency"].startswith(f"{failed}: read the function's log")
    assert found["golden check"].startswith("the bundle that serves is gone from the registry")


def test_what_somebody_did_by_hand(make_endpoint):
    endpoint = make_endpoint("spoiled", alarms={"errors": 7})
    digests = []
    for factor in (2, 3):
        digests.append(endpoint.push(total(factor), answer=10 * factor))
        endpoint.deployment.deploy()
    endpoint.answer()
    assert findings(endpoint) == {}
    deploy_older_release(endpoint)
    lambda_ = boto3.client("lambda")
    lambda_.update_function_configuration(FunctionName=endpoint.function, MemorySize=512)
    lambda_.update_alias(FunctionName=endpoint.function, Name="live", FunctionVersion="1")
    found = findings(endpoint)
    old, new = (digest[:12] for digest in digests)
    assert found["digest"].startswith(f"the alias serves {old} (version 1), but the stack deployed {new}")
    assert found["image"].startswith("the image was built from other code than lies here: run `cdk deploy")
    assert "(AWS::Lambda::Function) was changed by hand" in found["drift"]
    assert found["golden check"].startswith("no check of the golden answers precedes the traffic")
    assert found.keys() == {"digest", "image", "drift", "golden check"}
    # A deployment mends all of it.
    endpoint.deployment.change(memory_mb=1024)
    endpoint.deployment.deploy()
    assert findings(endpoint) == {}
    assert endpoint.answer() == 30


def deploy_older_release(endpoint: Endpoint) -> None:
    """The stage as a release deployed it that had other code, and no check before the traffic."""
    uri = boto3.client("lambda").get_function(FunctionName=endpoint.function)["Code"]["ImageUri"]
    asset, older = uri.rpartition(":")[2], "0" * 64
    ImageStore(endpoint.emulator.state_dir / "images").tag(uri, uri.replace(asset, older))
    cloudformation = boto3.client("cloudformation")
    template = cloudformation.get_template(StackName=endpoint.stack)["TemplateBody"]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Alias":
            del resource["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["BeforeAllowTrafficHook"]
    cloudformation.update_stack(
        StackName=endpoint.stack,
        TemplateBody=json.dumps(template).replace(asset, older),
        Parameters=[{"ParameterKey": "BootstrapVersion", "UsePreviousValue": True}],
    )
