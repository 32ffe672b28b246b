"""A client that openapi-python-client generates from /openapi.json, and its calls."""

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from checks import run

PACKAGE = "half_plus_three_client"
FOLDER = tempfile.TemporaryDirectory()


def generated(name: str) -> ModuleType:
    return importlib.import_module(f"{PACKAGE}.{name}")


def check_it_can_be_generated(url: str) -> None:
    """First: what it generates is what the others import. A description that it warns of is a failure."""
    folder = Path(FOLDER.name) / "client"
    tool = Path(sys.executable).with_name("openapi-python-client")
    command = [str(tool), "generate", "--url", f"{url}/openapi.json", "--output-path", str(folder)]
    command += ["--meta", "none", "--fail-on-warning"]
    (config := Path(FOLDER.name) / "config.yml").write_text("post_hooks: []\n")
    done = subprocess.run([*command, "--config", str(config)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    folder.rename(folder.with_name(PACKAGE))
    sys.path.insert(0, FOLDER.name)


def check_health_and_status(url: str) -> None:
    with generated("client").Client(url) as client:
        assert generated("api.open_inference_protocol.live").sync(client=client).live is True
        (version,) = generated("api.tensorflow_serving.status").sync(client=client).model_version_status
        assert version.to_dict()["state"] == "AVAILABLE"


def check_infer(url: str) -> None:
    tensor = {"name": "x", "shape": [3], "datatype": "FP32", "data": [1, 2, 5]}
    request = generated("models").InferRequest.from_dict({"id": "7", "inputs": [tensor]})
    with generated("client").Client(url) as client:
        answer = generated("api.open_inference_protocol.infer").sync(client=client, body=request)
    assert answer.id == "7"
    assert answer.outputs[0].data == [3.5, 4, 5.5]


def check_predict(url: str) -> None:
    rows = generated("models").PredictRows(instances=[1.0, 2.0, 5.0])
    with generated("client").Client(url) as client:
        answer = generated("api.tensorflow_serving.predict").sync(client=client, body=rows)
    assert answer.predictions == [3.5, 4, 5.5]


def check_refused(url: str) -> None:
    empty = generated("models").PredictRows(instances=[])
    with generated("client").Client(url) as client:
        answer = generated("api.tensorflow_serving.predict").sync(client=client, body=empty)
    assert answer.error == "'instances' must be a list of at least one row."


if __name__ == "__main__":
    run(check_it_can_be_generated, check_health_and_status, check_infer, check_predict, check_refused)
