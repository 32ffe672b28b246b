"""The function that tutorials show: onnxruntime, json and, where MODEL is s3://BUCKET/KEY, boto3."""

import json
import os
from typing import Any

import numpy as np
import onnxruntime

_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def _model() -> str | bytes:
    place = os.environ["MODEL"]
    if not place.startswith("s3://"):
        return place
    import boto3  # noqa: PLC0415 - only where the model is there

    bucket, _, key = place.removeprefix("s3://").partition("/")
    content: bytes = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


_session = onnxruntime.InferenceSession(_model())


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """TensorFlow Serving's columns in, columns out."""
    inputs = json.loads(event["body"])["inputs"]
    feeds = {node.name: np.array(inputs[node.name], _DTYPES[node.type]) for node in _session.get_inputs()}
    names = [node.name for node in _session.get_outputs()]
    outputs = {name: value.tolist() for name, value in zip(names, _session.run(names, feeds), strict=True)}
    return {
        "statusCode": 200,
        "headers": {"content-type": "application/json"},
        "body": json.dumps({"outputs": outputs}),
    }
