import base64
import copy
import json

import msgspec
import onnx
import pytest

from handlers.inference.dataplane import Model
from handlers.inference.messages import Request, Response
from handlers.inference.service import Service


def post(service: Service, body: object, path: str = "/v1/models/toy:predict") -> Response:
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return service.answer(Request("POST", path, headers={"content-type": "application/json"}, body=encoded))


def get(service: Service, path: str) -> Response:
    return service.answer(Request("GET", path))


def error(response: Response) -> str:
    content = json.loads(response.body)
    assert list(content) == ["error"]
    return content["error"]


def test_status(affine_service):
    expected = {
        "model_version_status": [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
    }
    for path in ("/v1/models/toy", "/v1/models/toy/versions/1"):
        response = get(affine_service, path)
        assert (response.status, json.loads(response.body)) == (200, expected)


def test_metadata(affine_service):
    content = json.loads(get(affine_service, "/v1/models/toy/metadata").body)
    assert content["model_spec"] == {"name": "toy", "signature_name": "", "version": "1"}
    signature = content["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert [axis["size"] for axis in signature["inputs"]["x"]["tensor_shape"]["dim"]] == ["-1", "3"]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"instances": [[1, 2, 3], [0.5, 0, -1]]}, {"predictions": [[3.0, 5.0, 7.0], [2.0, 1.0, -1.0]]}),
        ({"instances": [{"x": [1, 2, 3]}]}, {"predictions": [[3.0, 5.0, 7.0]]}),
        ({"inputs": [[1, 2, 3]]}, {"outputs": [[3.0, 5.0, 7.0]]}),
        ({"inputs": {"x": [[1, 2, 3]]}}, {"outputs": [[3.0, 5.0, 7.0]]}),
        ({"signature_name": "serving_default", "inputs": [[1, 2, 3]]}, {"outputs": [[3.0, 5.0, 7.0]]}),
    ],
)
def test_rows_and_columns_of_one_output_have_no_names(affine_service, body, answer):
    response = post(affine_service, body, "/v1/models/toy/versions/1:predict")
    assert (response.status, json.loads(response.body)) == (200, answer)


def test_several_outputs_are_named(make_service):
    service = make_service("two columns")
    rows, columns = post(service, {"instances": [1, 2]}), post(service, {"inputs": [1, 2]})
    assert json.loads(rows.body) == {"predictions": [{"low": 0.0, "high": 2.0}, {"low": 1.0, "high": 3.0}]}
    assert json.loads(columns.body) == {"outputs": {"low": [0.0, 1.0], "high": [2.0, 3.0]}}


def test_several_inputs_are_named(make_service):
    service = make_service("two inputs")
    columns = post(service, {"inputs": {"a": [[1, 2]], "b": [[10, 20]]}})
    assert json.loads(columns.body) == {"outputs": {"total": [[11.0, 22.0]], "shape": [1, 2]}}
    unnamed = post(service, {"instances": [[1, 2]]})
    assert unnamed.status == 400
    assert "objects with a, b" in error(unnamed)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"a": [1, 2], "b": [3]}], "input 'b' has shape [1, 1]"),
        ([{"a": [1, 2], "b": [3, 4]}, {"a": [1, 2], "b": [3]}], "input 'b' is ragged"),
        ([{"a": [1, 2], "b": [3, 4]}, {"a": 5, "b": [3, 4]}], "input 'a' is ragged"),
        ([{"a": [1, [2, 3], []], "b": [3, 4]}], "input 'a' is ragged"),
        ([{"a": [1, [2]], "b": [3, 4]}, {"a": [1, 2], "b": [3, 4]}], "input 'a' is ragged"),
        ([{"a": [1, 2], "b": [3, 1e39]}], "input 'b' holds a number out of the range"),
        ([{"a": [1, 2], "b": [3, "4"]}], "input 'b' takes numbers"),
        ([{"a": [1, 2], "b": {"b64": "aGk="}}], "input 'b' takes numbers"),
    ],
)
def test_wrong_named_rows_are_refused(make_service, rows, sentence):
    response = post(make_service("two inputs"), {"instances": rows})
    assert response.status == 400
    assert sentence in error(response)


def test_named_rows_are_joined(make_service):
    assert json.loads(post(make_service("two columns"), {"instances": [{"x": 1}, {"x": 2.5}]}).body) == {
        "predictions": [{"low": 0.0, "high": 2.0}, {"low": 1.5, "high": 3.5}]
    }
    strings = post(make_service("identity string"), {"instances": [{"x": ["a", "é"]}, {"x": ["", "b"]}]})
    assert json.loads(strings.body) == {"predictions": [["a", "é"], ["", "b"]]}
    numbers = post(make_service("identity float32"), {"instances": [{"x": [0.5, 1]}, {"x": [1e8, "NaN"]}]})
    assert numbers.body == b'{"predictions":[[0.5,1.0],[100000000.0,NaN]]}'


def test_outputs_without_a_common_first_axis_are_no_rows(make_service):
    response = post(make_service("two inputs"), {"instances": [{"a": [1, 2], "b": [3, 4]}]})
    assert response.status == 400
    assert "ask with 'inputs'" in error(response)


def test_named_axes_are_equal_across_inputs(make_service):
    response = post(make_service("two inputs"), {"inputs": {"a": [[1, 2]], "b": [[1, 2], [3, 4]]}})
    assert response.status == 400
    assert error(response).startswith("axis 'batch' is 2 in input 'b' but 1 in input 'a'")


def test_axes_without_a_name_need_not_be_equal(make_service):
    assert (
        post(make_service("unnamed axes"), {"instances": [[1, 2, 3]]}).body
        == b'{"predictions":[[1.0,2.0,3.0]]}'
    )


def test_floats_are_written_as_the_shortest_decimals(make_service):
    response = post(make_service("identity float32"), {"inputs": [[0.1, 1e-7, 16777216, 3.4e38, 1 / 3]]})
    assert response.body == b'{"outputs":[[0.1,1e-07,16777216.0,3.4e+38,0.33333334]]}'


def test_non_finite_numbers_both_ways(make_service):
    response = post(make_service("logarithm"), b'{"instances": [-1, 0, 1, Infinity, NaN]}')
    assert response.body == b'{"predictions":[NaN,-Infinity,0.0,Infinity,NaN]}'


def test_strings_and_binary_strings(make_service):
    encoded = base64.b64encode("größer".encode()).decode()
    response = post(make_service("identity string"), {"instances": [["a", {"b64": encoded}]]})
    assert json.loads(response.body) == {"predictions": [["a", "größer"]]}
    not_text = post(make_service("identity string"), {"instances": [[{"b64": "/w=="}]]})
    assert not_text.status == 400
    assert "UTF-8" in error(not_text)


@pytest.mark.parametrize(("key", "answer_key"), [("instances", "predictions"), ("inputs", "outputs")])
def test_binary_strings_alone_are_no_objects_of_inputs(make_bundle, key, answer_key):
    model = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.STRING, ["n"])
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])],
        "test",
        [model],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.STRING, ["n"])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    service = Service.from_folder(
        make_bundle(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9))
    )
    response = post(service, {key: [{"b64": "aGk="}, "there"]})
    assert json.loads(response.body) == {answer_key: ["hi", "there"]}


def test_a_scalar_needs_no_list(make_bundle):
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["x", "x"], ["y"])],
        "test",
        [value("x", onnx.TensorProto.FLOAT, [])],
        [value("y", onnx.TensorProto.FLOAT, [])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    service = Service.from_folder(
        make_bundle(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9))
    )
    assert (
        post(service, {"inputs": 2.5}).body
        == post(service, {"inputs": {"x": 2.5}}).body
        == b'{"outputs":5.0}'
    )
    rows = post(service, {"instances": [1]})
    assert rows.status == 400
    assert "shape [1], but the model takes []" in error(rows)


@pytest.fixture
def classifier(make_service):
    """Classes a, b, c with the scores 2 x + 1 of float32 [batch, 3]."""
    return with_labels(make_service("affine"), ["a", "b", '"c"'])


def with_labels(service: Service, labels: list[str]) -> Service:
    manifest, session = copy.copy(service.model.manifest), service.model._session
    manifest.class_labels = labels
    return Service(Model(manifest, session, name="toy", version="1"))


def test_classes_with_their_scores(classifier):
    body = {"signature_name": "serving_default", "examples": [{"x": [1, 2, 3]}, {"x": [0, 0, 0.1]}]}
    response = post(classifier, body, "/v1/models/toy:classify")
    assert response.body == (
        b'{"results":[[["a",3.0],["b",5.0],["\\"c\\"",7.0]],[["a",1.0],["b",1.0],["\\"c\\"",1.2]]]}'
    )
    shared = post(classifier, {"context": {"x": [1, 2, 3]}, "examples": [{}, {}]}, "/v1/models/toy:classify")
    assert len(json.loads(shared.body)["results"]) == 2


def test_values_by_regression(make_service):
    response = post(make_service("identity float32"), {"examples": [{"x": [1]}]}, "/v1/models/toy:regress")
    assert response.body == b'{"results":[1.0]}'
    logs = post(make_service("logarithm"), {"examples": [{"x": 1}, {"x": 0}]}, "/v1/models/toy:regress")
    assert logs.body == b'{"results":[0.0,-Infinity]}'


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "'examples' must be a list of at least one example"),
        ({"examples": []}, "at least one example"),
        ({"examples": {"x": [1, 2, 3]}}, "at least one example"),
        (
            {"examples": [[1, 2, 3]]},
            "example 0 of 'examples', with 'context', must be an object with exactly",
        ),
        ({"examples": [{"x": [1, 2, 3]}, {"y": [1, 2, 3]}]}, "example 1 of 'examples'"),
        ({"examples": [{"x": [1, 2, 3]}], "context": 5}, "'context' must be an object"),
        ({"examples": [{"x": [1, 2, 3]}], "context": {"x": 1}}, "example 0 of 'examples' has a feature"),
        ({"examples": [{"x": [1, 2]}]}, "has shape [1, 2], but the model takes [batch, 3]"),
        ({"examples": [{"x": [1, 2, 3]}], "signature_name": "other"}, "no signature 'other'"),
    ],
)
def test_wrong_examples_are_refused(classifier, body, sentence):
    response = post(classifier, body, "/v1/models/toy:classify")
    assert response.status == 400
    assert sentence in error(response)


def test_models_that_neither_classify_nor_regress_say_so(make_service, affine_service):
    body = {"examples": [{"x": [1, 2, 3]}]}
    unlabelled = post(affine_service, body, "/v1/models/toy:classify")
    assert (unlabelled.status, "no class labels" in error(unlabelled)) == (400, True)
    regress = post(affine_service, body, "/v1/models/toy:regress")
    assert (regress.status, "one value for each example" in error(regress)) == (400, True)
    two = post(make_service("two columns"), {"examples": [{"x": 1}]}, "/v1/models/toy:regress")
    assert (two.status, "or more than one" in error(two)) == (400, True)
    labels = with_labels(affine_service, ["only", "two"])
    wrong = post(labels, body, "/v1/models/toy:classify")
    assert (wrong.status, "scores of 2 classes" in error(wrong)) == (400, True)
    wide = post(make_service("identity float32"), {"examples": [{"x": [1, 2]}]}, "/v1/models/toy:regress")
    assert (wide.status, "answers with the shape [1, 2]" in error(wide)) == (400, True)


def test_output_named_bytes_is_base64(make_bundle):
    model = onnx.load(make_bundle("identity string") / "model.onnx")
    model.graph.node[0].output[0] = model.graph.output[0].name = "png_bytes"
    response = post(Service.from_folder(make_bundle(model)), {"instances": [["hi"]]})
    assert json.loads(response.body) == {"predictions": [[{"b64": "aGk="}]]}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not JSON: it is empty."),
        (b"{", "the body is not JSON"),
        (b'{"instances": [[1, 2, NaN}', "the body is not JSON"),
        (b"\xff", "the body is not"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"NaN": ' + b"[" * 100_000, "nested too deeply"),
        (b"[]", "must be a JSON object"),
        ({}, "either 'instances' (rows) or 'inputs' (columns)"),
        ({"instances": [], "inputs": []}, "either 'instances' (rows) or 'inputs' (columns)"),
        ({"instances": []}, "at least one row"),
        ({"instances": 5}, "at least one row"),
        ({"instances": [[1, 2]]}, "input 'x' has shape [1, 2], but the model takes [batch, 3]."),
        ({"instances": [1, 2]}, "input 'x' has shape [2], but the model takes [batch, 3]."),
        ({"instances": [[1, 2, 3], [1, 2]]}, "input 'x' is ragged"),
        ({"instances": [[1, 2, 3], 4]}, "input 'x' is ragged"),
        ({"instances": [[1, 2, [3]]]}, "input 'x' is ragged"),
        ({"instances": [[1, 2, True]]}, "takes numbers"),
        ({"instances": [[1, 2, None]]}, "takes numbers"),
        ({"instances": [[1, 2, "3"]]}, "takes numbers"),
        ({"instances": [[1, 2, {"b64": "aGk="}]]}, "takes numbers"),
        ({"instances": [[1, 2, 1e39]]}, "out of the range of float32"),
        ({"instances": [[1, 2, 10**400]]}, "out of the range of float32"),
        ({"instances": [[1, 2, 16777217]]}, "cannot hold exactly"),
        ({"instances": [{"x": [1, 2, 3]}, [1, 2, 3]]}, "row 1"),
        ({"instances": [{"y": [1, 2, 3]}]}, "row 0"),
        ({"inputs": {"y": [1, 2, 3]}}, "no input 'y'"),
        ({"inputs": {}}, "input 'x' is missing"),
        ({"signature_name": "other", "inputs": [[1, 2, 3]]}, "no signature 'other'"),
        ({"signature_name": 1, "inputs": [[1, 2, 3]]}, "must be a string"),
    ],
)
def test_wrong_bodies_are_refused_with_a_sentence(affine_service, body, sentence):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    response = post(affine_service, body)
    assert response.status == 400
    assert sentence in error(response)


@pytest.mark.parametrize(
    ("dtype", "value", "sentence"),
    [
        ("uint8", 300, "out of the range of uint8"),
        ("uint8", -1, "out of the range of uint8"),
        ("int64", 2**63, "out of the range of int64"),
        ("int64", 0.5, "takes integers"),
        ("int64", 1e300, "takes integers"),
        ("int64", True, "takes integers"),
        ("bool", 1, "takes true and false"),
        ("float16", 70000, "out of the range of float16"),
        ("float16", 2049, "cannot hold exactly"),
        ("float64", 2**53 + 1, "cannot hold exactly"),
        ("string", 1, "takes strings"),
        ("string", {"b64": "???"}, "base64"),
        ("string", {"b65": "aGk="}, "that is not"),
    ],
)
def test_values_that_the_dtype_would_change_are_refused(make_service, dtype, value, sentence):
    response = post(make_service(f"identity {dtype}"), {"inputs": [[value]]})
    assert response.status == 400
    assert sentence in error(response)


def test_whole_floats_are_integers(make_service):
    response = post(make_service("identity int64"), {"inputs": [[3.0, 2**53 + 1]]})
    assert json.loads(response.body) == {"outputs": [[3, 2**53 + 1]]}


def test_what_the_graph_cannot_take_is_the_clients_error(make_service):
    odd = post(make_service("pairs"), {"instances": [1, 2, 3]})
    assert odd.status == 400
    assert error(odd).startswith("the model cannot run on these inputs: The input tensor cannot be reshaped")
    outside = post(make_service("lookup"), {"instances": [7]})
    assert outside.status == 400
    assert "out of data bounds" in error(outside)


def test_memory_that_there_is_not_is_the_clients_error(make_service):
    response = post(make_service("expand"), {"inputs": [2**50]})
    assert response.status == 400
    assert "/onnxruntime" not in error(response)


def test_onnx_and_ort_answer_alike(make_bundle):
    bodies = []
    for serve in ("model.onnx", "model.ort"):
        service = Service.from_folder(make_bundle("affine", serve=serve))
        bodies.append(post(service, {"instances": [[1, 2, 3]]}).body)
    assert bodies[0] == bodies[1] == b'{"predictions":[[3.0,5.0,7.0]]}'
