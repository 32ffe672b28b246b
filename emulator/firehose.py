"""Firehose: records gathered over emulated time into objects, under names that say when they came."""

import gzip
import logging
import re
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from inspect import signature
from typing import Any, NamedTuple

from botocore.exceptions import ClientError
from moto.firehose.exceptions import InvalidArgumentException, ValidationException
from moto.firehose.models import FirehoseBackend, firehose_backends

from emulator import settings
from emulator.clients import client
from emulator.clock import CLOCK
from emulator.metrics import record as record_metric

_log = logging.getLogger(__name__)
_MAX_RECORD_BYTES = 1000 * 1024
_DEFAULT_SECONDS, _DEFAULT_MB = 300, 5
_EXPRESSION = re.compile(r"!\{([^}]*)\}")
# Of Java's patterns for dates those that people use in prefixes.
_PATTERNS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_PATTERN = re.compile("|".join(_PATTERNS))
_create_of_moto = FirehoseBackend.create_delivery_stream
_delete_of_moto = FirehoseBackend.delete_delivery_stream


class _Buffer(NamedTuple):
    """What came, and when the first of it did."""

    since: float
    records: list[bytes]


_buffers: dict[tuple[str, str], _Buffer] = {}
_lock = threading.Lock()


def run(now: float) -> None:
    """Deliver what has been waited for long enough, or is enough."""
    for (region, name), buffer in list(_buffers.items()):
        stream = firehose_backends[settings.ACCOUNT][region].delivery_streams.get(name)
        destination = next(_destinations(stream), None)
        if destination is None:
            del _buffers[region, name]
        elif now - buffer.since >= _hints(destination)[0]:
            _deliver(region, name, destination)


def _destinations(stream: Any) -> Iterator[dict[str, Any]]:
    for destination in stream.destinations if stream else []:
        if "ExtendedS3" in destination:
            yield destination["ExtendedS3"]


def _hints(destination: dict[str, Any]) -> tuple[int, int]:
    """How many seconds, and how many bytes, are gathered."""
    hints = destination.get("BufferingHints") or {}
    return (
        int(hints.get("IntervalInSeconds", _DEFAULT_SECONDS)),
        int(hints.get("SizeInMBs", _DEFAULT_MB)) * 1024**2,
    )


def _deliver(region: str, name: str, destination: dict[str, Any]) -> None:
    """Put what was gathered; where that fails it is tried again in a minute, as AWS does for a day.

    It takes seconds, in which more may come: that is gathered anew.
    """
    with _lock:
        buffer = _buffers.pop((region, name), None)
    if buffer is None:
        return  # another request's thread delivers it
    content = b"".join(buffer.records)
    moment = datetime.fromtimestamp(buffer.since, UTC)
    prefix = evaluate(destination.get("Prefix") or "", moment)
    is_gzip = destination.get("CompressionFormat") == "GZIP"
    extension = destination.get("FileExtension") or ".gz" * is_gzip
    key = f"{prefix}{name}-1-{moment:%Y-%m-%d-%H-%M-%S}-{uuid.uuid4()}{extension}"
    if is_gzip:
        content = gzip.compress(content)
    bucket = destination["BucketARN"].rpartition(":")[2]
    try:
        client("s3", region).put_object(Bucket=bucket, Key=key, Body=content)
    except ClientError as error:
        _log.error("delivery stream %s: %s", name, error)
        _record(region, name, "DeliveryToS3.Success", 0)
        with _lock:
            later = _buffers.get((region, name), _Buffer(buffer.since, []))
            _buffers[region, name] = _Buffer(buffer.since, [*buffer.records, *later.records])
        return
    _record(region, name, "DeliveryToS3.Success", 1)
    _record(region, name, "DeliveryToS3.Records", len(buffer.records))
    _record(region, name, "DeliveryToS3.DataFreshness", CLOCK.now() - buffer.since)


def evaluate(prefix: str, moment: datetime) -> str:
    """A prefix with its expressions; one without gets the date and hour, as on AWS.

    Raises:
        NotImplementedError: an expression is none that the emulator knows.
    """

    def value(match: re.Match[str]) -> str:
        namespace, _, pattern = match[1].partition(":")
        if namespace == "timestamp" and not re.search("[A-Za-z]", _PATTERN.sub("", pattern)):
            return moment.strftime(_PATTERN.sub(lambda part: _PATTERNS[part[0]], pattern))
        raise NotImplementedError(f"The emulator does not know the expression {match[0]} in a prefix.")

    if _EXPRESSION.search(prefix) is None:
        return f"{prefix}{moment:%Y/%m/%d/%H}/"
    return _EXPRESSION.sub(value, prefix)


def _record(region: str, name: str, metric: str, value: float) -> None:
    record_metric(region, "AWS/Firehose", metric, value, {"DeliveryStreamName": name})


def _create(self: FirehoseBackend, *args: Any, **kwargs: Any) -> str:
    """CreateDeliveryStream: moto's, for prefixes and encodings that can be followed here."""
    asked = signature(_create_of_moto).bind(self, *args, **kwargs).arguments
    destination = asked["extended_s3_destination_configuration"] or {}
    prefix = destination.get("Prefix") or ""
    if _EXPRESSION.search(prefix) and not destination.get("ErrorOutputPrefix"):
        raise InvalidArgumentException(
            "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions."
        )
    try:
        evaluate(prefix, datetime.fromtimestamp(0, UTC))
    except NotImplementedError as error:
        raise ValidationException(str(error)) from None
    if destination.get("CompressionFormat", "UNCOMPRESSED") not in ("GZIP", "UNCOMPRESSED"):
        raise ValidationException("The emulator compresses with GZIP only.")
    return _create_of_moto(self, *args, **kwargs)


def _delete(self: FirehoseBackend, delivery_stream_name: str) -> None:
    """DeleteDeliveryStream: moto's, and what was not delivered yet is gone."""
    _delete_of_moto(self, delivery_stream_name)
    _buffers.pop((self.region_name, delivery_stream_name), None)


def _put_record(self: FirehoseBackend, delivery_stream_name: str, record: dict[str, bytes]) -> dict[str, Any]:
    """PutRecord: moto's, within AWS's limit."""
    if len(record["Data"]) > _MAX_RECORD_BYTES:
        raise ValidationException(
            f"1 validation error detected: Value at 'record.data' failed to satisfy constraint: Member must "
            f"have length less than or equal to {_MAX_RECORD_BYTES}"
        )
    result = self.put_record_batch(delivery_stream_name, [record])
    return {"RecordId": result["RequestResponses"][0]["RecordId"], "Encrypted": True}


def _put_s3_records(
    self: FirehoseBackend,
    delivery_stream_name: str,
    version_id: str,  # noqa: ARG001 - moto hands it over by place
    s3_destination: dict[str, Any],
    records: list[dict[str, bytes]],
) -> list[dict[str, str]]:
    """What moto does with records for S3: here they wait."""
    place = (self.region_name, delivery_stream_name)
    with _lock:
        buffer = _buffers.setdefault(place, _Buffer(CLOCK.now(), []))
        buffer.records.extend(record["Data"] for record in records)
        is_enough = sum(map(len, buffer.records)) >= _hints(s3_destination)[1]
    _record(*place, "IncomingRecords", len(records))
    if is_enough:
        _deliver(*place, s3_destination)
    return [{"RecordId": str(uuid.uuid4())} for _ in records]


def install() -> None:
    """Make moto's Firehose gather records."""
    patched: Any = FirehoseBackend
    patched.create_delivery_stream = _create
    patched.delete_delivery_stream = _delete
    patched.put_record = _put_record
    patched.put_s3_records = _put_s3_records
