"""Buckets of a stack: made, changed in place, kept where the template says so."""

import json
from typing import Any

from emulator.audit import compare
from tests.emulator.stacks import Stack


def bucket(days: int, *, key: bool = False, **more: Any) -> dict[str, Any]:
    """A bucket without a name of its own, with a rule and a tag."""
    by_default = (
        {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/mine"} if key else {"SSEAlgorithm": "AES256"}
    )
    return {
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "Properties": {
                "BucketEncryption": {
                    "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": by_default}]
                },
                "LifecycleConfiguration": {
                    "Rules": [
                        {"Status": "Enabled", "Prefix": "captures/", "ExpirationInDays": days},
                        {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
                    ]
                },
                "Tags": [{"Key": "days", "Value": str(days)}],
                **more,
            },
        }
    }


def test_a_bucket_is_changed_in_place_and_stays(stack: Stack) -> None:
    stack.create(bucket(30, key=True))
    assert stack.status == "CREATE_COMPLETE"
    name = stack.physical_ids["Bucket"]
    s3 = stack.client("s3")
    s3.put_object(Bucket=name, Key="captures/a", Body=b"x")
    stack.update(bucket(7, VersioningConfiguration={"Status": "Enabled"}))
    assert stack.status == "UPDATE_COMPLETE", json.dumps(stack.reasons("UPDATE_FAILED"))
    assert stack.physical_ids["Bucket"] == name
    assert compare(stack.name, {"Resources": bucket(7)}, stack.cloudformation) == []
    rules = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert [rule["Expiration"] for rule in rules if "Expiration" in rule] == [{"Days": 7}]
    encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "days", "Value": "7"}]
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    stack.cloudformation.delete_stack(StackName=stack.name)
    assert s3.get_object(Bucket=name, Key="captures/a")["Body"].read() == b"x"
