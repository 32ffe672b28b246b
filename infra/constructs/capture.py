"""Where captured requests, and the labels that belong to them, are kept: a bucket, and what fills it."""

import json

from aws_cdk import Duration
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.config import Capture
from infra.constructs.nag import acknowledge_resource
from infra.constructs.private_bucket import build_private_bucket
from infra.constructs.service_role import ServiceRole

# Firehose writes an object when it has so much, or so often: what a monitor may be behind.
_BUFFER_SECONDS, _BUFFER_MB = 300, 64
_DATE = "date=!{timestamp:yyyy-MM-dd}"
_HOUR = "hour=!{timestamp:HH}"


class CaptureBucket(Construct):
    """What clients sent, as far as it is kept: encrypted, TLS only, never public, and emptied by age.

    It stays when the stack goes, for nobody should lose labels by a stack: its objects expire, and an empty
    bucket costs nothing. It is encrypted by S3's own keys, or by ``key``.
    """

    def __init__(self, scope: Construct, construct_id: str, *, key: kms.IKey | None = None) -> None:
        super().__init__(scope, construct_id)
        self.bucket = build_private_bucket(
            self,
            key=key,
            why_no_access_log=(
                "Who read or wrote is answered by CloudTrail's S3 data events, which an account turns on "
                "once for all buckets."
            ),
        )


class ModelCapture(Construct):
    """Gathers a model's captured requests into objects: ``captures/model=NAME/date=…/hour=…/``.

    Each is gzipped when it comes (handlers/inference/capture.py), and so the objects are.
    What cannot be delivered as it should goes below ``capture-errors/model=NAME/``; ground truth is put below
    ``labels/model=NAME/`` by `coldpress label`. All three expire after ``capture.retention_days``.

    The function's role may put records, and nothing else: it cannot read what was captured.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        model: str,
        capture: Capture,
        captures: CaptureBucket,
    ) -> None:
        super().__init__(scope, construct_id)
        self._model = model
        self._capture = capture
        self.bucket = captures.bucket
        for name in ("captures", "capture-errors", "labels"):
            self.bucket.add_lifecycle_rule(
                prefix=f"{name}/model={model}/", expiration=Duration.days(capture.retention_days)
            )
        self._stream = self._build_stream(self._build_role())

    @property
    def variables(self) -> dict[str, str]:
        """What the endpoint's function must know."""
        return {"COLDPRESS_CAPTURE_STREAM": self._stream.ref, **capture_variables(self._capture)}

    def allow(self, role: ServiceRole) -> None:
        """Let ``role`` put records."""
        role.allow("firehose:PutRecord", on=[self._stream.attr_arn])

    def _build_role(self) -> ServiceRole:
        role = ServiceRole(
            self,
            "Role",
            service="firehose",
            description=f"coldpress: puts captured requests of {self._model} into their bucket",
        )
        role.allow(
            "s3:GetBucketLocation",
            "s3:ListBucket",
            "s3:ListBucketMultipartUploads",
            on=[self.bucket.bucket_arn],
        )
        for name in ("captures", "capture-errors"):
            objects = self.bucket.arn_for_objects(f"{name}/model={self._model}/*")
            # GetObject as well: AWS documents it as needed.
            role.allow("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", on=[objects])
            acknowledge_resource(role, objects, "The captures of one model, whose keys Firehose makes up.")
        if self.bucket.encryption_key is not None:
            role.allow("kms:Decrypt", "kms:GenerateDataKey", on=[self.bucket.encryption_key.key_arn])
        return role

    def _build_stream(self, role: ServiceRole) -> firehose.CfnDeliveryStream:
        kind = firehose.CfnDeliveryStream
        prefix = f"model={self._model}"
        return kind(
            self,
            "Stream",
            delivery_stream_type="DirectPut",
            # While it gathers them, by a key of Firehose's own, which needs no grant of the user's.
            delivery_stream_encryption_configuration_input=kind.DeliveryStreamEncryptionConfigurationInputProperty(
                key_type="AWS_OWNED_CMK"
            ),
            extended_s3_destination_configuration=kind.ExtendedS3DestinationConfigurationProperty(
                bucket_arn=self.bucket.bucket_arn,
                role_arn=role.role_arn,
                prefix=f"captures/{prefix}/{_DATE}/{_HOUR}/",
                error_output_prefix=f"capture-errors/{prefix}/!{{firehose:error-output-type}}/{_DATE}/",
                buffering_hints=kind.BufferingHintsProperty(
                    interval_in_seconds=_BUFFER_SECONDS, size_in_m_bs=_BUFFER_MB
                ),
                compression_format="UNCOMPRESSED",
                file_extension=".gz",
            ),
        )


def capture_variables(capture: Capture) -> dict[str, str]:
    """What of which requests is kept, as whoever keeps or reads them must know."""
    sides = ["inputs"] * capture.inputs + ["outputs"] * capture.outputs
    return {
        "COLDPRESS_CAPTURE_RATE": str(capture.rate),
        "COLDPRESS_CAPTURE_TENSORS": " ".join(sides),
        **({"COLDPRESS_CAPTURE_REDACT": json.dumps(capture.redact)} if capture.redact else {}),
    }
