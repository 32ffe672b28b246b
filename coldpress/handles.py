"""How a bundle is named on a command line: by its folder, or by a handle in the registry.

    build/ocr/3f9c…                    a folder
    hub://ocr                          the newest version in the registry
    hub://ocr:3, hub://ocr@stable      a version; a label or a digest
    s3://BUCKET/models/ocr/3           a version, a label or a digest in a bucket of that name

``hub://`` is in the bucket that --bucket names, else the variable COLDPRESS_BUCKET, else the stack of the
registry.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

from coldpress.errors import CommandError

BUNDLE = "BUNDLE|hub://NAME[:VERSION|@LABEL]|s3://BUCKET/NAME/REFERENCE"
_HUB = re.compile(r"hub://(?P<name>[^:@/]+)([:@](?P<reference>[^:@/]+))?/?")
_S3 = re.compile(
    r"s3://(?P<bucket>[^/]+)/(models/)?(?P<name>[^/]+)/(versions/|labels/)?(?P<reference>[^/]+)/?"
)


class Handle(NamedTuple):
    """A model in the registry; ``bucket``: None is the registry's own, ``reference``: None is the newest."""

    bucket: str | None
    name: str
    reference: str | None


def add_bucket_argument(parser: argparse.ArgumentParser) -> None:
    """Declare in which bucket ``hub://`` is."""
    parser.add_argument(
        "--bucket",
        help="the registry's bucket (default: the variable COLDPRESS_BUCKET, else what stack "
        "coldpress-registry says)",
    )


def parse(text: str) -> Handle | None:
    """The handle; None where ``text`` is a folder.

    Raises:
        CommandError: it begins like a handle and is none.
    """
    if text.startswith("hub://"):
        match = _HUB.fullmatch(text)
        if match is None:
            raise CommandError(f"'{text}' is not hub://NAME, hub://NAME:VERSION or hub://NAME@LABEL.")
        return Handle(None, match["name"], match["reference"])
    if text.startswith("s3://"):
        match = _S3.fullmatch(text)
        if match is None:
            raise CommandError(
                f"'{text}' is not s3://BUCKET/NAME/REFERENCE (a digest, a version or a label)."
            )
        return Handle(match["bucket"], match["name"], match["reference"])
    return None


def parse_name(text: str) -> Handle:
    """As ``parse``, of what is in the registry in any case, so that ``hub://`` may be left out."""
    handle = parse(text if "://" in text else f"hub://{text}")
    if handle is None:
        raise CommandError(f"'{text}' is no model in the registry: name it NAME, NAME:VERSION or NAME@LABEL.")
    return handle


def bundle_at(text: str, bucket: str | None = None) -> Path:
    """The bundle's folder: the one that was named, or the one in the cache that a handle was pulled to.

    Raises:
        CommandError: the handle is none, or the cache cannot be written.
        BundleError: the registry does not have it.
    """
    handle = parse(text)
    if handle is None:
        return Path(text)
    from coldpress.cache import pull  # noqa: PLC0415 - boto3 takes a while, and a folder needs none

    return pull(handle, bucket).folder
