"""boto3 clients that speak to this emulator, for the emulator itself."""

from functools import lru_cache
from typing import Any

import boto3
from botocore.config import Config

from emulator import settings


def client(service: str, region: str) -> Any:
    """A client of ``service`` (boto3's name for it).

    Its type is Any because boto3 makes a client's methods at run time.
    """
    return client_at(settings.endpoint(), service, region)


@lru_cache
def client_at(endpoint_url: str, service: str, region: str) -> Any:
    """A client of the emulator at ``endpoint_url``, with the emulator's credentials.

    Making one takes a tenth of a second; threads may share it.
    """
    session: Any = boto3.session.Session(
        aws_access_key_id=settings.ACCESS_KEY_ID,
        aws_secret_access_key=settings.SECRET_ACCESS_KEY,
        region_name=region,
    )
    # A function may run for fifteen minutes, and a stack is updated within one call.
    config = Config(retries={"total_max_attempts": 1}, read_timeout=900, max_pool_connections=64)
    return session.client(service, endpoint_url=endpoint_url, config=config)
