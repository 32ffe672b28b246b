"""The caller's AWS account, as the subcommands see it: clients, stack outputs, signed requests."""

import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

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
def one_sentence() -> Iterator[None]:
    """Turn what AWS refuses into a command's error; for a block, or as a function's decorator."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise CommandError(
            f"AWS refused or cannot be reached ({error}): check the credentials, the region, the network."
        ) from None


def s3_client() -> "S3Client":
    """An S3 client with the caller's own credentials and region."""
    with one_sentence():
        return boto3.client("s3")


def client(service: str) -> Any:
    """A client of any service with the caller's own credentials; boto3 makes its methods at run time."""
    make: Any = boto3.client
    with one_sentence():
        return make(service)


def error_code(error: ClientError) -> str:
    """What AWS calls the error."""
    return error.response["Error"]["Code"]


def describe_stack(stack: str) -> Any:
    """A deployed CloudFormation stack, as DescribeStacks has it."""
    with one_sentence():
        try:
            return client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        except ClientError as error:
            if error_code(error) != "ValidationError":
                raise
            raise CommandError(
                f"there is no stack '{stack}' in this region: run `cdk deploy {stack}`."
            ) from None


def outputs(stack: Any) -> dict[str, str]:
    """The outputs of a stack that ``describe_stack`` gave."""
    return {entry["OutputKey"]: entry.get("OutputValue", "") for entry in stack.get("Outputs", [])}


def stack_output(stack: str, output: str) -> str:
    """An output of a deployed CloudFormation stack."""
    found = outputs(describe_stack(stack))
    if output in found:
        return found[output]
    raise CommandError(
        f"stack '{stack}' has no output '{output}': deploy it again with `cdk deploy {stack}`."
    )


def send_signed(
    url: str, *, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Answer:
    """One HTTP request to API Gateway, signed (SigV4) with the caller's credentials if there are any."""
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    session = boto3.Session()
    with one_sentence():
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
