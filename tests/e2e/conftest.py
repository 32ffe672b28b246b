"""A real model pressed, pushed and deployed by the real commands into an emulated AWS, once for all tests."""

from collections.abc import Iterator

import pytest

from emulator.server import Emulator
from examples.deployment import Deployment
from scripts.from_wheel import take
from tests.e2e.cloud import Cloud, press
from tests.e2e.samples import write_samples

PACKAGE = "rapidocr-onnxruntime"
MEMBER = "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    folder = tmp_path_factory.mktemp("cloud")
    model = folder / "cls.onnx"
    take(PACKAGE, MEMBER, model)
    write_samples(folder)
    bundle = press(folder, model, "--metric", "cosine", "--max-drop", "0.01")
    with Emulator(state_dir=folder / "emulator") as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        deployment = Deployment(folder, "test")
        # A thousand requests come as fast as they are answered.
        deployment.configure(throttling={"rate": 10_000, "burst": 5_000})
        deployment.prepare()
        deployment.push(bundle)
        deployment.deploy()
        yield Cloud(deployment, model, bundle, folder / "evaluation.npz")
