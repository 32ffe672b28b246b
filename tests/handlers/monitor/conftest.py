import tempfile
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from handlers.monitor import job
from tests.handlers.monitor.world import World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # An emulator that other tests share would be asked in moto's place.
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where originals are kept
    monkeypatch.setattr(job, "_originals", {})
    with mock_aws():
        yield World(boto3.client("s3"), tmp_path)
