"""What a user types to bring a bundle to an endpoint, as a program.

`cdk bootstrap`, `coldpress push` and `cdk deploy` are the real commands and go wherever the environment's AWS
variables point. After every deployment the stack's resources and outputs are compared with its template.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import boto3

from coldpress.aws import stack_output
from emulator.audit import compare

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
REGISTRY = "coldpress-registry"


class Failed(Exception):
    """A command failed, or left something out; the message holds what it printed."""


class Deployment:
    """One stage of the project's own CDK app, configured and synthesised in the folder ``work``.

    ``timed`` wraps each command and is told what it does, for whoever wants to show it.
    """

    def __init__(
        self,
        work: Path,
        stage: str,
        timed: Callable[[str], AbstractContextManager[None]] = lambda _what: nullcontext(),
    ) -> None:
        self.work, self.stage, self.stack = work, stage, f"coldpress-{stage}"
        self._timed = timed

    def configure(self, **settings: object) -> None:
        """Write a cdk.json of its own, so that the checkout stays as it is: stage `prod`, changed."""
        config = json.loads((ROOT / "cdk.json").read_text())
        config["app"] = f"{sys.executable} -m infra.app"
        stage = config["context"]["coldpress"]["prod"] | {"termination_protection": False}
        config["context"]["coldpress"] = {self.stage: stage | settings}
        (self.work / "cdk.json").write_text(json.dumps(config, indent=2))

    def change(self, model: dict[str, object] | None = None, **settings: object) -> None:
        """Other settings for the stage, and for its model, which stays as it is pinned."""
        path = self.work / "cdk.json"
        config = json.loads(path.read_text())
        stage = config["context"]["coldpress"][self.stage]
        stage |= settings
        if model:
            stage["model"] |= model
        path.write_text(json.dumps(config, indent=2))

    def prepare(self) -> None:
        """Bootstrap the account for CDK, and deploy the registry."""
        # With the account named, the CLI need not synthesise the app to find it.
        account = boto3.client("sts").get_caller_identity()["Account"]
        region = boto3.Session().region_name
        self._run("cdk bootstrap", str(BIN / "cdk"), "bootstrap", f"aws://{account}/{region}")
        self._deploy(REGISTRY)

    def push(self, bundle: Path) -> str:
        """Push a bundle and pin the stage to it; what the command said."""
        return self._run("coldpress push", str(BIN / "coldpress"), "push", str(bundle), "--pin", self.stage)

    def deploy(self) -> None:
        """Deploy the endpoint's stack."""
        self._deploy(self.stack)

    def destroy(self) -> None:
        """Delete the endpoint's stack."""
        self._run("cdk destroy", str(BIN / "cdk"), "destroy", self.stack, "--exclusively", "--force")

    def output(self, name: str) -> str:
        """One output of the deployed stack."""
        return stack_output(self.stack, name)

    def _deploy(self, stack: str) -> None:
        options = (
            "--exclusively",
            "--require-approval",
            "never",
            "--progress",
            "events",
        )
        self._run(f"cdk deploy {stack}", str(BIN / "cdk"), "deploy", stack, *options)
        template: dict[str, Any] = json.loads((self.work / "cdk.out" / f"{stack}.template.json").read_text())
        if missing := compare(stack, template, boto3.client("cloudformation")):
            raise Failed("\n".join(missing))

    def _run(self, what: str, *command: str) -> str:
        with self._timed(what):
            done = subprocess.run(
                command,
                check=False,
                cwd=self.work,
                capture_output=True,
                text=True,
                env={**os.environ, "CI": "1"},
            )
        if done.returncode:
            raise Failed(
                f"{done.stdout}{done.stderr}\n`{' '.join(command)}` failed with status {done.returncode}."
            )
        return done.stdout
