"""Where captured requests go, and who may put, read and keep them, read from the template."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.config import InvalidConfig
from infra.stages import load_stages
from tests.infra.test_batch import statements

DIGEST = "0123456789abcdef" * 4
STAGE = {
    "models": {
        "ocr": {"digest": DIGEST, "capture": {"rate": 0.25, "outputs": False, "redact": ["name", "x[3]"]}},
        "layout": {"digest": DIGEST, "capture": {"retention_days": 7}},
        "plain": {"digest": DIGEST},
    }
}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
Synthesise = Callable[..., Any]


@pytest.fixture(scope="module")
def template(synthesise: Synthesise) -> Any:
    return synthesise(STAGE).stack("coldpress-dev")


def stream_of(template: Any, model: str) -> tuple[str, dict[str, Any]]:
    (found,) = [
        (name, body["Properties"])
        for name, body in template.all("AWS::KinesisFirehose::DeliveryStream").items()
        if f"/model={model}/" in body["Properties"]["ExtendedS3DestinationConfiguration"]["Prefix"]
    ]
    return found


def variables(template: Any, model: str) -> dict[str, Any]:
    (found,) = [
        function["Environment"]["Variables"]
        for function in template.serving()
        if function["Environment"]["Variables"]["COLDPRESS_MODEL"] == model
    ]
    return {name: value for name, value in found.items() if "CAPTURE" in name}


def test_the_function_knows_its_stream(template: Any) -> None:
    assert variables(template, "ocr") == {
        "COLDPRESS_CAPTURE_STREAM": {"Ref": stream_of(template, "ocr")[0]},
        "COLDPRESS_CAPTURE_RATE": "0.25",
        "COLDPRESS_CAPTURE_TENSORS": "inputs",
        "COLDPRESS_CAPTURE_REDACT": '["name", "x[3]"]',
    }
    assert variables(template, "layout") == {
        "COLDPRESS_CAPTURE_STREAM": {"Ref": stream_of(template, "layout")[0]},
        "COLDPRESS_CAPTURE_RATE": "0.01",
        "COLDPRESS_CAPTURE_TENSORS": "inputs outputs",
    }


def test_nothing_is_kept_unasked(template: Any, synthesise: Synthesise) -> None:
    assert variables(template, "plain") == {}
    without = synthesise({"model": {"name": "ocr", "digest": DIGEST}}).stack("coldpress-dev")
    assert not without.all("AWS::KinesisFirehose::DeliveryStream")
    assert not without.all("AWS::S3::Bucket")
    assert "CaptureBucket" not in without.outputs


def test_records_are_gathered_by_model_and_hour(template: Any) -> None:
    _, stream = stream_of(template, "ocr")
    destination = stream["ExtendedS3DestinationConfiguration"]
    assert stream["DeliveryStreamType"] == "DirectPut"
    assert stream["DeliveryStreamEncryptionConfigurationInput"] == {"KeyType": "AWS_OWNED_CMK"}
    # Records come gzipped, and behind each other they are a gzip, too.
    assert (destination["CompressionFormat"], destination["FileExtension"]) == ("UNCOMPRESSED", ".gz")
    assert destination["Prefix"] == ("captures/model=ocr/date=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/")
    assert "!{firehose:error-output-type}" in destination["ErrorOutputPrefix"]
    assert destination["ErrorOutputPrefix"].startswith("capture-errors/model=ocr/")
    assert 60 <= destination["BufferingHints"]["IntervalInSeconds"] <= 900


def test_the_function_may_put_records_of_its_model_and_read_none(template: Any) -> None:
    name, _ = stream_of(template, "ocr")
    found = statements(template, "reads the bundles and uploads of ocr, writes its own log")
    assert [place for action, place in found if action.startswith("firehose:")] == [f"<{name}.Arn>"]
    assert {action for action, _ in found if action.startswith("firehose:")} == {"firehose:PutRecord"}
    assert not [place for _, place in found if "captures" in place]


def test_firehose_may_write_below_its_model_alone(template: Any) -> None:
    found = statements(template, "puts captured requests of ocr into their bucket")
    objects = {place.partition("/")[2] for _, place in found if "/" in place}
    assert objects == {"captures/model=ocr/*", "capture-errors/model=ocr/*"}
    assert not [action for action, _ in found if "Delete" in action or "*" in action]


def test_the_bucket_is_closed_and_stays_and_forgets(template: Any) -> None:
    (body,) = template.all("AWS::S3::Bucket").values()
    bucket = body["Properties"]
    assert (body["DeletionPolicy"], body["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert "VersioningConfiguration" not in bucket
    kept = {
        rule["Prefix"]: rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"][1:]
    }
    names = ("captures", "capture-errors", "labels")
    assert kept == {
        f"{name}/model={model}/": days for name in names for model, days in (("ocr", 30), ("layout", 7))
    }
    (policy,) = template.all("AWS::S3::BucketPolicy").values()
    denied = [one for one in policy["Properties"]["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [one["Condition"] for one in denied]


def test_a_key_encrypts_what_is_kept(synthesise: Synthesise) -> None:
    template = synthesise({**STAGE, "kms_key_arn": KEY}).stack("coldpress-dev")
    (body,) = template.all("AWS::S3::Bucket").values()
    (rule,) = body["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == KEY
    found = statements(template, "puts captured requests of ocr into their bucket")
    assert {action for action, place in found if place == KEY} == {"kms:Decrypt", "kms:GenerateDataKey"}


def test_the_outputs_name_the_bucket(template: Any) -> None:
    (name,) = template.all("AWS::S3::Bucket")
    assert template.outputs["CaptureBucket"] == {"Ref": name}
    assert template.outputs["LayoutCaptureBucket"] == {"Ref": name}
    assert "PlainCaptureBucket" not in template.outputs


@pytest.mark.parametrize(
    ("capture", "sentence"),
    [
        ({"rate": 0}, "capture.rate is 0, but it takes a share of the requests, above 0 and up to 1."),
        ({"rate": 2}, "capture.rate is 2, but it takes a share of the requests, above 0 and up to 1."),
        (True, 'capture is true, but it takes the share of requests to keep: {"rate": 0.01}.'),
        (
            {"inputs": False, "outputs": False},
            "capture keeps neither inputs nor outputs: set one, or take it out.",
        ),
        (
            {"redact": "name"},
            'capture.redact is "name", but it takes a list of up to 20 tensors and columns of their rows, '
            'like ["name", "x[3]"].',
        ),
        ({"retention_days": 0}, "capture.retention_days is 0, but it takes whole days from 1 to 3653."),
        (
            {"retention": 3},
            "capture.retention is no key (did you mean retention_days?): known are rate, inputs, outputs, "
            "redact, retention_days.",
        ),
    ],
)
def test_what_cannot_be_captured_is_refused(capture: Any, sentence: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        load_stages({"coldpress": {"dev": {"model": {"name": "ocr"}, "capture": capture}}})
    assert str(refused.value) == f"cdk.json: coldpress.dev.{sentence}"
