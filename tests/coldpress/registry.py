"""A registry's bucket in a moto server, as the commands reach it."""

import subprocess
from collections.abc import Callable
from typing import Any

import boto3

Run = Callable[..., subprocess.CompletedProcess[str]]


def client(aws: dict[str, str], service: str = "s3") -> Any:
    """A client of the server that ``aws``, the commands' variables, points at."""
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
