"""Triton's HTTP client: every datatype, as JSON and as bytes, named outputs, ids, compression, errors."""

import numpy as np
from checks import raised, run
from tritonclient import http
from tritonclient.utils import InferenceServerException

MODEL = "every-datatype"
INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
VALUES = {
    "bool": np.array([[True, False, True]]),
    "float16": np.array([[0.1, -65504, 6e-8]], np.float16),
    "float32": np.array([[0.1, -3.4e38, 1e-45]], np.float32),
    "float64": np.array([[0.1, -1.7e308, 5e-324]]),
    "string": np.array([["a", "ä €", ""]], np.object_),
    **{name: np.array([[np.iinfo(name).min, 7, np.iinfo(name).max]], name) for name in INTEGERS},
}
DATATYPES = {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64", "string": "BYTES"}
DATATYPES |= {name: name.upper() for name in INTEGERS}


def connect(url: str) -> http.InferenceServerClient:
    return http.InferenceServerClient(url.removeprefix("http://"))


def inputs(*, binary: bool, rows: int = 1) -> list[http.InferInput]:
    made = []
    for name, row in VALUES.items():
        array = np.repeat(row, rows, axis=0)
        made.append(http.InferInput(f"x_{name}", list(array.shape), DATATYPES[name]))
        made[-1].set_data_from_numpy(array, binary_data=binary)
    return made


def outputs(*, binary: bool) -> list[http.InferRequestedOutput]:
    return [http.InferRequestedOutput(f"y_{name}", binary_data=binary) for name in VALUES]


def same(result: http.InferResult, rows: int = 1) -> None:
    for name, row in VALUES.items():
        got, sent = result.as_numpy(f"y_{name}"), np.repeat(row, rows, axis=0)
        if name == "string":
            got = np.array([t if isinstance(t, str) else t.decode() for t in got.flat], np.object_)
            got = got.reshape(sent.shape)
        assert got.dtype == sent.dtype, name
        np.testing.assert_array_equal(got, sent, err_msg=name)


def check_health(url: str) -> None:
    client = connect(url)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("another")


def check_metadata(url: str) -> None:
    client = connect(url)
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    described = client.get_model_metadata(MODEL)
    assert described["versions"] == ["1"]
    assert {i["name"]: i["datatype"] for i in described["inputs"]} == {
        f"x_{name}": datatype for name, datatype in DATATYPES.items()
    }
    (listed,) = client.get_model_repository_index()
    assert (listed["name"], listed["state"]) == (MODEL, "READY")


def check_every_datatype(url: str) -> None:
    client = connect(url)
    for sent in (True, False):
        for asked in (True, False):
            result = client.infer(MODEL, inputs(binary=sent), "1", outputs(binary=asked))
            same(result)


def check_outputs_unnamed(url: str) -> None:
    """Without outputs the client asks for all of them in binary."""
    same(connect(url).infer(MODEL, inputs(binary=True)))


def check_outputs_named(url: str) -> None:
    named = [http.InferRequestedOutput("y_int8", binary_data=False), http.InferRequestedOutput("y_float32")]
    answer = connect(url).infer(MODEL, inputs(binary=False), outputs=named).get_response()
    assert [output["name"] for output in answer["outputs"]] == ["y_int8", "y_float32"]
    assert ["data" in output for output in answer["outputs"]] == [True, False]


def check_request_id(url: str) -> None:
    answer = connect(url).infer(MODEL, inputs(binary=True), request_id="seven").get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("seven", MODEL, "1")


def check_compression(url: str) -> None:
    client = connect(url)
    for algorithm in ("gzip", "deflate"):
        for binary in (True, False):
            result = client.infer(
                MODEL,
                inputs(binary=binary, rows=1000),
                outputs=outputs(binary=binary),
                request_compression_algorithm=algorithm,
                response_compression_algorithm=algorithm,
            )
            same(result, rows=1000)


def check_async(url: str) -> None:
    client = connect(url)
    for pending in [client.async_infer(MODEL, inputs(binary=True)) for _ in range(4)]:
        same(pending.get_result())


def check_errors(url: str) -> None:
    wrong = http.InferInput("x_int8", [1, 1], "INT16")
    wrong.set_data_from_numpy(np.ones((1, 1), np.int16))
    error = raised(InferenceServerException, lambda: connect(url).infer(MODEL, [wrong]))
    assert error.status() == "400"
    assert "'x_int8' has datatype 'INT16'" in error.message()


if __name__ == "__main__":
    run(
        check_health,
        check_metadata,
        check_every_datatype,
        check_outputs_unnamed,
        check_outputs_named,
        check_request_id,
        check_compression,
        check_async,
        check_errors,
    )
