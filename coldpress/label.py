"""``coldpress label``: what was right for captured requests, as soon as it is known."""

import argparse
import csv
import hashlib
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from botocore.exceptions import ClientError

from coldpress import aws
from coldpress.deployed import open_one
from coldpress.errors import CommandError
from monitoring.labels import GroundTruth, WrongLabel, check, read_line, value_of, write_line

_COLUMNS = ("inferenceId", "label")
_LARGEST_FILE = 100 * 1024**2


class _Place(NamedTuple):
    """Where a model's labels are put."""

    bucket: str
    model: str


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    add = parser.add_argument
    add(
        "where",
        nargs="*",
        metavar="STACK FILE",
        help="the stage's stack, such as coldpress-dev (not with --bucket), and a file of labels: JSON Lines "
        'like {"inferenceId": "order-17", "label": 1}, SageMaker\'s ground truth, or CSV with the columns '
        "inferenceId and label (not with --id)",
    )
    add("--bucket", help="the bucket of captures (default: output CaptureBucket of STACK)")
    add("--model", metavar="NAME", help="which model, where the stage has several, or with --bucket")
    add("--id", metavar="ID", help="one request, by what the client called it")
    add("--label", metavar="LABEL", help="with --id: what was right")
    add("--json", action="store_true", help="print one JSON object instead of a sentence")


@aws.one_sentence()
def run(options: argparse.Namespace) -> int:
    """Read all labels, then upload them, and say where they are."""
    stack, file = _stack_and_file(options)
    labels = list(_once(_labels(options, file)))
    place = _place(options, stack)
    content = b"".join(write_line(truth) for _, truth in labels)
    # By its content, so that the same labels are there once however often they are uploaded.
    key = f"labels/model={place.model}/{hashlib.sha256(content).hexdigest()}.jsonl"
    is_new = _put(place.bucket, key, content)
    if options.json:
        told = {"bucket": place.bucket, "key": key, "labels": len(labels), "created": is_new}
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    when = "now" if is_new else "already"
    many = f"{len(labels)} label{'s' if len(labels) > 1 else ''} of {place.model}"
    sys.stdout.write(f"s3://{place.bucket}/{key} {when} holds {many}\n")
    return 0


def _stack_and_file(options: argparse.Namespace) -> tuple[str | None, Path | None]:
    """The stack, if no bucket is named, and the file, if no single label is."""
    if (options.id is None) != (options.label is None):
        raise CommandError("--id and --label belong together: name the request, and what was right.")
    wanted = [] if options.bucket else ["STACK"]
    wanted += [] if options.id is not None else ["FILE"]
    if len(options.where) != len(wanted):
        raise CommandError(
            f"it takes {' and '.join(wanted) or 'neither STACK nor FILE'} here, but was given "
            f"{' '.join(options.where) or 'nothing'}: `coldpress label STACK FILE`, --bucket and --model "
            "instead of STACK, --id and --label instead of FILE."
        )
    found = dict(zip(wanted, options.where, strict=True))
    return found.get("STACK"), Path(found["FILE"]) if "FILE" in found else None


def _place(options: argparse.Namespace, stack: str | None) -> _Place:
    if stack is None:
        if options.model is None:
            raise CommandError("--bucket needs the model whose labels these are: add --model NAME.")
        return _Place(options.bucket, options.model)
    deployed = open_one(stack, options.model)
    bucket, model = deployed.output("CaptureBucket"), deployed.serving.model
    if not bucket:
        raise CommandError(
            f"'{stack}' keeps no requests of {model}, so labels would belong to nothing: write "
            '"capture": {} into its stage in cdk.json, and deploy.'
        )
    return _Place(bucket, model)


def _labels(options: argparse.Namespace, file: Path | None) -> Iterator[tuple[int, GroundTruth]]:
    """The labels with the numbers of their lines."""
    if file is None:
        try:
            yield 0, check(GroundTruth(options.id, value_of(options.label)))
        except WrongLabel as error:
            raise CommandError(f"--id and --label are no label: {error}.") from None
        return
    if file.stat().st_size > _LARGEST_FILE:
        raise CommandError(f"{file} has more than {_LARGEST_FILE // 1024**2} MB: split it.")
    number = 0
    try:
        text = file.read_text("utf-8-sig")
        for number, truth in _from_csv(text) if file.suffix.lower() == ".csv" else _from_json(text):
            yield number, truth
    except UnicodeDecodeError:
        raise CommandError(f"{file} is no UTF-8: save it as that.") from None
    except _WrongLine as error:
        raise CommandError(f"{file}: line {error}; nothing was uploaded.") from None
    if not number:
        raise CommandError(f"{file} holds no label.")


class _WrongLine(Exception):
    """A line that is no label: its number, and what of it is wrong."""


def _from_json(text: str) -> Iterator[tuple[int, GroundTruth]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, read_line(line)
            except WrongLabel as error:
                raise _WrongLine(f"{number} is no label: {error}") from None


def _from_csv(text: str) -> Iterator[tuple[int, GroundTruth]]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    for column in _COLUMNS:
        if column not in (rows.fieldnames or ()):
            raise _WrongLine(f"1 names no column '{column}': it needs inferenceId and label")
    for row in rows:
        try:
            yield rows.line_num, check(GroundTruth(row["inferenceId"] or "", value_of(row["label"] or "")))
        except WrongLabel as error:
            raise _WrongLine(f"{rows.line_num} is no label: {error}") from None


def _once(labels: Iterator[tuple[int, GroundTruth]]) -> Iterator[tuple[int, GroundTruth]]:
    """Each request's label once."""
    known: dict[str, tuple[int, GroundTruth]] = {}
    for number, truth in labels:
        first, other = known.setdefault(truth.inference_id, (number, truth))
        if other.label != truth.label:
            raise CommandError(
                f"line {number} says of {truth.inference_id} something else than line {first}: a request has "
                "one label, so take one out; nothing was uploaded."
            )
        if other is truth:
            yield number, truth


def _put(bucket: str, key: str, content: bytes) -> bool:
    """Whether it was not there yet."""
    try:
        aws.s3_client().put_object(
            Bucket=bucket, Key=key, Body=content, ContentType="application/x-ndjson", IfNoneMatch="*"
        )
    except ClientError as error:
        if aws.error_code(error) == "NoSuchBucket":
            raise CommandError(f"there is no bucket {bucket}: name the one of the captures.") from None
        if aws.error_code(error) != "PreconditionFailed":
            raise
        return False
    return True
