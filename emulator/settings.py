"""Who and where the emulated account is, and AWS's limits that the emulator keeps."""

import os

ACCOUNT = "123456789012"
REGION = "us-east-1"
# Every request must be signed with these: they are no secret, and open nothing outside this machine.
ACCESS_KEY_ID = "emulator"
SECRET_ACCESS_KEY = "emulator"  # noqa: S105 - not a secret, see above
DEFAULT_PORT = 4566

# The deployed APIs, on the emulator's own port: /_apis/<api id>/<path>.
API_PREFIX = "/_apis/"
# What no AWS has: the clock, and where custom resources put their answers.
CONTROL_PREFIX = "/_emulator/"

# Lambda's limit on a synchronous payload, and API Gateway's on a body and on waiting for an integration.
MAX_PAYLOAD_BYTES = 6 * 1024 * 1024 + 100
MAX_BODY_BYTES = 10 * 1024 * 1024
INTEGRATION_TIMEOUT_SECONDS = 30.0
# Requests at a time of all functions that reserve no concurrency: what new accounts have in AWS.
ACCOUNT_CONCURRENCY = 10

_PORT_VARIABLE = "MOTO_PORT"  # moto's name for it: it sends requests to itself


def set_port(port: int) -> None:
    """Tell this process on which port it serves."""
    os.environ[_PORT_VARIABLE] = str(port)


def endpoint() -> str:
    """The emulator's URL, as seen from its own process."""
    # The name, not the number: moto tells an S3 path from a virtual host by it.
    return f"http://localhost:{os.environ[_PORT_VARIABLE]}"
