"""MLServer as its guide to custom runtimes does it: parallel inference with a worker for each core."""

import json
import os
import sys
from pathlib import Path

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Runtime(MLModel):
    """One worker."""

    async def load(self) -> bool:
        """Load the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run it."""
        (output,) = self.session.run(None, {"x": NumpyCodec.decode_input(payload.inputs[0])})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", output)])


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "parallel_workers": int(os.environ["WORKERS"]),
    }
    Path("settings.json").write_text(json.dumps(settings))
    model = {"name": "cls", "implementation": "benchmarks.servers.mlserver.Runtime"}
    Path("model-settings.json").write_text(json.dumps(model))
    command = str(Path(sys.executable).with_name("mlserver"))
    os.execv(command, [command, "start", "."])  # noqa: S606
