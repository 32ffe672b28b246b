"""A client of the deployed recogniser: picture in, text out, over the Open Inference Protocol.

Tensors travel as bytes behind the JSON (the protocol's binary extension), because the answer holds a quarter
of a million probabilities.
"""

import json

import numpy as np
from PIL import Image

from coldpress.aws import send_signed
from examples.ocr.lines import to_tensor, to_text

INPUT, DTYPE = "x", "FP32"


class Recogniser:
    """Asks the endpoint at ``url`` for model ``name``; ``characters`` are its own, class 1 first."""

    def __init__(self, url: str, name: str, characters: list[str]) -> None:
        self._address = f"{url.rstrip('/')}/v2/models/{name}/infer"
        self._characters = characters

    def read(self, image: Image.Image, name: str = "") -> str:
        """The text in a picture of one line; ``name`` is what the request is called later, if at all.

        Raises:
            RuntimeError: the endpoint did not answer 200.
        """
        header, body = request(image)
        headers = {
            "content-type": "application/octet-stream",
            "inference-header-content-length": str(len(header)),
            **({"x-inference-id": name} if name else {}),
        }
        answer = send_signed(self._address, method="POST", body=header + body, headers=headers)
        if answer.status != 200:
            raise RuntimeError(f"the endpoint answered {answer.status}: {answer.body[:300]!r}")
        length = int(answer.headers["inference-header-content-length"])
        (output,) = json.loads(answer.body[:length])["outputs"]
        scores = np.frombuffer(answer.body[length:], np.float32).reshape(output["shape"])
        return to_text(scores[0], self._characters)


def request(image: Image.Image) -> tuple[bytes, bytes]:
    """An inference request with a binary tensor: its JSON header and its body."""
    tensor = to_tensor(image)
    header = {
        "inputs": [
            {
                "name": INPUT,
                "shape": tensor.shape,
                "datatype": DTYPE,
                "parameters": {"binary_data_size": tensor.nbytes},
            }
        ],
        "parameters": {"binary_data_output": True},
    }
    return json.dumps(header).encode(), tensor.tobytes()


def json_request(image: Image.Image) -> bytes:
    """The same request as plain JSON, for curl."""
    tensor = to_tensor(image)
    entry = {
        "name": INPUT,
        "shape": tensor.shape,
        "datatype": DTYPE,
        "data": tensor.ravel().round(4).tolist(),
    }
    return json.dumps({"inputs": [entry]}).encode()
