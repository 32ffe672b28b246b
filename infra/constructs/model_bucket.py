"""The registry's bucket: where bundles lie, by digest, and for a day what clients upload."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.nag import acknowledge

UPLOADS_PREFIX = "uploads/"


class ModelBucket(Construct):
    """A bucket that keeps every bundle: versioned, encrypted, TLS only, never public, never deleted.

    Bodies that clients upload for a request are in it as well, apart, and deleted after a day. It is
    encrypted by S3's own keys, or by ``key``.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey | None = None) -> None:
        super().__init__(scope, construct_id)
        self.bucket = self._build_bucket(key)

    def _build_bucket(self, key: kms.IKey | None) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Bucket",
            versioned=True,
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
                # A push that was killed leaves parts that nobody sees and everybody pays for.
                s3.LifecycleRule(abort_incomplete_multipart_upload_after=Duration.days(1)),
                # In a versioned bucket an object is gone when its old version is, too; S3 then removes the
                # marker that it was deleted by itself.
                s3.LifecycleRule(
                    prefix=UPLOADS_PREFIX,
                    expiration=Duration.days(1),
                    noncurrent_version_expiration=Duration.days(1),
                ),
            ],
        )
        acknowledge(
            bucket,
            "AwsSolutions-S1",
            "Bundles are immutable and verified against their digest at every load, so access logs would "
            "prove nothing about their integrity; who read or wrote is answered by CloudTrail's S3 data "
            "events, which an account turns on once for all buckets.",
        )
        return bucket
