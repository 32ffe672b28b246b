"""What of a batch failed, from the files that a Distributed Map's ResultWriter leaves.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

import json
from typing import Any

FAILURES_FILE = "failures.json"
# Those that ended without an answer, and those that never began because the batch was stopped.
_FILES = ("FAILED", "PENDING")


def report_failures(job: dict[str, Any], manifest: dict[str, str], s3: Any) -> dict[str, Any]:
    """Write ``failures.json`` beside Step Functions' own files: ``[{"Key": …, "Error": …}, …]``.

    It is what another Distributed Map reads, so that a rerun does only those.

    Args:
        job: the batch, as its execution was told.
        manifest: where Step Functions says what it wrote: ``Bucket`` and ``Key``.
        s3: boto3's client of S3.
    """
    files = _read(s3, manifest["Bucket"], manifest["Key"])["ResultFiles"]
    failures = [
        {"Key": json.loads(entry["Input"])["key"], "Error": _sentence(entry)}
        for kind in _FILES
        for file in files.get(kind, [])
        for entry in _read(s3, manifest["Bucket"], file["Key"])
    ]
    failures.sort(key=lambda failure: failure["Key"])
    where = job["results"]
    s3.put_object(
        Bucket=where["bucket"],
        Key=where["prefix"] + FAILURES_FILE,
        Body=json.dumps(failures, indent=1, ensure_ascii=False).encode(),
        ContentType="application/json",
    )
    return {"failed": len(failures), "failures": f"s3://{where['bucket']}/{where['prefix']}{FAILURES_FILE}"}


def _sentence(entry: dict[str, Any]) -> str:
    """What the item function raised; it stands in JSON that Lambda made."""
    cause = entry.get("Cause", "")
    try:
        return str(json.loads(cause)["errorMessage"])
    except (ValueError, KeyError, TypeError):
        return cause or entry.get("Error") or str(entry.get("Status", "it was not tried"))


def _read(s3: Any, bucket: str, key: str) -> Any:
    return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
