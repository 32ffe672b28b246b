"""A bucket of a stage's own: encrypted, TLS only, never public, and kept when its stack goes."""

from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.nag import acknowledge


def build_private_bucket(
    scope: Construct,
    *,
    key: kms.IKey | None,
    why_no_access_log: str,
    versioned: bool = False,
    lifecycle_rules: Sequence[s3.LifecycleRule] = (),
) -> s3.Bucket:
    """Make it, as ``Bucket`` of ``scope``; it is encrypted by S3's own keys, or by ``key``."""
    bucket = s3.Bucket(
        scope,
        "Bucket",
        versioned=versioned or None,
        encryption=s3.BucketEncryption.S3_MANAGED if key is None else s3.BucketEncryption.KMS,
        encryption_key=key,
        # One request to KMS for many objects, and not one each.
        bucket_key_enabled=None if key is None else True,
        enforce_ssl=True,
        minimum_tls_version=1.2,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
        removal_policy=RemovalPolicy.RETAIN,
        lifecycle_rules=[
            # An upload that was killed leaves parts that nobody sees and everybody pays for.
            s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1)),
            *lifecycle_rules,
        ],
    )
    acknowledge(bucket, "AwsSolutions-S1", why_no_access_log)
    return bucket
