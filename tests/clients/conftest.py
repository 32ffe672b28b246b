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
    "openapi": ("openapi-python-client==0.29.1", "httpx==0.28.1", "attrs==26.1.0"),
    "tritonclient": ("tritonclient[http]==2.73.0", "numpy==2.4.6"),
}

Asking = Callable[[str, str], None]


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
    with _serving(bundles.every_datatype) as first, _serving(bundles.half_plus_three) as second:
        yield Served(first, second)


@pytest.fixture(scope="session")
def deployed(bundles: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Both models behind API Gateway, emulated: the first open to everyone, the other for signed requests."""
    folder = tmp_path_factory.mktemp("deployed")
    with Emulator(state_dir=folder / "emulator") as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        first = Deployment(folder / "every-datatype", "open")
        second = Deployment(folder / "half-plus-three", "signed")
        settings = {"provisioned_concurrency": None}
        for deployment, bundle, authorization in (
            (first, bundles.every_datatype, "none"),
            (second, bundles.half_plus_three, "iam"),
        ):
            deployment.work.mkdir()
            model = {"name": deployment.work.name}
            deployment.configure(model=model, authorization=authorization, **settings)
            if deployment is first:
                deployment.prepare()
            deployment.push(bundle)
            deployment.deploy()
        yield Served(first.output("EndpointUrl"), second.output("EndpointUrl"))


@contextmanager
def _serving(bundle: Path) -> Iterator[str]:
    coldpress = Path(sys.executable).with_name("coldpress")
    command = [str(coldpress), "serve", str(bundle), "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://{urlsplit(server.stdout.readline().strip()).netloc}"
        finally:
            server.terminate()
