"""From a trained model's file to answers over HTTP, and from one version to the next."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping

import boto3
import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle.arrays import load_npz
from bundle.folder import read, verify
from tests.e2e.cloud import NAME, Cloud, press


def infer(cloud: Cloud, sample: np.ndarray) -> np.ndarray:
    """One sample through the Open Inference Protocol, as JSON."""
    manifest = read(cloud.bundle)
    entry = {
        "name": manifest.signature.inputs[0].name,
        "shape": sample[None].shape,
        "datatype": "FP32",
        "data": sample.ravel().tolist(),
    }
    body = json.dumps({"inputs": [entry]}).encode()
    answer = cloud.send(f"/v2/models/{NAME}/infer", body, content_type="application/json")
    assert answer.status == 200, answer.body
    (output,) = json.loads(answer.body)["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def original(cloud: Cloud, sample: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(cloud.model), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: sample[None]})[0]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_answers_are_the_original_models_within_the_bound(cloud: Cloud) -> None:
    manifest = verify(cloud.bundle)
    samples = load_npz(cloud.samples)["x"][:20]
    likeness = [cosine(infer(cloud, sample), original(cloud, sample)) for sample in samples]
    assert 1 - np.mean(likeness) <= manifest.metric.bound


def test_tensorflow_serving_gives_the_same_answer(cloud: Cloud) -> None:
    sample = load_npz(cloud.samples)["x"][0]
    body = json.dumps({"instances": sample[None].tolist()}).encode()
    answer = cloud.send(f"/v1/models/{NAME}:predict", body, content_type="application/json")
    assert answer.status == 200, answer.body
    np.testing.assert_array_equal(
        np.array(json.loads(answer.body)["predictions"], np.float32), infer(cloud, sample)
    )


def test_unsigned_requests_are_refused(cloud: Cloud) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(cloud.deployment.output("EndpointUrl") + "/v2/health/live")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
INPUT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y", ""]) | JSON,
        "shape": st.lists(st.integers(-2, 200), max_size=5) | JSON,
        "datatype": st.sampled_from(["FP32", "INT64", "BYTES", "BOOL", "?"]) | JSON,
        "data": JSON,
        "parameters": JSON,
    },
)
BODIES = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {}, optional={"inputs": st.lists(INPUT, max_size=3) | JSON, "outputs": JSON, "id": JSON}
    ).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({}, optional={"instances": JSON, "inputs": JSON, "signature_name": JSON}).map(
        lambda value: json.dumps(value).encode()
    ),
)
PATHS = st.sampled_from(
    [
        f"/v2/models/{NAME}/infer",
        f"/v1/models/{NAME}:predict",
        f"/v1/models/{NAME}/versions/1:predict",
        f"/v2/models/{NAME}/versions/9/infer",
        f"/v1/models/{NAME}",
        f"/v1/models/{NAME}/metadata",
        "/v2/health/ready",
        "/",
        "/v1/models/%00/..%2f:predict",
    ]
)
HEADERS: st.SearchStrategy[Mapping[str, str]] = st.fixed_dictionaries(
    {"content_type": st.sampled_from(["application/json", "application/octet-stream", "text/xml", "x"])},
    optional={
        "content_encoding": st.sampled_from(["gzip", "br", "identity"]),
        "inference_header_content_length": st.sampled_from(["0", "-1", "7", "1e3", "999999"]),
    },
)


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(path=PATHS, body=st.none() | BODIES, headers=HEADERS)
def test_a_thousand_mutated_requests_and_no_5xx(
    cloud: Cloud, path: str, body: bytes | None, headers: Mapping[str, str]
) -> None:
    answer = cloud.send(path, body, **headers)
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        assert set(json.loads(answer.body)) <= {"error", "message"}


def test_the_next_version_takes_over_and_the_alias_moves(cloud: Cloud) -> None:
    """Last in this file: it changes what is deployed."""
    functions = boto3.client("lambda")
    name = cloud.deployment.output("FunctionName")
    alias = functions.get_alias(FunctionName=name, Name="live")
    assert cloud.deployment.output("ModelDigest") == cloud.bundle.name
    cloud_2 = cloud._replace(
        bundle=press(cloud.samples.parent, cloud.model, "--metric", "agreement", "--max-drop", "0.5")
    )
    assert cloud_2.bundle != cloud.bundle
    assert "version 2" in cloud.deployment.push(cloud_2.bundle)
    cloud.deployment.deploy()
    assert cloud.deployment.output("ModelDigest") == cloud_2.bundle.name
    moved = functions.get_alias(FunctionName=name, Name="live")
    assert moved["FunctionVersion"] != alias["FunctionVersion"]
    status = json.loads(cloud.send(f"/v1/models/{NAME}").body)
    assert [entry["version"] for entry in status["model_version_status"]] == ["2"]
    sample = load_npz(cloud.samples)["x"][0]
    assert infer(cloud_2, sample).argmax() == original(cloud, sample).argmax()
