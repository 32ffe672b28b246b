"""The user's own code around the model: what it may do, and that nothing it does ends the environment."""

import json
import sys

import numpy as np
import pytest

from handlers.inference.errors import InitError, RequestError, UnsupportedMediaType
from handlers.inference.function import Function
from handlers.inference.messages import Request, Response
from handlers.inference.service import Service
from handlers.inference.tensor import Tensor
from handlers.inference.transform import Transformed, load_transform

PATH = "/v1/models/toy:transform"
FAILED = {"error": "The request failed inside the server; its log says where."}


class Affine:
    """Three numbers in a line of text; the three answers likewise."""

    def decode(self, request):
        return {"x": np.float32([[float(word) for word in request.body.split()]])}

    def encode(self, outputs):
        y = outputs["y"]
        numbers = np.frombuffer(y.data, y.dtype).reshape(y.shape)[0]
        return Response(200, {"Content-Type": "text/plain"}, " ".join(map(str, numbers)).encode())


class UnprocessableContent(RequestError):
    status = 422

    def __init__(self, sentence: str) -> None:
        Exception.__init__(self, sentence)  # forgets what RequestError sets


def raising(error):
    def half(_):
        raise error

    return half


@pytest.fixture
def ask(affine_service):
    """The answer of the service whose transform is Affine but for what is given."""

    def ask(body=b"1 2 3", headers=None, **halves):
        transform = Affine()
        vars(transform).update(halves)
        service = Service(affine_service.model, transform=Transformed("mine:Affine", transform))
        return service.answer(Request("POST", PATH, headers=headers, body=body))

    return ask


@pytest.mark.parametrize("media_type", ["text/plain", "image/png", "text/xml", ""])
def test_any_request_is_answered_as_the_transform_says(ask, media_type):
    response = ask(headers={"content-type": media_type})
    assert (response.status, response.headers, response.body) == (
        200,
        {"content-type": "text/plain"},
        b"3.0 5.0 7.0",
    )


def test_the_protocols_stay_beside_it(affine_service):
    service = Service(affine_service.model, transform=Transformed("mine:Affine", Affine()))
    rows = b'{"instances": [[1, 2, 3]]}'
    answer = service.answer(Request("POST", "/v1/models/toy:predict", body=rows))
    assert answer.body == b'{"predictions":[[3.0,5.0,7.0]]}'
    refused = service.answer(
        Request("POST", "/v1/models/toy:predict", headers={"content-type": "image/png"}, body=rows)
    )
    assert refused.status == 415
    assert service.answer(Request("GET", PATH)).status == 405
    assert service.answer(Request("POST", "/v1/models/toy/versions/1:transform", body=b"1 2 3")).status == 200


def test_without_a_transform_there_is_no_such_path(affine_service):
    assert affine_service.answer(Request("POST", PATH, body=b"1 2 3")).status == 404


@pytest.mark.parametrize("half", ["decode", "encode"])
@pytest.mark.parametrize(
    ("error", "status"),
    [(RequestError("no."), 400), (UnsupportedMediaType("no."), 415), (UnprocessableContent("no."), 422)],
)
def test_request_errors_are_what_they_say(ask, half, error, status):
    response = ask(**{half: raising(error)})
    assert (response.status, json.loads(response.body)) == (status, {"error": "no."})


@pytest.mark.parametrize("half", ["decode", "encode"])
@pytest.mark.parametrize(
    "error", [ValueError("secret"), SystemExit("secret"), BaseException("secret"), MemoryError()]
)
def test_any_other_exception_is_a_500_and_its_place_is_logged(ask, capsys, half, error):
    response = ask(**{half: raising(error)})
    assert (response.status, json.loads(response.body)) == (500, FAILED)
    log = capsys.readouterr().err
    assert (
        f"the transform mine:Affine failed in {half} with {type(error).__name__} at test_transform.py:" in log
    )
    assert "secret" not in log
    assert ask().status == 200


def test_ctrl_c_still_ends_the_process(ask):
    with pytest.raises(KeyboardInterrupt):
        ask(decode=raising(KeyboardInterrupt()))


X = np.float32([[1, 2, 3]])


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        ({}, "input 'x' is missing"),
        ({"x": X, "z": X}, "the model has no input 'z'"),
        ({"x": X.astype(np.float64)}, "input 'x' has dtype float64, but the model takes float32"),
        ({"x": X.astype(">f4")}, "input 'x': an array of >f4 is no tensor"),
        ({"x": X[0]}, "input 'x' has shape [3], but the model takes [batch, 3]"),
        ({"x": [1, 2, 3]}, "input 'x': list is neither a Tensor nor an array"),
        ({"x": Tensor("float32", (1, 3), memoryview(b"1234"))}, "the data of input 'x' is not a tensor"),
        ({"x": Tensor("float32", (1, 3), [b"a", b"b", b"c"])}, "the data of input 'x' is not a tensor"),
        ({"x": Tensor("float32", (-1, 3), memoryview(b""))}, "input 'x' has a shape that is no lengths"),
        ({1: X}, "it named an input by int"),
        ([X], "it gave list, not a dict"),
        (None, "it gave NoneType, not a dict"),
    ],
)
def test_wrong_inputs_are_the_servers_fault(ask, capsys, inputs, sentence):
    response = ask(decode=lambda _: inputs)
    assert (response.status, json.loads(response.body)) == (500, FAILED)
    log = capsys.readouterr().err
    assert "the transform mine:Affine is wrong in decode: " in log
    assert sentence in log


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (b"text", "it gave bytes, not a Response"),
        (Response(0, {}, b""), "the status"),
        (Response("200", {}, b""), "the status"),
        (Response(200, {}, "text"), "the body of its Response is str, not bytes"),
        (Response(200, {"x": "a\r\ny: b"}, b""), "a header"),
        (Response(200, {"Content-Length": "1"}, b""), "a header"),
        (Response(200, {"x": "é"}, b""), "not all ASCII"),
        (Response(200, {"Content-Type": "application/json"}, b"\xff"), "declared as JSON, but has bytes"),
        (Response(200, {"content-type": "application/json"}, b'"\x00"'), "declared as JSON, but has bytes"),
    ],
)
def test_wrong_responses_are_the_servers_fault(ask, capsys, response, sentence):
    answer = ask(encode=lambda _: response)
    assert (answer.status, json.loads(answer.body)) == (500, FAILED)
    assert sentence in capsys.readouterr().err


def test_a_status_that_is_none_is_a_500(ask):
    error = RequestError("no.")
    error.status = 200
    assert ask(decode=raising(error)).status == 500


def test_encoded_answers_are_not_encoded_again(ask):
    response = ask(
        encode=lambda _: Response(200, {"content-encoding": "br"}, bytes(100_000)),
        headers={"accept-encoding": "gzip"},
    )
    assert (response.headers["content-encoding"], len(response.body)) == ("br", 100_000)


@pytest.mark.parametrize(
    "array",
    [
        np.float16([[1.5, -2]]),
        np.arange(6, dtype=np.int64).reshape(2, 3).T,
        np.array(7, np.uint8),
        np.zeros((0, 3), np.float32),
        np.array([True, False]),
    ],
)
def test_arrays_become_tensors_and_arrays_again(array):
    tensor = Tensor.of(array)
    again = np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize("array", [np.array([["a", "ü"]]), np.array([["a", "ü"]], object)])
def test_arrays_of_text_become_string_tensors(array):
    tensor = Tensor.of(array)
    assert (tensor.dtype, tensor.shape, tensor.data) == ("string", (1, 2), [b"a", "ü".encode()])


BROKEN = {
    "broken_raise.py": "raise ValueError('why')",
    "broken_exit.py": "import sys; sys.exit('why')",
    "broken_import.py": "import there_is_no_such_module",
    "broken_syntax.py": "class Transform(:",
    "broken_init.py": "class Transform:\n    def __init__(self): raise OSError('why')",
    "broken_half.py": "class Transform:\n    def decode(self, request): ...",
    "broken_empty.py": "",
}


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("broken_raise:Transform", "cannot be made (ValueError at broken_raise.py:1: why)"),
        ("broken_exit:Transform", "cannot be made (SystemExit at broken_exit.py:1: why)"),
        ("broken_import:Transform", "No module named 'there_is_no_such_module'"),
        ("broken_syntax:Transform", "SyntaxError"),
        ("broken_init:Transform", "cannot be made (OSError at broken_init.py:2: why)"),
        ("broken_half:Transform", "has no encode"),
        ("broken_empty:Transform", "the transform's module broken_empty has no Transform"),
        ("there.is.none:Transform", "No module named 'there'"),
        ("no_class", "'no_class' names no transform: write package.module:Class."),
        ("../a:B", "names no transform"),
    ],
)
def test_a_transform_that_cannot_be_made_is_an_init_error(tmp_path, monkeypatch, name, sentence):
    for file, code in BROKEN.items():
        (tmp_path / file).write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InitError) as caught:
        load_transform(name)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_lambda_loads_it_at_init(affine_bundle, monkeypatch):
    environ = {"COLDPRESS_BUNDLE_DIR": str(affine_bundle), "COLDPRESS_TRANSFORM": f"{__name__}:Affine"}
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    event = {
        "version": "2.0",
        "rawPath": PATH,
        "rawQueryString": "",
        "headers": {"content-type": "image/png"},
        "requestContext": {"http": {"method": "POST", "path": PATH}},
        "body": "1 2 3",
        "isBase64Encoded": False,
    }
    reply = Function(environ).answer(event, "1").as_dict()
    assert (reply["statusCode"], reply["body"]) == (200, "My4wIDUuMCA3LjA=")
    with pytest.raises(InitError):
        Function(environ | {"COLDPRESS_TRANSFORM": "there_is_none:Transform"})
