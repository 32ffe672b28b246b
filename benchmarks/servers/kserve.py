"""KServe as its guide to custom models does it, with the Open Inference Protocol and uvicorn's workers."""

import os
from typing import Any

import kserve
import onnxruntime
from kserve.utils.utils import get_predict_response


class Model(kserve.Model):
    """One worker."""

    def load(self) -> bool:
        """Load the model."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["MODEL"], options)
        self.ready = True
        return True

    def __getstate__(self) -> dict[str, Any]:
        """What a worker process is given: a session cannot be sent to it."""
        return {name: value for name, value in vars(self).items() if name != "session"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In the worker."""
        vars(self).update(state)
        self.load()

    def predict(self, payload: kserve.InferRequest, *_: Any, **__: Any) -> kserve.InferResponse:
        """Run it."""
        (output,) = self.session.run(None, {"x": payload.inputs[0].as_numpy()})
        return get_predict_response(payload, output, self.name)


if __name__ == "__main__":
    model = Model("cls")
    model.load()
    kserve.ModelServer(
        http_port=int(os.environ["PORT"]), workers=int(os.environ["WORKERS"]), enable_grpc=False
    ).start([model])
