"""A bundle that the real `optimize` made from a small classifier, and an account in the emulator."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from moto.server import ThreadedMotoServer
from onnx import TensorProto, helper, numpy_helper

from emulator.server import Emulator
from tests.coldpress.registry import Run, client
from tests.coldpress.stages import Account

BIN = Path(sys.executable).parent


def small_classifier() -> onnx.ModelProto:
    """x float32 [n, 64] -> scores float32 [n, 5]."""
    dice = np.random.default_rng(7)
    weights = {
        "w1": dice.normal(0, 0.2, (64, 128)).astype(np.float32),
        "w2": dice.normal(0, 0.2, (128, 5)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 5])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.fixture(scope="session")
def pressed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle's folder."""
    folder = tmp_path_factory.mktemp("pressed")
    onnx.save(small_classifier(), folder / "classifier.onnx")
    dice = np.random.default_rng(8)
    for name, count in (("calibration", 32), ("evaluation", 64)):
        np.savez(folder / f"{name}.npz", x=dice.normal(0, 1, (count, 64)).astype(np.float32))
    command = [str(BIN / "optimize"), "classifier.onnx", "--max-drop", "0.05", "-o", "out"]
    command += ["--calibration", "calibration.npz", "--evaluation", "evaluation.npz"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    (bundle,) = (folder / "out" / "classifier").glob("[0-9a-f]*")
    return bundle


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Of a module's own; what runs in this process goes there."""
    with (
        Emulator(state_dir=tmp_path_factory.mktemp("emulator")) as emulator,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in emulator.environment().items():
            patch.setenv(name, value)
        yield Account(emulator)


@pytest.fixture(scope="module")
def aws() -> Iterator[dict[str, str]]:
    """The variables that point a command at a moto server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield {
        "AWS_ENDPOINT_URL": f"http://localhost:{server.get_host_and_port()[1]}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


@pytest.fixture
def run(aws: dict[str, str], tmp_path: Path) -> Run:
    """`coldpress` with those arguments, in a folder of its own and with a cache of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "coldpress"), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **aws, "COLDPRESS_CACHE": str(tmp_path / "cache"), **environment},
        )

    return run


@pytest.fixture
def bucket(aws: dict[str, str], request: pytest.FixtureRequest) -> str:
    """A new one."""
    name = f"bucket-{abs(hash(request.node.name)) % 10**8}"
    client(aws).create_bucket(Bucket=name)
    return name
