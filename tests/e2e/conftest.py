"""An emulated AWS with the registry, and in it a real model pressed, pushed and deployed by real commands."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from emulator.server import Emulator
from examples.deployment import Deployment
from scripts.from_wheel import take
from tests.e2e.cloud import Cloud, press
from tests.e2e.endpoint import FAST, Endpoint
from tests.e2e.samples import write_samples

PACKAGE = "rapidocr-onnxruntime"
MEMBER = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Bootstrapped, with the registry deployed; the environment's AWS variables lead to it."""
    folder = tmp_path_factory.mktemp("account")
    with Emulator(state_dir=folder / "emulator") as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        deployment = Deployment(folder, "none")
        deployment.configure()
        deployment.prepare()
        yield emulator


@pytest.fixture(scope="session")
def cloud(account: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    folder = tmp_path_factory.mktemp("cloud")
    model = folder / "cls.onnx"
    take(PACKAGE, MEMBER, model)
    write_samples(folder)
    bundle = press(folder, model, "--metric", "cosine", "--max-drop", "0.01")
    deployment = Deployment(folder, "test")
    deployment.configure(throttling=FAST)
    deployment.push(bundle)
    deployment.deploy()
    return Cloud(deployment, model, bundle, folder / "evaluation.npz")


@pytest.fixture
def make_endpoint(account: Emulator, tmp_path: Path) -> Callable[..., Endpoint]:
    """A stage of its own, by name, with the settings that are given."""

    def make(name: str, **settings: object) -> Endpoint:
        return Endpoint(account, tmp_path, name, **settings)

    return make
