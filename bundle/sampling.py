"""Which requests are among a share of all: decided by their ids, so whoever asks gets the same answer."""

from _hashlib import openssl_sha256

_CHANCES = 2**64


def is_among(inference_id: str, share: float) -> bool:
    """Whether the request is among the ``share`` of all requests, from 0 to 1; so is its retry then."""
    digest = openssl_sha256(inference_id.encode(errors="replace")).digest()
    return int.from_bytes(digest[:8], "big") < share * _CHANCES
