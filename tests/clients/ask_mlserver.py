"""MLServer's codecs: requests posted as they encode them, answers decoded by them."""

import urllib.request

import numpy as np
import pandas as pd
from checks import run
from mlserver.codecs import Base64Codec, NumpyCodec, PandasCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput

INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
VALUES = {
    "bool": np.array([[True], [False]]),
    "float16": np.array([[0.1], [-65504]], np.float16),
    "float32": np.array([[0.1], [-3.4e38]], np.float32),
    "float64": np.array([[0.1], [5e-324]]),
    **{name: np.array([[np.iinfo(name).min], [np.iinfo(name).max]], name) for name in INTEGERS},
}
TEXTS = ["plain", "ä €"]


def post(url: str, request: InferenceRequest) -> InferenceResponse:
    asked = urllib.request.Request(
        f"{url}/v2/models/every-datatype/infer",
        request.model_dump_json().encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return InferenceResponse.model_validate_json(answer.read())


def arrays() -> list[RequestInput]:
    return [NumpyCodec.encode_input(f"x_{name}", array) for name, array in VALUES.items()]


def check_numpy(url: str) -> None:
    texts = StringCodec.encode_input("x_string", TEXTS)
    answer = post(url, InferenceRequest(id="7", inputs=[*arrays(), texts]))
    assert answer.id == "7"
    outputs = {output.name: output for output in answer.outputs}
    for name, array in VALUES.items():
        got = NumpyCodec.decode_output(outputs[f"y_{name}"])
        assert got.dtype == array.dtype, name
        np.testing.assert_array_equal(got, array, err_msg=name)


def check_strings(url: str) -> None:
    for use_bytes in (True, False):
        texts = StringCodec.encode_input("x_string", TEXTS, use_bytes=use_bytes)
        answer = post(url, InferenceRequest(inputs=[*arrays(), texts]))
        (got,) = [output for output in answer.outputs if output.name == "y_string"]
        assert StringCodec.decode_output(got) == TEXTS


def check_base64(url: str) -> None:
    """What the model gets is the base64, as bytes that are no text can be no ONNX string."""
    pictures = [b"\x89PNG\0\xff", b"\xff\xd8"]
    for use_bytes in (True, False):
        encoded = Base64Codec.encode_input("x_string", pictures, use_bytes=use_bytes)
        answer = post(url, InferenceRequest(inputs=[*arrays(), encoded]))
        (got,) = [output for output in answer.outputs if output.name == "y_string"]
        assert Base64Codec.decode_output(got) == pictures


def check_pandas(url: str) -> None:
    columns = {f"x_{name}": array[:, 0] for name, array in VALUES.items()}
    # This MLServer does not know the strings of pandas 3.
    frame = pd.DataFrame(columns | {"x_string": pd.Series(TEXTS, dtype=object)})
    answer = post(url, PandasCodec.encode_request(frame))
    got = PandasCodec.decode_response(answer)
    assert set(got.columns) == {name.replace("x_", "y_") for name in frame.columns}
    for name in frame.columns:
        assert got[name.replace("x_", "y_")].tolist() == frame[name].tolist(), name


if __name__ == "__main__":
    run(check_numpy, check_strings, check_base64, check_pandas)
