"""A request of 20 MB, which Lambda does not carry: uploaded to S3 and answered."""

import json
import urllib.request

import numpy as np

from bundle.arrays import load_npz
from bundle.folder import read
from tests.e2e.cloud import NAME, Cloud

ROWS, PIECES = 190, 5


def binary(cloud: Cloud, rows: np.ndarray) -> tuple[bytes, dict[str, str]]:
    """A request of the Open Inference Protocol and its headers."""
    entry = {
        "name": read(cloud.bundle).signature.inputs[0].name,
        "shape": rows.shape,
        "datatype": "FP32",
        "parameters": {"binary_data_size": rows.nbytes},
    }
    header = json.dumps({"inputs": [entry]}).encode()
    return header + rows.tobytes(), {
        "content_type": "application/octet-stream",
        "inference_header_content_length": str(len(header)),
    }


def infer(cloud: Cloud, body: bytes, **headers: str) -> np.ndarray:
    answer = cloud.send(f"/v2/models/{NAME}/infer", body, **headers)
    assert answer.status == 200, answer.body
    (output,) = json.loads(answer.body)["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def test_an_uploaded_body_is_answered_as_its_rows_in_pieces(cloud: Cloud) -> None:
    samples = load_npz(cloud.samples)["x"]
    rows = np.resize(samples, (ROWS, *samples.shape[1:]))
    body, headers = binary(cloud, rows)
    assert len(body) > 20_000_000
    refused = cloud.send(f"/v2/models/{NAME}/infer", body, **headers)
    assert refused.status == 413
    asked = cloud.send(f"/v2/models/{NAME}/uploads", json.dumps({"size": len(body)}).encode())
    assert asked.status == 200, asked.body
    upload = json.loads(asked.body)
    put = urllib.request.Request(upload["url"], body, {"content-type": ""}, method=upload["method"])
    with urllib.request.urlopen(put) as done:
        assert done.status == 200
    whole = infer(cloud, b"", coldpress_upload=upload["key"], **headers)
    pieces = [binary(cloud, part) for part in np.split(rows, PIECES)]
    np.testing.assert_allclose(
        whole, np.concatenate([infer(cloud, piece, **more) for piece, more in pieces]), atol=1e-6
    )


def test_another_key_is_refused_and_one_without_an_upload_is_not_found(cloud: Cloud) -> None:
    for key, status in (
        (f"models/{NAME}/{cloud.bundle.name}/model.ort", 403),
        (f"uploads/{NAME}/7-{'0' * 32}", 404),
    ):
        answer = cloud.send(f"/v2/models/{NAME}/infer", b"", coldpress_upload=key)
        assert answer.status == status, answer.body
