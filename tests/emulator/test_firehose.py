"""Delivery streams: what is gathered, when it is delivered, and under which name."""

import gzip
import random
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from emulator.audit import compare
from tests.emulator.stacks import Stack

PREFIX = "captures/date=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"


def template(prefix: str = PREFIX, seconds: int = 120, megabytes: int = 1, **more: Any) -> dict[str, Any]:
    destination = {
        "BucketARN": {"Fn::GetAtt": ["Bucket", "Arn"]},
        "RoleARN": {"Fn::GetAtt": ["Role", "Arn"]},
        "Prefix": prefix,
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "BufferingHints": {"IntervalInSeconds": seconds, "SizeInMBs": megabytes},
        "CompressionFormat": "GZIP",
        **more,
    }
    return {
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}},
        "Stream": {
            "Type": "AWS::KinesisFirehose::DeliveryStream",
            "Properties": {
                "DeliveryStreamType": "DirectPut",
                "ExtendedS3DestinationConfiguration": destination,
            },
        },
    }


class Gathered:
    """A stack with a delivery stream, and what it has put into its bucket."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def put(self, *records: bytes) -> None:
        for record in records:
            self.stack.client("firehose").put_record(
                DeliveryStreamName=self.stack.physical_ids["Stream"], Record={"Data": record}
            )

    @property
    def objects(self) -> dict[str, bytes]:
        s3, bucket = self.stack.client("s3"), self.stack.physical_ids["Bucket"]
        keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]
        return {
            key: gzip.decompress(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in sorted(keys)
        }


@pytest.fixture
def gathered(stack: Stack) -> Gathered:
    return Gathered(stack)


def test_records_wait_and_are_delivered_together(gathered: Gathered) -> None:
    stack, emulator = gathered.stack, gathered.stack.emulator
    stack.create(template())
    assert stack.status == "CREATE_COMPLETE"
    assert compare(stack.name, {"Resources": template()}, stack.cloudformation) == []
    came = datetime.fromtimestamp(emulator.now(), UTC)
    gathered.put(b"one\n", b"two\n")
    emulator.advance(60)
    assert gathered.objects == {}
    emulator.advance(120)
    ((key, content),) = gathered.objects.items()
    assert content == b"one\ntwo\n"
    assert key.startswith(f"captures/date={came:%Y-%m-%d}/hour={came:%H}/{stack.physical_ids['Stream']}-1-")
    assert re.search(r"-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9a-f-]{36}\.gz$", key)
    gathered.put(b"three\n")
    emulator.advance(180)
    assert sorted(gathered.objects.values()) == [b"one\ntwo\n", b"three\n"]


def test_records_that_come_gzipped_are_put_behind_each_other(gathered: Gathered) -> None:
    asked = template(CompressionFormat="UNCOMPRESSED", FileExtension=".gz")
    gathered.stack.create(asked)
    assert compare(gathered.stack.name, {"Resources": asked}, gathered.stack.cloudformation) == []
    gathered.put(gzip.compress(b"one\n"), gzip.compress(b"two\n"))
    gathered.stack.emulator.advance(180)
    ((key, content),) = gathered.objects.items()
    assert key.endswith(".gz")
    assert content == b"one\ntwo\n"


def test_enough_is_delivered_at_once(gathered: Gathered) -> None:
    gathered.stack.create(template())
    gathered.put(b"x" * 600_000, b"y" * 600_000)
    ((_, content),) = gathered.objects.items()
    assert len(content) == 1_200_000


def test_each_record_is_delivered_once_however_many_come_at_once(gathered: Gathered) -> None:
    gathered.stack.create(template())
    records = [b"%04d" % number + random.Random(number).randbytes(100_000) for number in range(80)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(gathered.put, records))
    gathered.stack.emulator.advance(180)
    delivered = b"".join(gathered.objects.values())
    assert len(delivered) == sum(map(len, records))
    assert all(delivered.count(record) == 1 for record in records)


def test_a_prefix_without_expressions_gets_the_hour(gathered: Gathered) -> None:
    gathered.stack.create(template(prefix="plain/"))
    came = datetime.fromtimestamp(gathered.stack.emulator.now(), UTC)
    gathered.put(b"one\n")
    gathered.stack.emulator.advance(180)
    (key,) = gathered.objects
    assert key.startswith(f"plain/{came:%Y/%m/%d/%H}/")


def test_a_stream_is_updated_in_place(gathered: Gathered) -> None:
    stack = gathered.stack
    stack.create(template())
    before = stack.physical_ids["Stream"]
    stack.update(template(prefix="other/!{timestamp:yyyy}/"))
    assert stack.status == "UPDATE_COMPLETE"
    assert stack.physical_ids["Stream"] == before
    gathered.put(b"one\n")
    stack.emulator.advance(180)
    (key,) = gathered.objects
    assert key.startswith("other/2")


def test_a_bucket_that_is_gone_is_tried_again(gathered: Gathered) -> None:
    stack = gathered.stack
    stack.create(template())
    s3, bucket = stack.client("s3"), stack.physical_ids["Bucket"]
    s3.delete_bucket(Bucket=bucket)
    gathered.put(b"one\n")
    stack.emulator.advance(300)
    s3.create_bucket(Bucket=bucket)
    stack.emulator.advance(60)
    assert list(gathered.objects.values()) == [b"one\n"]


def test_a_record_that_is_too_large_is_refused(gathered: Gathered) -> None:
    gathered.stack.create(template())
    gathered.put(b"x" * 1_024_000)
    with pytest.raises(ClientError, match="less than or equal to 1024000"):
        gathered.put(b"x" * 1_024_001)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"ErrorOutputPrefix": None}, "ErrorOutputPrefix cannot be null"),
        ({"Prefix": "a/!{partitionKeyFromQuery:x}/"}, "does not know the expression"),
        ({"Prefix": "a/!{timestamp:EEEE}/"}, "does not know the expression"),
        ({"CompressionFormat": "Snappy"}, "compresses with GZIP only"),
    ],
)
def test_what_cannot_be_followed_is_refused(stack: Stack, more: dict[str, Any], sentence: str) -> None:
    body = template(**more)
    destination = body["Stream"]["Properties"]["ExtendedS3DestinationConfiguration"]
    for key in [key for key, value in destination.items() if value is None]:
        del destination[key]
    stack.create(body)
    assert stack.status == "ROLLBACK_COMPLETE"
    assert any(sentence in reason for reason in stack.reasons("CREATE_FAILED"))
