"""One object of a batch, and the report on all: moto's S3, and a real bundle behind Lambda's Invoke."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from handlers.batch import app
from handlers.batch.item import Busy, ObjectFailed
from handlers.inference.service import Service
from tests.handlers.pretraffic.aws import NotReady, TooManyRequests, Versions

JOB: dict[str, Any] = {
    "version": "7",
    "path": "/v1/models/toy:predict",
    "input": {"bucket": "data", "prefix": "in/"},
    "output": {"bucket": "data", "prefix": "out/"},
    "results": {"bucket": "data", "prefix": "out/_batch/b1/"},
}
BODY = b'{"instances": [[1, 2, 3]]}'


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "COLDPRESS_FUNCTION": "endpoint",
    }.items():
        monkeypatch.setenv(name, value)
    # An emulator that other tests share would be asked in moto's place.
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="data")
        yield client


@pytest.fixture
def versions(affine_bundle: Path, s3: Any, monkeypatch: pytest.MonkeyPatch) -> Versions:
    versions = Versions(Service.from_folder(affine_bundle))
    monkeypatch.setattr(app, "_client", {"s3": s3, "lambda": versions}.__getitem__)
    return versions


@pytest.fixture
def ask(s3: Any, versions: Versions) -> Callable[..., Any]:
    """Put an object, and have it answered."""

    def run(key: str, body: bytes, content_type: str = "application/json", **job: Any) -> Any:
        s3.put_object(Bucket="data", Key=key, Body=body, ContentType=content_type)
        return app.handler({"key": key, "job": JOB | job}, None)

    return run


def read(s3: Any, key: str) -> Any:
    return json.loads(s3.get_object(Bucket="data", Key=key)["Body"].read())


def test_the_answer_is_at_the_same_key_below_the_output(ask: Callable[..., Any], s3: Any) -> None:
    assert ask("in/2026/a.json", BODY) == {"key": "out/2026/a.json.out"}
    assert read(s3, "out/2026/a.json.out") == {"predictions": [[3.0, 5.0, 7.0]]}
    assert s3.head_object(Bucket="data", Key="out/2026/a.json.out")["ContentType"] == "application/json"


def test_an_object_uploaded_without_a_type_is_read_as_what_the_path_takes(ask: Callable[..., Any]) -> None:
    assert ask("in/a", BODY, "binary/octet-stream") == {"key": "out/a.out"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"instances": [[1, 2]]}', "400: input 'x' has shape [1, 2], but the model takes [batch, 3]."),
        (b"{", "400: "),
    ],
)
def test_what_the_endpoint_refuses_fails_with_its_sentence(
    ask: Callable[..., Any], s3: Any, body: bytes, sentence: str
) -> None:
    with pytest.raises(ObjectFailed) as failed:
        ask("in/bad.json", body)
    assert str(failed.value).startswith(sentence)
    assert s3.list_objects_v2(Bucket="data", Prefix="out/")["KeyCount"] == 0


def test_an_object_that_lambda_does_not_carry_is_not_sent(
    ask: Callable[..., Any], versions: Versions
) -> None:
    with pytest.raises(ObjectFailed, match="it has 5000000 bytes, and Lambda carries 4639948: split it"):
        ask("in/large", bytes(5_000_000))
    assert versions.invoked == 0


def test_an_empty_folder_of_the_console_is_no_request(ask: Callable[..., Any], versions: Versions) -> None:
    assert ask("in/2026/", b"") == {}
    assert versions.invoked == 0


@pytest.mark.parametrize("refusal", [TooManyRequests, NotReady])
def test_what_passes_is_raised_by_the_name_that_is_tried_again(
    ask: Callable[..., Any], versions: Versions, monkeypatch: pytest.MonkeyPatch, refusal: type[Exception]
) -> None:
    def refuse(**_: Any) -> None:
        raise refusal

    monkeypatch.setattr(versions, "invoke", refuse)
    with pytest.raises(Busy):
        ask("in/a.json", BODY)


def test_a_function_that_dies_is_named(ask: Callable[..., Any], versions: Versions) -> None:
    versions.error = {"errorType": "Runtime.ExitError", "errorMessage": "it ended"}
    with pytest.raises(ObjectFailed, match=r"Runtime\.ExitError: it ended"):
        ask("in/a.json", BODY)


def test_the_report_lists_what_failed_and_why(s3: Any, versions: Versions) -> None:
    def child(key: str, **more: str) -> dict[str, str]:
        return {"Input": json.dumps({"key": key, "job": JOB}), "Status": "FAILED", **more}

    raised = json.dumps({"errorType": "ObjectFailed", "errorMessage": "400: no shape."})
    files = {
        "FAILED_0.json": [child("in/z", Error="ObjectFailed", Cause=raised)],
        "FAILED_1.json": [child("in/b", Error="States.Timeout"), child("in/c", Cause="plain words")],
        "PENDING_0.json": [child("in/d")],
    }
    prefix = "out/_batch/b1/11-22/"
    for name, content in files.items():
        s3.put_object(Bucket="data", Key=prefix + name, Body=json.dumps(content))
    listed = {
        kind: [{"Key": prefix + name, "Size": 1} for name in files if name.startswith(kind)]
        for kind in ("FAILED", "PENDING", "SUCCEEDED")
    }
    s3.put_object(Bucket="data", Key=prefix + "manifest.json", Body=json.dumps({"ResultFiles": listed}))
    told = app.handler({"job": JOB, "manifest": {"Bucket": "data", "Key": prefix + "manifest.json"}}, None)
    assert told == {"failed": 4, "failures": "s3://data/out/_batch/b1/failures.json"}
    assert read(s3, "out/_batch/b1/failures.json") == [
        {"Key": "in/b", "Error": "States.Timeout"},
        {"Key": "in/c", "Error": "plain words"},
        {"Key": "in/d", "Error": "FAILED"},
        {"Key": "in/z", "Error": "400: no shape."},
    ]
