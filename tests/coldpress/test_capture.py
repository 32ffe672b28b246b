"""What `doctor` and `destroy` say of a stage whose requests are kept."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from coldpress.main import main
from tests.coldpress.stages import Account, template_of

DIGEST = "1" * 64
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def account(account: Account) -> Account:
    template = template_of(DIGEST, 2, {"Captures": {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"}})
    variables = template["Resources"]["Function"]["Properties"]["Environment"]["Variables"]
    variables["COLDPRESS_CAPTURE_STREAM"] = "the-stream"
    template["Outputs"]["CaptureBucket"] = {"Value": {"Ref": "Captures"}}
    account.client("cloudformation").create_stack(StackName="kept", TemplateBody=json.dumps(template))
    account.deploy("unkept", DIGEST)
    return account


@pytest.fixture
def run(account: Account, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[int, str]:
        status = main(arguments)
        told = capsys.readouterr()
        return status, told.out + told.err

    return run


def tell(account: Account, namespace: str, metric: str, *values: float, **dimensions: str) -> None:
    named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
    data: list[Any] = [{"MetricName": metric, "Dimensions": named, "Value": value} for value in values]
    account.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=data)


def test_doctor_says_what_was_lost_and_destroy_what_is_kept(run: Run, account: Account) -> None:
    _, told = run("doctor", "kept")
    assert "capture:" not in told
    version = {"Model": "classifier", "Version": "2"}
    tell(account, "coldpress", "CaptureFailures", 1, 1, 1, **version)
    tell(account, "coldpress", "CaptureTooLarge", 1, **version)
    tell(account, "AWS/Firehose", "DeliveryToS3.Success", 1, 0, 0, 1, DeliveryStreamName="the-stream")
    tell(account, "AWS/Firehose", "DeliveryToS3.DataFreshness", 301, 4000, DeliveryStreamName="the-stream")
    status, told = run("doctor", "kept")
    assert status == 1
    assert "capture: within a day 3 requests could not be captured" in told
    assert "capture: within a day 1 requests were larger than the 1,000 KB" in told
    assert "the-stream failed 2 times to put captured requests into S3, and was 4000 s behind" in told
    bucket = account.output("kept", "CaptureBucket")
    status, told = run("destroy", "kept", "--force")
    assert status == 0, told
    assert f"kept: captured requests of classifier, and their labels, in s3://{bucket}," in told
    account.client("s3").head_bucket(Bucket=bucket)


def test_a_stage_that_keeps_nothing_is_not_told_of(run: Run) -> None:
    assert "captured requests" not in run("destroy", "unkept", "--force")[1]
