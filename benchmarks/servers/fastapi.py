"""FastAPI as its tutorial does it: a pydantic model of the body, a plain function, uvicorn's workers."""

import os

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

_options = onnxruntime.SessionOptions()
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["MODEL"], _options)
app = FastAPI()


class Body(BaseModel):
    """Rows of pictures: [n, 3, 48, width]."""

    x: list[list[list[list[float]]]]


@app.post("/predict")
def predict(body: Body) -> dict[str, list[list[float]]]:
    """The rows' probabilities."""
    (output,) = _session.run(None, {"x": np.array(body.x, np.float32)})
    return {"y": output.tolist()}


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.servers.fastapi:app",
        port=int(os.environ["PORT"]),
        workers=int(os.environ["WORKERS"]),
        access_log=False,
    )
