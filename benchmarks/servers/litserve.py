"""LitServe as its quick start does it: decode, predict, encode; a worker process for each core."""

import os
from typing import Any

import litserve
import numpy as np
import onnxruntime


class Api(litserve.LitAPI):
    """One worker."""

    def setup(self, device: str) -> None:
        """Load the model."""
        del device
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)

    def decode_request(self, request: dict[str, Any]) -> Any:
        """From JSON."""
        return np.array(request["x"], np.float32)

    def predict(self, x: Any) -> Any:
        """Run it."""
        (output,) = self.session.run(None, {"x": x})
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        """To JSON."""
        return {"y": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=int(os.environ["WORKERS"]))
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", generate_client_file=False
    )
