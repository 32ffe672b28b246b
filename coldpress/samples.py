"""A bundle's golden sample as the request that the pre-traffic check would send."""

import json
from pathlib import Path

from coldpress.errors import CommandError
from handlers.pretraffic.requests import fits, to_event
from handlers.pretraffic.samples import read_samples


def golden_event(bundle: Path, model: str) -> bytes:
    """The first golden sample that Lambda carries, as an event of an HTTP API.

    Raises:
        CommandError: the bundle has no such sample.
    """
    for sample in read_samples((bundle / "golden.npz").read_bytes()):
        if fits(sample.inputs):
            return json.dumps(to_event(model, sample.inputs)).encode()
    raise CommandError(f"{bundle} has no golden sample that Lambda carries (6 MB): press the model anew.")
