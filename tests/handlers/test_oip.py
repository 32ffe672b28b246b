import json
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from handlers.inference.messages import Request, Response
from handlers.inference.service import Service

DATATYPES = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64", "string": "BYTES"} | {
    f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}


def post(service: Service, body: object, binary: bytes = b"", **headers: str) -> Response:
    header = body if isinstance(body, bytes) else json.dumps(body).encode()
    if binary:
        headers["inference-header-content-length"] = str(len(header))
    return service.answer(Request("POST", "/v2/models/toy/infer", headers=headers, body=header + binary))


def get(service: Service, path: str) -> Response:
    return service.answer(Request("GET", path))


def error(response: Response) -> str:
    content = json.loads(response.body)
    assert list(content) == ["error"]
    return content["error"]


def strict(body: bytes) -> Any:
    """JSON as the RFC has it: no NaN."""
    return msgspec.json.decode(body)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/toy/ready", {"name": "toy", "ready": True}),
        ("/v2/models/toy/versions/1/ready", {"name": "toy", "ready": True}),
        (
            "/v2/models/toy",
            {
                "name": "toy",
                "versions": ["1"],
                "platform": "onnxruntime_onnx",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
            },
        ),
    ],
)
def test_what_can_be_asked_about_it(affine_service, path, content):
    response = get(affine_service, path)
    assert (response.status, json.loads(response.body)) == (200, content)


def test_the_repository_has_one_model(affine_service):
    """What Triton's and MLServer's clients post to see what there is."""
    response = affine_service.answer(Request("POST", "/v2/repository/index", body=b"{}"))
    assert json.loads(response.body) == [{"name": "toy", "version": "1", "state": "READY", "reason": ""}]


def test_server_metadata_names_the_extension(affine_service):
    content = json.loads(get(affine_service, "/v2").body)
    assert content["name"] == "coldpress"
    assert content["extensions"] == ["binary_tensor_data"]


@pytest.mark.parametrize("data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]]])
def test_data_may_be_flat_or_nested(affine_service, data):
    response = post(affine_service, {"id": "7", "inputs": [{**X, "shape": [2, 3], "data": data}]})
    assert response.status == 200
    assert json.loads(response.body) == {
        "model_name": "toy",
        "model_version": "1",
        "id": "7",
        "outputs": [{"name": "y", "shape": [2, 3], "datatype": "FP32", "data": [3, 5, 7, 9, 11, 13]}],
    }


def test_null_is_as_good_as_left_out(affine_service):
    nothing = {"id": None, "parameters": None, "outputs": None}
    response = post(affine_service, {**nothing, "inputs": [{**X, "parameters": None}]})
    assert response.status == 200
    assert "id" not in json.loads(response.body)


def test_parameters_and_unknown_fields_may_hold_lists(affine_service):
    extra = {"parameters": {"tags": [["a", "["], []]}, "client": [[1]]}
    response = post(affine_service, {**extra, "id": "[[", "inputs": [{**X, **extra}]})
    assert json.loads(response.body)["outputs"][0]["data"] == [3, 5, 7]
    hidden = post(affine_service, {**extra, "inputs": [{**X, "data": [1, [], [2, 3]]}]})
    assert hidden.status == 400
    assert "ragged" in error(hidden)


def test_the_version_may_be_named(affine_service):
    for path, status in (("/v2/models/toy/versions/1/infer", 200), ("/v2/models/toy/versions/2/infer", 404)):
        request = Request("POST", path, body=json.dumps({"inputs": [X]}).encode())
        assert affine_service.answer(request).status == status


def test_what_only_python_reads_is_answered(affine_service):
    """Bodies that simdjson refuses: NaN, half a surrogate pair, integers beyond 64 bits."""
    x = b'{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, %b, 3]}'
    body = b'{"id": "\\ud800", "inputs": [' + x + b"]}"
    for number, status in ((b"2", 200), (b"NaN", 200), (str(10**30).encode(), 400)):
        response = post(affine_service, body % number)
        assert response.status == status
        strict(response.body)


def test_outputs_are_selected(make_service):
    service = make_service("two columns")
    x = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    content = json.loads(post(service, {"inputs": [x], "outputs": [{"name": "high"}]}).body)
    assert [(output["name"], output["data"]) for output in content["outputs"]] == [("high", [2.0])]


def test_non_finite_numbers_are_strings_and_come_back(make_service):
    data = [-1, 0, 1, "Infinity"]
    x = {"name": "x", "shape": [4], "datatype": "FP32", "data": data}
    response = post(make_service("logarithm"), {"inputs": [x]})
    assert strict(response.body)["outputs"][0]["data"] == ["NaN", "-Infinity", 0.0, "Infinity"]


@st.composite
def tensors(draw, dtypes):
    dtype = draw(st.sampled_from(dtypes))
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    if dtype == "string":
        texts = draw(
            st.lists(st.text(max_size=5), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
        )
        array = np.empty(len(texts), object)
        array[:] = texts
        return dtype, array.reshape(shape)
    return dtype, draw(npst.arrays(np.dtype(dtype), shape))


@given(data=st.data())
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_dtype_comes_back_as_it_was_sent(make_service, dtypes, data):
    dtype, array = data.draw(tensors(dtypes))
    service = make_service(f"identity {dtype}")
    x: dict[str, Any] = {"name": "x", "shape": list(array.shape), "datatype": DATATYPES[dtype]}

    as_json = post(service, {"inputs": [{**x, "data": array.tolist()}]})
    assert as_json.status == 200, as_json.body
    (output,) = strict(as_json.body)["outputs"]
    assert output["datatype"] == DATATYPES[dtype]
    back = np.array(output["data"], array.dtype).reshape(output["shape"])
    np.testing.assert_array_equal(back, array)

    blob = pack(array)
    parameters = {"binary_data_size": len(blob)}
    request = {"inputs": [{**x, "parameters": parameters}], "parameters": {"binary_data_output": True}}
    as_binary = post(service, request, blob)
    assert as_binary.status == 200, as_binary.body
    length = int(as_binary.headers["inference-header-content-length"])
    (output,) = strict(as_binary.body[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": len(blob)}
    assert as_binary.body[length:] == blob
    assert as_binary.headers["content-type"] == "application/octet-stream"


def pack(array: np.ndarray) -> bytes:
    if array.dtype == object:
        encoded = [text.encode() for text in array.ravel()]
        return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
    return array.tobytes()


def test_binary_for_one_output_only(make_service):
    x = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}
    outputs = [{"name": "low"}, {"name": "high", "parameters": {"binary_data": True}}]
    response = post(make_service("two columns"), {"inputs": [x], "outputs": outputs})
    length = int(response.headers["inference-header-content-length"])
    low, high = json.loads(response.body[:length])["outputs"]
    assert (low["data"], "data" in high) == ([0.0], False)
    assert response.body[length:] == np.float32([2]).tobytes()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], "no inference request: Expected `object`, got `array`"),
        ({}, "missing required field `inputs`"),
        ({"inputs": 1}, "$.inputs"),
        ({"inputs": [1]}, "$.inputs[0]"),
        ({"inputs": []}, "input 'x' is missing"),
        ({"inputs": [{**X, "name": "z"}]}, "no input 'z'"),
        ({"inputs": [X, X]}, "'x' twice"),
        ({"inputs": [{**X, "datatype": "FP64"}]}, "the model takes FP32"),
        ({"inputs": [{**X, "shape": [3]}]}, "has shape [3], but the model takes [batch, 3]"),
        ({"inputs": [{**X, "shape": [2, 3]}]}, "has 3 elements, but its shape [2, 3] has 6"),
        ({"inputs": [{**X, "shape": [-1, -3]}]}, "negative length"),
        ({"inputs": [{**X, "shape": [10**30, 3]}]}, "elements"),
        ({"inputs": [{**X, "shape": [0.5]}]}, "$.inputs[0].shape[0]"),
        ({"inputs": [{**X, "data": None}]}, "takes numbers"),
        ({"inputs": [{**X, "data": [1, 2, "three"]}]}, "takes numbers"),
        ({"inputs": [{**X, "data": [[1], [2, 3]]}]}, "ragged"),
        ({"inputs": [X], "outputs": [{"name": "z"}]}, "no output 'z'"),
        ({"inputs": [X], "outputs": [{"name": "y"}, {"name": "y"}]}, "twice"),
        ({"inputs": [X], "id": 5}, "$.id"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 4}}]}, "binary_data_size that the body"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": True}}]}, "binary_data_size that the body"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 0}}]}, "both 'data' and binary_data_size"),
    ],
)
def test_wrong_bodies_are_refused_with_a_sentence(affine_service, body, sentence):
    response = post(affine_service, body)
    assert response.status == 400
    assert sentence in error(response)


@pytest.mark.parametrize(
    ("dtype", "shape", "blob", "sentence"),
    [
        ("float32", [1, 1], b"123", "no whole elements"),
        ("float32", [1, 1], b"12345678", "has 2 elements"),
        ("bool", [1, 1], b"\x02", "neither 0 nor 1"),
        ("string", [1, 1], b"\x05\0\0\0abc", "no strings"),
        ("string", [1, 1], b"\x01\0\0\0\xff", "no strings"),
        ("string", [1, 1], b"\x01\0\0", "no strings"),
        ("string", [1, 1], b"\xff\xff\xff\xff", "no strings"),
    ],
)
def test_wrong_binary_tensors_are_refused(make_service, dtype, shape, blob, sentence):
    x = {"name": "x", "shape": shape, "datatype": DATATYPES[dtype]}
    body = {"inputs": [{**x, "parameters": {"binary_data_size": len(blob)}}]}
    response = post(make_service(f"identity {dtype}"), body, blob)
    assert response.status == 400
    assert sentence in error(response)


def test_bytes_that_no_input_claims_are_refused(affine_service):
    response = post(affine_service, {"inputs": [X]}, b"1234")
    assert response.status == 400
    assert "4 binary bytes more" in error(response)


@pytest.mark.parametrize("length", ["-1", "99999", "x", "", "٣", "9" * 5000])
def test_wrong_header_length_is_refused(affine_service, length):
    response = post(affine_service, {"inputs": [X]}, **{"inference-header-content-length": length})
    assert response.status == 400
    assert "Inference-Header-Content-Length" in error(response)
