"""Other projects' clients in environments of their own, and our servers that they ask."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import onnx
import pytest

from benchmarks import environments
from emulator.server import Emulator
from examples.deployment import Deployment
from tests.clients.models import every_datatype, half_plus_three
from tests.handlers.bundles import write_bundle

HERE = Path(__file__).parent
# What a client is called, and its packages; the others are servers of the benchmarks as well.
PACKAGES = {
    "schemathesis": ("schemathesis==4.32.5",),
    "openapi": ("openapi-python-client==0.29.1", "httpx==0.28.1", "attrs==26.1.0"),
    "tritonclient": ("tritonclient[http]==2.73.0", "numpy==2.4.6"),
}

Asking = Callable[[str, str], None]
Deploying = Callable[[Path, str, str], str]


class Served(NamedTuple):
    """Where the two models are: addresses to which clients add their protocol's paths."""

    every_datatype: str
    half_plus_three: str


class Bundles(NamedTuple):
    """The folders of the two models' bundles."""

    every_datatype: Path
    half_plus_three: Path


@pytest.fixture(scope="session")
def ask() -> Asking:
    """Run a client's checks, ``ask_<client>.py``, in its own environment against an address."""

    def run(client: str, url: str) -> None:
        if client in PACKAGES:
            folder = environments.ROOT / "build" / "clients" / client
            python = environments.made(folder, PACKAGES[client])
        else:
            python = environments.python_of(client)
        command = [str(python), str(HERE / f"ask_{client}.py"), url]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        print(done.stdout)

    return run


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    folder = tmp_path_factory.mktemp("bundles")

    def made(name: str, model: onnx.ModelProto) -> Path:
        return write_bundle(folder, model, name=name)

    return Bundles(made("every-datatype", every_datatype()), made("half-plus-three", half_plus_three()))


@pytest.fixture(scope="session")
def served(bundles: Bundles) -> Iterator[Served]:
    """Both models behind `coldpress serve`."""
    with serving(bundles.every_datatype) as first, serving(bundles.half_plus_three) as second:
        yield Served(first, second)


@pytest.fixture(scope="session")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploying]:
    """Deploy a bundle behind API Gateway, emulated; what a request must bear is the last argument."""
    folder = tmp_path_factory.mktemp("deployed")
    with Emulator(state_dir=folder / "emulator") as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment().items():
            patch.setenv(name, value)

        def run(bundle: Path, stage: str, authorization: str) -> str:
            is_first = not any(folder.glob("*/cdk.json"))
            (work := folder / stage).mkdir()
            deployment = Deployment(work, stage)
            model = {"name": bundle.parent.name}
            deployment.configure(
                model=model,
                authorization=authorization,
                provisioned_concurrency=None,
                # Fuzzers ask as fast as they can.
                throttling={"rate": 10_000, "burst": 5_000},
            )
            if is_first:
                deployment.prepare()
            deployment.push(bundle)
            deployment.deploy()
            return deployment.output("EndpointUrl")

        yield run


@pytest.fixture(scope="session")
def deployed(deploy: Deploying, bundles: Bundles) -> Served:
    """Both models behind API Gateway, open to everyone."""
    return Served(
        deploy(bundles.every_datatype, "datatypes", "none"), deploy(bundles.half_plus_three, "half", "none")
    )


@pytest.fixture(scope="session")
def signed(deploy: Deploying, bundles: Bundles) -> str:
    """The second model behind API Gateway, for signed requests."""
    return deploy(bundles.half_plus_three, "signed", "iam")


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """The address of `coldpress serve` for a bundle."""
    coldpress = Path(sys.executable).with_name("coldpress")
    command = [str(coldpress), "serve", str(bundle), "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://{urlsplit(server.stdout.readline().strip()).netloc}"
        finally:
            server.terminate()
