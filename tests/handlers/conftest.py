"""Small real bundles and what serves them, shared by this room's tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest

from handlers.inference.service import Service
from tests.handlers.bundles import write_bundle
from tests.handlers.models import DTYPES, MODELS
from tests.handlers.scripted_api import ScriptedApi

REPOSITORY = Path(__file__).parents[2]
BundleMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def dtypes() -> list[str]:
    return list(DTYPES)


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory: pytest.TempPathFactory) -> BundleMaker:
    """Write a bundle of a model (one of MODELS, or any) and return its folder."""
    parent = tmp_path_factory.mktemp("bundles")

    def make(model: str | onnx.ModelProto, *, name: str = "toy", serve: str = "model.ort") -> Path:
        model = MODELS[model]() if isinstance(model, str) else model
        return write_bundle(parent, model, name=name, serve=serve)

    return make


@pytest.fixture(scope="session")
def make_service(make_bundle: BundleMaker) -> Callable[[str], Service]:
    """A service over a bundle of one of MODELS."""

    services: dict[str, Service] = {}

    def make(model: str) -> Service:
        if model not in services:
            services[model] = Service.from_folder(make_bundle(model))
        return services[model]

    return make


@pytest.fixture(scope="session")
def affine_bundle(make_bundle: BundleMaker) -> Path:
    return make_bundle("affine")


@pytest.fixture(scope="session")
def affine_service(affine_bundle: Path) -> Service:
    return Service.from_folder(affine_bundle)


@pytest.fixture
def scripted() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
def start(scripted) -> Iterator[Callable[..., subprocess.Popen]]:
    """The image's process over the scripted API; what follows an answer has a minute, if not ``hasty``."""
    started: list[subprocess.Popen] = []

    def start_one(*, hasty: bool = False, **variables: str) -> subprocess.Popen:
        packages = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
        environ = {"PYTHONPATH": packages, "AWS_LAMBDA_RUNTIME_API": scripted.address, **variables}
        script = "handlers/inference/bootstrap.py" if hasty else "tests/handlers/patient_bootstrap.py"
        command = [sys.executable, "-I", "-S", str(REPOSITORY / script)]
        started.append(subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, cwd="/"))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()
        process.communicate(timeout=60)
