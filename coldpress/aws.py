"""The caller's AWS account, as the subcommands see it: clients, stack outputs, signed requests."""

import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ClientError

from coldpress.errors import CommandError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

REGISTRY_STACK = "coldpress-registry"
# API Gateway answers after 30 s at the latest.
_TIMEOUT_SECONDS = 35


class Answer(NamedTuple):
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CommandError(
            f"AWS refused or cannot be reached ({error}): check the credentials, the region, the network."
        ) from None


def s3_client() -> "S3Client":
    """An S3 client with the caller's own credentials and region."""
    with _one_sentence():
        return boto3.client("s3")


def stack_output(stack: str, output: str) -> str:
    """An output of a deployed CloudFormation stack."""
    with _one_sentence():
        try:
            stacks = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ValidationError":
                raise
            raise CommandError(
                f"there is no stack '{stack}' in this region: run `cdk deploy {stack}`."
            ) from None
    for entry in stacks[0].get("Outputs", []):
        if entry.get("OutputKey") == output:
            return entry.get("OutputValue", "")
    raise CommandError(
        f"stack '{stack}' has no output '{output}': deploy it again with `cdk deploy {stack}`."
    )


def send_signed(
    url: str, *, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """One HTTP request to API Gateway, signed (SigV4) with the caller's credentials if there are any."""
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    session = boto3.Session()
    with _one_sentence():
        credentials = session.get_credentials()
        if credentials is not None:
            SigV4Auth(credentials, "execute-api", session.region_name or "us-east-1").add_auth(request)
    prepared = urllib.request.Request(url, data=body or None, headers=dict(request.headers), method=method)  # noqa: S310 - checked next
    if prepared.type not in ("http", "https"):
        raise CommandError(
            f"'{url}' is no http or https address: give the EndpointUrl that `cdk deploy` printed."
        )
    try:
        with urllib.request.urlopen(prepared, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - checked above
            return Answer(answer.status, _lower(answer.headers.items()), answer.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, _lower(error.headers.items()), error.read())
    except (urllib.error.URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise CommandError(
            f"{url} cannot be reached ({reason}): check the address and the network."
        ) from None


def _lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}
