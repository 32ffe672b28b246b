"""Sentences in, embeddings out: the tokenizer as the user's code around MiniLM.

``MINILM_TOKENIZER`` names the tokenizer.json, which lies beside the weights in the model's package.
"""

import json
import os
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from handlers.inference.errors import RequestError
from handlers.inference.messages import Request, Response, json_response
from handlers.inference.tensor import Tensor

LONGEST = 256  # tokens, as the model's own configuration has it; the rest is cut off
MAX_SENTENCES = 64


class Transform:
    """A JSON string, or a list of them, to ``{"embeddings": [[…], …]}``, one of 384 numbers a sentence."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(os.environ["MINILM_TOKENIZER"])
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.enable_padding()

    def decode(self, request: Request) -> Mapping[str, npt.NDArray[np.int64]]:
        """Token ids and mask, both [sentences, longest of them]."""
        encodings = self._tokenizer.encode_batch(_sentences(request.body))
        return {
            "input_ids": np.array([encoding.ids for encoding in encodings], np.int64),
            "attention_mask": np.array([encoding.attention_mask for encoding in encodings], np.int64),
        }

    def encode(self, outputs: Mapping[str, Tensor]) -> Response:
        """The embeddings, which the model has pooled and normalised already."""
        embedding = outputs["embedding"]
        rows = np.frombuffer(embedding.data, embedding.dtype).reshape(embedding.shape)
        return json_response({"embeddings": rows.tolist()})


def _sentences(body: bytes) -> list[str]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    sentences = [content] if isinstance(content, str) else content
    if not isinstance(sentences, list) or not all(isinstance(text, str) for text in sentences):
        raise RequestError('the body is no sentence: send "one", or ["one", "another"], as JSON.')
    if not 1 <= len(sentences) <= MAX_SENTENCES:
        raise RequestError(f"these are {len(sentences)} sentences: send 1 to {MAX_SENTENCES}.")
    # Half of a surrogate pair is JSON, but no text.
    return [text.encode(errors="replace").decode() for text in sentences]
