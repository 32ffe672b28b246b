"""A bundle deployed on this machine and watched, for the examples: the real commands in the emulator."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundle.folder import read
from coldpress.aws import send_signed
from emulator.server import Emulator
from examples.deployment import BIN, ROOT, Deployment

_LOOKED_AT_S = 12 * 60  # captures are delivered each minute, and the monitor looks each five


def optimize(*options: str) -> Path:
    """Press a model as a user would, and return the bundle's folder; progress goes to the terminal."""
    command = [str(BIN / "optimize"), *options, "--json"]
    done = subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return Path(json.loads(done.stdout)["bundle"])


class Endpoint:
    """A deployed model, of which each request is captured and watched."""

    def __init__(self, deployment: Deployment, emulator: Emulator, model: str) -> None:
        self._deployment, self._emulator = deployment, emulator
        self._url = f"{deployment.output('EndpointUrl').rstrip('/')}/v1/models/{model}"

    def predict(self, name: str, **inputs: Any) -> Any:
        """Ask with TensorFlow Serving's column form; ``name`` is what the request is called later.

        Raises:
            RuntimeError: the endpoint did not answer 200.
        """
        return self._ask("predict", name, {"inputs": inputs})["outputs"]

    def transform(self, name: str, content: Any) -> Any:
        """Ask the transform, with JSON; otherwise as ``predict``."""
        return self._ask("transform", name, content)

    def _ask(self, verb: str, name: str, content: Any) -> Any:
        answer = send_signed(
            f"{self._url}:{verb}",
            method="POST",
            body=json.dumps(content).encode(),
            headers={"content-type": "application/json", "x-inference-id": name},
        )
        if answer.status != 200:
            raise RuntimeError(f"the endpoint answered {answer.status}: {answer.body[:300]!r}")
        return json.loads(answer.body)

    def watch(self, page: Path) -> tuple[bool, str]:
        """Let time pass, and ask the command: is it right, and what it says."""
        self._emulator.advance(_LOOKED_AT_S)
        command = [str(BIN / "coldpress"), "watch", self._deployment.stack, "--page", str(page)]
        done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        return done.returncode == 0, done.stdout


@contextmanager
def endpoint(bundle: Path, work: Path, **settings: object) -> Iterator[Endpoint]:
    """Registry, bundle and endpoint, in an emulator that stops with this; ``settings`` are the stage's."""
    account = work / "emulator"
    shutil.rmtree(account, ignore_errors=True)  # what is there would be rolled over gradually, in ten minutes
    with Emulator(state_dir=account) as emulator:
        os.environ.update(emulator.environment())
        deployment = Deployment(work, "example")
        watched = {"capture": {"rate": 1}, "monitor": {"every_minutes": 5}}
        deployment.configure(**watched | settings)
        deployment.prepare()
        deployment.push(bundle)
        deployment.deploy()
        yield Endpoint(deployment, emulator, read(bundle).name)
