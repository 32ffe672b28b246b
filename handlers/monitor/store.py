"""What lies in S3: captures and labels that come in, and states, which two runs may change at once."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

_CHUNK_BYTES = 256 * 1024
_ABSENT = ("NoSuchKey", "404")
# What S3 says where If-Match or If-None-Match fails, and where two puts meet.
_MOVED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409", *_ABSENT)
STATE, STATUS, PAGE = "state.bin", "status.json", "status.html"


class Moved(Exception):
    """Another run saved the state in between."""


class Saved(NamedTuple):
    """A state, and the mark by which saving another one in its place is conditional."""

    data: bytes
    etag: str


class Labels(NamedTuple):
    """An object of labels, and when it was put."""

    key: str
    put: datetime


class Store:
    """One model's objects in the captures' bucket, by a boto3 client of S3."""

    def __init__(self, client: Any, bucket: str, model: str) -> None:
        self._client = client
        self.bucket = bucket
        self.captures = f"captures/model={model}/"
        self.labels = f"labels/model={model}/"
        self._monitor = f"monitor/model={model}/"

    def keys(self, since: str) -> Iterator[str]:
        """The captures' keys after ``since``, in their order, which is about that of time."""
        for entry in self._list(self.captures, since):
            yield entry["Key"]

    def label_objects(self) -> Iterator[Labels]:
        """All that there are."""
        for entry in self._list(self.labels, ""):
            yield Labels(entry["Key"], entry["LastModified"])

    def chunks(self, key: str) -> Iterator[bytes]:
        """An object's bytes in pieces; none if it is gone, as what is too old goes."""
        try:
            body = self._client.get_object(Bucket=self.bucket, Key=key)["Body"]
        except ClientError as error:
            if _code(error) in _ABSENT:
                return
            raise
        yield from body.iter_chunks(_CHUNK_BYTES)

    def load(self, digest: str, name: str = STATE) -> Saved | None:
        """What was saved of a version last."""
        try:
            answer = self._client.get_object(Bucket=self.bucket, Key=self.key_of(digest, name))
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return Saved(answer["Body"].read(), answer["ETag"])

    def save(self, digest: str, data: bytes, before: Saved | None) -> Saved:
        """Put the state in place of ``before``, and of nothing else.

        Raises:
            Moved: it is not as it was read.
        """
        condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.etag}
        key = self.key_of(digest, STATE)
        try:
            answer = self._client.put_object(Bucket=self.bucket, Key=key, Body=data, **condition)
        except ClientError as error:
            if _code(error) in _MOVED:
                raise Moved from None
            raise
        return Saved(data, answer["ETag"])

    def put(self, digest: str, name: str, data: bytes, content_type: str) -> None:
        """Put what is made of the state: the last one counts."""
        key = self.key_of(digest, name)
        self._client.put_object(
            Bucket=self.bucket, Key=key, Body=data, ContentType=content_type, CacheControl="no-store"
        )

    def digests(self) -> list[str]:
        """The versions that have a state, by their digests."""
        names = (
            entry["Key"].removeprefix(self._monitor).split("/") for entry in self._list(self._monitor, "")
        )
        return [digest for digest, *rest in names if rest == [STATE]]

    def key_of(self, digest: str, name: str) -> str:
        """Where it lies."""
        return f"{self._monitor}{digest}/{name}"

    def _list(self, prefix: str, since: str) -> Iterator[Any]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, StartAfter=since
        )
        for page in pages:
            yield from page.get("Contents", [])


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
