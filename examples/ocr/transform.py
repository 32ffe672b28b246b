"""A picture of a line of text in, its text out: the user's code around the recogniser.

``OCR_CHARACTERS`` names the file of the model's characters, one a line; `make demo` writes it.
"""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from examples.ocr.lines import to_tensor, to_text
from handlers.inference.errors import ContentTooLarge, RequestError
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.tensor import Tensor

# A picture of few bytes may hold many pixels, all of which would be decoded.
MAX_PIXELS = 16_000_000


class Transform:
    """PNG or JPEG to ``{"text": …}``."""

    def __init__(self) -> None:
        file = Path(os.environ["OCR_CHARACTERS"])
        self._characters = file.read_text(encoding="utf-8").split("\n")

    def decode(self, request: Request) -> Mapping[str, npt.NDArray[np.float32]]:
        """The picture as the recogniser's input."""
        try:
            with Image.open(io.BytesIO(request.body), formats=("PNG", "JPEG")) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ContentTooLarge(
                        f"the picture has more than {MAX_PIXELS} pixels: send a smaller one."
                    )
                return {"x": to_tensor(image)}
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            raise RequestError("the body is no picture: send a PNG or JPEG of one line of text.") from None

    def encode(self, outputs: Mapping[str, Tensor]) -> Response:
        """The text."""
        (scores,) = outputs.values()
        array = np.frombuffer(scores.data, scores.dtype).reshape(scores.shape)
        return json_response({"text": to_text(array[0], self._characters)})
