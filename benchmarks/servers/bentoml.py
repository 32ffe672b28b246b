"""BentoML as its guide does it: a service class with an array as its input, as many workers as cores."""

import os
import sys

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=int(os.environ.get("WORKERS", "1")))
class Service:
    """One worker."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)

    @bentoml.api
    def predict(self, x: np.ndarray) -> np.ndarray:
        """The rows' probabilities."""
        (output,) = self.session.run(None, {"x": x.astype(np.float32)})
        return output


if __name__ == "__main__":
    command = [sys.executable, "-m", "bentoml", "serve", "benchmarks.servers.bentoml:Service"]
    os.execv(sys.executable, [*command, "--host", "127.0.0.1", "--port", os.environ["PORT"]])  # noqa: S606
