"""S3 on this machine for `make bench-cold`: moto in a process of its own."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3

from bundle.registry import Registry

BUCKET = "models"
_REGION = "us-east-1"


class Store:
    """The bucket, and the variables by which functions find it."""

    def __init__(self, endpoint: str) -> None:
        self.variables = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": _REGION,
            "AWS_DEFAULT_REGION": _REGION,
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": "bench",
        }
        self._client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=_REGION,
            aws_access_key_id="bench",
            aws_secret_access_key="bench",  # noqa: S106 - moto takes any
        )
        self._client.create_bucket(Bucket=BUCKET)

    def put(self, name: str, original: Path, bundle: Path) -> None:
        """The bundle as `coldpress push` does it, and both models as others keep theirs."""
        Registry(BUCKET, self._client).push(bundle)
        for file, path in (("original", original), ("pressed", bundle / "model.onnx")):
            self._client.upload_file(str(path), BUCKET, f"{name}/{file}.onnx")


@contextlib.contextmanager
def store() -> Iterator[Store]:
    """Run moto until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            time.sleep(0.05)
        yield Store(f"http://localhost:{port}")
    finally:
        process.kill()
        process.wait()
