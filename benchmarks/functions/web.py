"""The same as a FastAPI application behind Mangum."""

import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI
from mangum import Mangum
from pydantic import BaseModel

_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
_session = onnxruntime.InferenceSession(os.environ["MODEL"])
_application = FastAPI()


class Columns(BaseModel):
    """TensorFlow Serving's columns."""

    inputs: dict[str, Any]


@_application.post("/v1/models/{model}:predict")
def predict(model: str, columns: Columns) -> dict[str, Any]:  # noqa: ARG001 - one model is all there is
    """Columns in, columns out."""
    feeds = {n.name: np.array(columns.inputs[n.name], _DTYPES[n.type]) for n in _session.get_inputs()}
    names = [node.name for node in _session.get_outputs()]
    values = zip(names, _session.run(names, feeds), strict=True)
    return {"outputs": {name: value.tolist() for name, value in values}}


handler = Mangum(_application, lifespan="off")
