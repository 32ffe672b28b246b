"""Schemathesis generates requests from /openapi.json, right ones and wrong ones; its hooks are here as well.

No answer may be a 5xx, or one that the description does not have: its status, media type, headers and body.
"""

import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import schemathesis
from checks import run
from schemathesis import GenerationMode

# Of each protocol; the tests ask three models, which makes 10,000.
REQUESTS = 3_400
# Schemathesis sends fewer where an operation takes no body, so the operations that do make up for it.
EXAMPLES = {"tensorflow-serving": 1_100, "open-inference-protocol": 2_600}
# Not asked: whether the description and the server agree on which requests are right. JSON Schema cannot say
# that a shape fits its data, or that features are complete with the context's; and readers are lenient.
UNASKED = "positive_data_acceptance,negative_data_rejection"
SEED = 20
PACKED = {"FP32": ("f", float), "INT64": ("q", int)}


def check_tensorflow_serving(url: str) -> None:
    check(url, "tensorflow-serving")


def check_open_inference_protocol(url: str) -> None:
    check(url, "open-inference-protocol")


def check(url: str, tag: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tool = Path(sys.executable).with_name("schemathesis")
        command = [str(tool), "run", f"{url}/openapi.json", "--include-tag", tag, "--no-color"]
        command += ["--max-examples", str(EXAMPLES[tag]), "--seed", str(SEED), "--continue-on-failure"]
        command += ["--phases", "examples,coverage,fuzzing", "--exclude-checks", UNASKED]
        command += ["--generation-database", "none"]
        hooks = {"SCHEMATHESIS_HOOKS": Path(__file__).stem, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=folder, env={**os.environ, **hooks}
        )
    assert done.returncode == 0, done.stdout + done.stderr
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None, done.stdout
    assert int(generated[1]) >= REQUESTS, done.stdout
    print(f"{tag}: {generated[1]} requests")


@schemathesis.deserializer("application/json")
def read(_context: object, response: Any) -> object:
    """NaN and infinities as TensorFlow Serving writes them, for which JSON Schema has no word, as 0."""
    return json.loads(response.content, parse_constant=lambda _: 0.0)


@schemathesis.hook
def before_call(_context: object, case: Any, _kwargs: dict[str, Any]) -> None:
    """Give right requests of the Open Inference Protocol shapes that fit, and half of them binary tensors."""
    inputs = case.body.get("inputs") if isinstance(case.body, dict) else None
    if case.operation.definition.raw["operationId"] != "infer" or not isinstance(inputs, list):
        return
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if any(not tensor.get("data") for tensor in inputs):
        return
    rows = fitted(inputs)
    if rows % 2:
        parts = [packed(tensor) for tensor in inputs]
        case.body["parameters"] = {"binary_data_output": rows % 4 == 1}
        header = json.dumps(case.body).encode()
        case.headers["Inference-Header-Content-Length"] = str(len(header))
        case.media_type, case.body = "application/octet-stream", header + b"".join(parts)


def fitted(inputs: list[dict[str, Any]]) -> int:
    """Give all tensors as many rows, and shapes that say so; how many that are."""
    for tensor in inputs:
        tensor["data"] = list(flat(tensor["data"]))
    rows = min(len(tensor["data"]) // max(math.prod(tensor["shape"][1:]), 1) for tensor in inputs)
    for tensor in inputs:
        tensor["shape"] = [rows, *tensor["shape"][1:]]
        del tensor["data"][math.prod(tensor["shape"]) :]
    return rows


def flat(value: object) -> Iterator[object]:
    if isinstance(value, list):
        for item in value:
            yield from flat(item)
    else:
        yield value


def packed(tensor: dict[str, Any]) -> bytes:
    """Take a tensor's numbers out of the JSON, as bytes; strings stay."""
    if tensor["datatype"] not in PACKED:
        return b""
    code, number = PACKED[tensor["datatype"]]
    data = struct.pack(f"<{len(tensor['data'])}{code}", *map(number, tensor.pop("data")))
    tensor["parameters"] = {"binary_data_size": len(data)}
    return data


if __name__ == "__main__":
    run(check_tensorflow_serving, check_open_inference_protocol)
