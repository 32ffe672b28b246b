"""The deployed endpoint that the tests here share, and how its bundles are made."""

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from coldpress.aws import Answer, send_signed
from examples.deployment import BIN, Deployment

NAME = "direction"


class Cloud(NamedTuple):
    """The deployed endpoint, and what was deployed."""

    deployment: Deployment
    model: Path
    bundle: Path
    samples: Path

    def send(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        return send_signed(
            self.deployment.output("EndpointUrl") + path,
            method="GET" if body is None else "POST",
            body=body or b"",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )


def press(folder: Path, model: Path, *arguments: str) -> Path:
    """Run `optimize` in ``folder`` and return the bundle."""
    command = [str(BIN / "optimize"), str(model), "--name", NAME, "--json", "-o", "bundles", *arguments]
    command += ["--calibration", "calibration.npz", "--evaluation", "evaluation.npz"]
    done = subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True)
    return folder / json.loads(done.stdout)["bundle"]
