"""`coldpress batch` on a stage that the CDK deployed: many objects, and a rerun of those that failed."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from examples.deployment import BIN, Deployment
from tests.e2e.cloud import Cloud
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine

NAME, BUCKET = "piles", "piles-of-requests"
GOLDEN = [({"x": np.float32([[1, 2, 3]])}, {"y": np.float32([[3, 5, 7]])})]
GOOD, BAD = b'{"instances": [[1, 2, 3]]}', b'{"instances": [[1, 2]]}'
OBJECTS = 30
BROKEN = {3, 17, 28}
INPUT, OUTPUT = f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/"


def batch(*arguments: str) -> tuple[int, str, str]:
    """The command's exit status, and what it printed to stdout and stderr."""
    command = [str(BIN / "coldpress"), "batch", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=dict(os.environ))
    return done.returncode, done.stdout, done.stderr


class Bucket:
    """What lies in S3."""

    def __init__(self) -> None:
        self._s3: Any = boto3.client("s3")
        self._s3.create_bucket(Bucket=BUCKET)

    def put(self, number: int, body: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=f"in/{number:02}.json", Body=body)

    def read(self, key: str) -> Any:
        return json.loads(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def written(self) -> dict[str, Any]:
        """The answers, and when each was written."""
        found = self._s3.list_objects_v2(Bucket=BUCKET, Prefix="out/").get("Contents", [])
        return {
            entry["Key"]: entry["LastModified"]
            for entry in found
            if not entry["Key"].startswith("out/_batch")
        }


@pytest.fixture
def deployment(cloud: Cloud, tmp_path: Path) -> Deployment:
    deployment = Deployment(tmp_path, NAME)
    deployment.configure(model={"name": NAME}, provisioned_concurrency=None, batch={"buckets": [BUCKET]})
    folder = tmp_path / "bundles"
    folder.mkdir()
    deployment.push(write_bundle(folder, affine(), name=NAME, golden=GOLDEN))
    deployment.deploy()
    return deployment


@pytest.mark.slow
def test_a_pile_of_objects_is_answered_and_what_failed_is_done_again(deployment: Deployment) -> None:
    bucket = Bucket()
    for number in range(OBJECTS):
        bucket.put(number, BAD if number in BROKEN else GOOD)
    status, told, progress = batch(INPUT, OUTPUT, "--json")
    assert status == 1, told + progress
    assert progress == ""  # nobody looks
    report = json.loads(told)
    assert (report["answered"], report["failed"]) == (OBJECTS - len(BROKEN), len(BROKEN))
    client: Any = boto3.client("stepfunctions")
    cause = client.describe_execution(executionArn=report["execution"])["cause"]
    assert cause == f"3 objects failed, and {report['results']}failures.json says why."
    failures = bucket.read(f"out/_batch/{report['run']}/failures.json")
    assert [failure["Key"] for failure in failures] == [f"in/{number:02}.json" for number in sorted(BROKEN)]
    assert all("but the model takes [batch, 3]" in failure["Error"] for failure in failures)
    first = bucket.written()
    answers = {f"out/{number:02}.json.out" for number in range(OBJECTS) if number not in BROKEN}
    assert first.keys() == answers
    assert bucket.read("out/00.json.out") == {"predictions": [[3.0, 5.0, 7.0]]}

    # Two of them are mended, and only those that failed are asked again.
    mended = sorted(BROKEN)[:2]
    for number in mended:
        bucket.put(number, GOOD)
    status, told, _ = batch(INPUT, OUTPUT, deployment.stack, "--retry", report["run"])
    assert status == 1, told
    assert "2 answered by version 1, below s3://piles-of-requests/out/" in told
    assert "in/28.json: 400: input 'x' has shape [1, 2], but the model takes [batch, 3]." in told
    again = bucket.written()
    assert again.keys() == answers | {f"out/{number:02}.json.out" for number in mended}
    assert {key: again[key] for key in first} == first  # no other was written anew
    assert bucket.read(f"out/{mended[0]:02}.json.out") == {"predictions": [[3.0, 5.0, 7.0]]}

    bucket.put(28, GOOD)
    last = told.rstrip(".\n").rpartition(" ")[2]
    assert batch(INPUT, OUTPUT, deployment.stack, "--retry", last)[0] == 0

    # What is taken out of cdk.json is gone.
    machine = deployment.output("BatchArn")
    deployment.change(batch=None)
    deployment.deploy()
    assert machine not in [
        entry["stateMachineArn"] for entry in client.list_state_machines()["stateMachines"]
    ]
    status, _, told = batch(INPUT, OUTPUT, deployment.stack)
    assert status == 2
    assert (
        'has no batches for piles: write "batch": {"buckets": ["piles-of-requests"]} into its stage' in told
    )
