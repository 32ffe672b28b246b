"""The registry's bucket keeps what was pushed, and keeps it private."""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="module")
def registry(synthesise: Callable[..., Any]) -> Any:
    """Of an app whose only stage has no model yet."""
    return synthesise({"model": {"name": "ocr"}}).stack("coldpress-registry")


def test_the_bucket_is_kept_versioned_and_encrypted(registry: Any) -> None:
    (bucket,) = registry.all("AWS::S3::Bucket").values()
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    properties = bucket["Properties"]
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    # A fixed name could be taken by anybody before the first deployment.
    assert "BucketName" not in properties


def test_uploads_are_gone_after_a_day_and_bundles_never(registry: Any) -> None:
    rules = registry.properties("AWS::S3::Bucket")["LifecycleConfiguration"]["Rules"]
    (expiring,) = [
        rule for rule in rules if "ExpirationInDays" in rule or "NoncurrentVersionExpiration" in rule
    ]
    assert expiring["Prefix"] == "uploads/"
    assert expiring["ExpirationInDays"] == 1
    assert expiring["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert expiring["Status"] == "Enabled"


def test_the_bucket_is_never_public(registry: Any) -> None:
    assert registry.properties("AWS::S3::Bucket")["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    policy = registry.properties("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert {statement["Effect"] for statement in policy} == {"Deny"}


def test_the_bucket_is_reached_by_tls_only(registry: Any) -> None:
    bucket = registry.id_of("AWS::S3::Bucket")
    policy = registry.properties("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    (denied,) = [item for item in policy if item["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}]
    assert (denied["Action"], denied["Principal"]) == ("s3:*", {"AWS": "*"})
    assert {"Fn::GetAtt": [bucket, "Arn"]} in denied["Resource"]


def test_the_name_is_exported_whatever_stages_there_are(registry: Any) -> None:
    output = registry.content["Outputs"]["BucketName"]
    assert output["Value"] == {"Ref": registry.id_of("AWS::S3::Bucket")}
    assert output["Export"] == {"Name": "coldpress-registry:BucketName"}


KEY = "arn:aws:kms:eu-west-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"


def test_a_key_of_ones_own_encrypts_the_bucket_and_who_reads_it_may_use_it(
    synthesise: Callable[..., Any],
) -> None:
    model = {"name": "ocr", "digest": "0123456789abcdef" * 4}
    templates = synthesise({"model": model}, registry={"kms_key_arn": KEY})
    bucket = templates.stack("coldpress-registry").properties("AWS::S3::Bucket")
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
        {
            "BucketKeyEnabled": True,
            "ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY},
        }
    ]
    used = {
        str(statement["Action"])
        for statement in templates.stack("coldpress-dev").rights()
        if statement["Resource"] == KEY
    }
    # The function puts uploads too; the check reads only.
    assert used == {"kms:Decrypt", "['kms:Decrypt', 'kms:GenerateDataKey']"}
