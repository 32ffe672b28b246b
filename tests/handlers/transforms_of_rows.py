"""A user's transform: a row of numbers as text, both ways."""

from typing import Any

import numpy as np

from handlers.inference.messages import Response
from handlers.inference.tensor import Tensor


class Rows:
    def decode(self, request: Any) -> dict[str, Tensor]:
        return {"x": Tensor.of(np.float32([[float(word) for word in request.body.split()]]))}

    def encode(self, outputs: dict[str, Tensor]) -> Response:
        numbers = np.frombuffer(outputs["y"].data, np.float32)
        return Response(200, {"content-type": "text/plain"}, " ".join(map(str, numbers)).encode())
