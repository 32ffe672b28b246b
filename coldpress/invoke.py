"""``coldpress invoke``: one request to a deployed endpoint, signed with the caller's AWS credentials."""

import argparse
import sys
from pathlib import Path

from coldpress import aws
from coldpress.errors import CommandError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare what the subcommand takes."""
    parser.add_argument(
        "endpoint", metavar="URL|STACK", help="the endpoint's address, or the stack that has it"
    )
    parser.add_argument("--path", default="", help="appended to the address, such as /v2/models/ocr/infer")
    parser.add_argument(
        "--data", metavar="JSON|@FILE|-", help="the body (then it is a POST); @FILE and - (stdin) read it"
    )
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="may be given again"
    )


def run(options: argparse.Namespace) -> int:
    """Send it; the body of the answer goes to stdout, and the exit status is 0 for a 2xx, else 1."""
    url = options.endpoint
    if "://" not in url:
        url = aws.stack_output(url, "EndpointUrl")
    headers = {"content-type": "application/json"} if options.data is not None else {}
    for header in options.header:
        name, colon, value = header.partition(":")
        if not colon:
            raise CommandError(f"--header '{header}' is not NAME:VALUE.")
        headers[name.strip().lower()] = value.strip()
    body = _body(options.data)
    answer = aws.send_signed(
        url.rstrip("/") + options.path,
        method="GET" if options.data is None else "POST",
        body=body,
        headers=headers,
    )
    sys.stdout.buffer.write(answer.body)
    sys.stdout.flush()
    if sys.stdout.isatty():
        sys.stdout.write("\n")
    if 200 <= answer.status < 300:
        return 0
    sys.stderr.write(f"coldpress invoke: the endpoint answered {answer.status}.\n")
    return 1


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    if data == "-":
        return sys.stdin.buffer.read()
    if data.startswith("@"):
        return Path(data[1:]).read_bytes()
    return data.encode()
