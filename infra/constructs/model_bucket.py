"""The registry's bucket: where bundles lie, by digest, and for a day what clients upload."""

from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.private_bucket import build_private_bucket

UPLOADS_PREFIX = "uploads/"


class ModelBucket(Construct):
    """A bucket that keeps every bundle: versioned, encrypted, TLS only, never public, never deleted.

    Bodies that clients upload for a request are in it as well, apart, and deleted after a day. It is
    encrypted by S3's own keys, or by ``key``.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey | None = None) -> None:
        super().__init__(scope, construct_id)
        self.bucket = build_private_bucket(
            self,
            key=key,
            versioned=True,
            lifecycle_rules=[
                # In a versioned bucket an object is gone when its old version is, too; S3 then removes the
                # marker that it was deleted by itself.
                s3.LifecycleRule(
                    prefix=UPLOADS_PREFIX,
                    expiration=Duration.days(1),
                    noncurrent_version_expiration=Duration.days(1),
                ),
            ],
            why_no_access_log=(
                "Bundles are immutable and verified against their digest at every load, so access logs would "
                "prove nothing about their integrity; who read or wrote is answered by CloudTrail's S3 data "
                "events, which an account turns on once for all buckets."
            ),
        )
