"""Requests that are kept, from the endpoint to the monitors' arrays, and what is never seen of them."""

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from bundle.sampling import is_among
from coldpress.aws import Answer, send_signed
from emulator.server import Emulator
from examples.deployment import BIN, Deployment
from monitoring.build import build
from monitoring.captures import Batch, Seen, Tally, Wanted, batches
from monitoring.labels import GroundTruth, Join, read_line
from tests.e2e.endpoint import FAST, everything_said, figure, until
from tests.handlers.bundles import write_bundle
from tests.handlers.models import affine

NAME, RATE, REQUESTS = "kept", 0.5, 200
SECRET = 4711.0625
FORBIDDEN = ("4711.0625", "9423.125")  # what was sent, and what the model made of it: twice and one


class Kept:
    """A stage whose requests are kept, but for one column of them."""

    def __init__(self, emulator: Emulator, work: Path) -> None:
        self.emulator = emulator
        self.deployment = Deployment(work, NAME)
        capture = {"rate": RATE, "redact": ["x[1]", "y[1]"]}
        self.deployment.configure(
            model={"name": NAME}, provisioned_concurrency=None, throttling=FAST, capture=capture
        )
        x = np.float32([[1, 2, 3]])
        self.bundle = write_bundle(work, affine(), name=NAME, golden=[({"x": x}, {"y": 2 * x + 1})])
        self.deployment.push(self.bundle)
        self.deployment.deploy()

    def ask(self, number: int) -> Answer:
        body = json.dumps({"instances": [[number, SECRET, 0.5]]}).encode()
        url = f"{self.deployment.output('EndpointUrl')}/v1/models/{NAME}:predict"
        return send_signed(url, method="POST", body=body, headers={"x-inference-id": f"order-{number}"})

    def ask_all(self, numbers: range) -> list[int]:
        """Send these requests, the even ones twice; the numbers of those that are kept."""
        for number in numbers:
            for _ in range(1 + (number % 2 == 0)):
                answer = self.ask(number)
                assert answer.status == 200, answer.body
                assert json.loads(answer.body) == {"predictions": [[2 * number + 1, 2 * SECRET + 1, 2]]}
        return [number for number in numbers if is_among(f"order-{number}", RATE)]

    def objects(self, prefix: str) -> dict[str, bytes]:
        """What is in the bucket of captures."""
        s3: Any = boto3.client("s3")
        bucket = self.deployment.output("CaptureBucket")
        keys = [
            entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        ]
        return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def read(self) -> tuple[list[Batch], Tally]:
        """All captures, as a monitor reads them."""
        rng, seen, tally, found = np.random.default_rng(0), Seen(), Tally(), []
        rows = rng.normal(size=(50, 3)).astype(np.float32)
        wanted = Wanted(build({"x": rows}, {"y": rows}).tensors, self.bundle.name)
        for key, content in self.objects("captures/").items():
            found += batches([content], wanted, seen, tally, name=key)
        return found, tally

    @property
    def stream(self) -> str:
        resources = boto3.client("cloudformation").describe_stack_resources(StackName=self.deployment.stack)
        (found,) = [
            resource["PhysicalResourceId"]
            for resource in resources["StackResources"]
            if resource["ResourceType"] == "AWS::KinesisFirehose::DeliveryStream"
        ]
        return found

    def coldpress(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "coldpress"), *arguments]
        return subprocess.run(command, check=False, cwd=self.deployment.work, capture_output=True, text=True)


@pytest.mark.slow
def test_requests_are_kept_read_labelled_and_never_told(account: Emulator, tmp_path: Path) -> None:
    kept = Kept(account, tmp_path)
    numbers = kept.ask_all(range(REQUESTS))
    assert 70 < len(numbers) < 130
    twice = sum(number % 2 == 0 for number in numbers)
    sent = len(numbers) + twice
    until(lambda: figure("AWS/Firehose", "IncomingRecords", DeliveryStreamName=kept.stream) >= sent)
    account.advance(400)

    found, tally = kept.read()
    assert tally.counts["duplicated"] == twice
    assert tally.counts["redacted"] == tally.counts["read"] == len(numbers)
    assert sorted(name for batch in found for name in batch.ids) == sorted(f"order-{n}" for n in numbers)
    for batch in found:
        x, y = batch.inputs["x"], batch.outputs["y"]
        assert [f"order-{int(row[0])}" for row in x] == batch.ids
        np.testing.assert_array_equal(y[:, 0], 2 * x[:, 0] + 1)
        assert np.isnan(x[:, 1]).all()
        assert np.isnan(y[:, 1]).all()
    objects = kept.objects("captures/")
    assert all(key.startswith(f"captures/model={NAME}/date=") and "/hour=" in key for key in objects)
    content = b"".join(map(gzip.decompress, objects.values())).decode()
    lines = [json.loads(line) for line in content.splitlines()]
    assert {line["digest"] for line in lines} == {kept.bundle.name}
    assert len(lines) == sent

    truth = tmp_path / "truth.csv"
    truth.write_text("inferenceId,label\n" + "".join(f"order-{n},{n % 3}\n" for n in range(REQUESTS)))
    for _ in range(2):
        assert kept.coldpress("label", kept.deployment.stack, str(truth)).returncode == 0
    ((_, labels),) = kept.objects("labels/").items()
    join, joined = Join(rate=RATE), []
    for line in labels.splitlines():
        join.labelled(read_line(line))
    for batch in found:
        for name, row in zip(batch.ids, batch.outputs["y"].tolist(), strict=True):
            joined.append(join.predicted(name, [row[0]]))
    assert [one for one in joined if one is None] == []
    assert join.counts == {"joined": len(numbers), "uncaptured": REQUESTS - len(numbers)}
    assert join.labelled(GroundTruth(f"order-{numbers[0]}", numbers[0] % 3)) is None

    # Firehose is gone: requests are answered, and counted.
    boto3.client("firehose").delete_delivery_stream(DeliveryStreamName=kept.stream)
    lost = kept.ask_all(range(REQUESTS + 1, REQUESTS + 40, 2))
    version = {"Model": NAME, "Version": "1"}
    until(lambda: figure("coldpress", "CaptureFailures", **version) >= len(lost))
    assert figure("coldpress", "CaptureFailures", **version) == len(lost) > 0
    told = kept.coldpress("doctor", kept.deployment.stack).stdout
    assert f"within a day {len(lost)} requests could not be captured" in told

    said = everything_said(account)
    assert kept.deployment.stack in said
    assert "ResourceNotFoundException" in said
    for text in FORBIDDEN:
        assert text not in content
        assert text not in said
