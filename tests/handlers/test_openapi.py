import json
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from handlers.inference.errors import RequestError
from handlers.inference.messages import Request, Response
from handlers.inference.routes import ROUTES, routes_with
from handlers.inference.service import Service
from handlers.inference.transform import Transformed
from tests.handlers.models import MODELS, build_model, helper

TENSOR_PATHS = ("/v1/models/toy:predict", "/v2/models/toy/infer")


def get(service: Service, path: str) -> Response:
    return service.answer(Request("GET", path))


def post(service: Service, path: str, body: object) -> Response:
    return service.answer(Request("POST", path, body=json.dumps(body).encode()))


def described(service: Service) -> dict[str, Any]:
    response = get(service, "/openapi.json")
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    return json.loads(response.body)


def contents(document: dict[str, Any], path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a POST takes and what it answers, as JSON."""
    operation = document["paths"][path]["post"]
    kinds = operation["requestBody"]["content"], operation["responses"]["200"]["content"]
    return kinds[0]["application/json"], kinds[1]["application/json"]


def fits(document: dict[str, Any], schema: dict[str, Any], value: object) -> bool:
    whole = {**schema, "components": document["components"]}
    return OAS31Validator(whole).is_valid(value)


@pytest.mark.parametrize("model", MODELS)
def test_any_model_has_a_valid_document_whose_examples_are_answered_as_it_says(make_service, model):
    service = make_service(model)
    document = described(service)
    validate(document)
    for path in TENSOR_PATHS:
        asked, answer = contents(document, path)
        assert fits(document, asked["schema"], asked["example"])
        response = post(service, path, asked["example"])
        if model == "pairs":  # takes an even number of elements, which a signature cannot say
            assert response.status == 400
        else:
            assert response.status == 200, response.body
            assert fits(document, answer["schema"], json.loads(response.body))


@pytest.fixture
def transformed(affine_service) -> Service:
    """The same model behind a transform that refuses all."""

    class Refusing:
        def decode(self, request):
            raise RequestError(f"no {request.headers['content-type']} today.")

        def encode(self, outputs):
            raise AssertionError

    return Service(affine_service.model, transform=Transformed("tests:Refusing", Refusing()))


@pytest.mark.parametrize("service", ["affine_service", "transformed"])
def test_every_route_is_described(service, request):
    document = described(request.getfixturevalue(service))
    validate(document)
    paths = document["paths"]
    table = ROUTES if service == "affine_service" else routes_with(lambda *_: pytest.fail("not asked"))
    routes = {path.replace("{model}", "toy"): method.lower() for path, (method, _) in table.items()}
    assert {path: next(iter(operations)) for path, operations in paths.items()} == routes


def test_a_transform_takes_and_answers_what_it_likes(transformed):
    document = described(transformed)
    path = "/v1/models/toy:transform"
    operation = document["paths"][path]["post"]
    assert set(operation["requestBody"]["content"]) == {"*/*"}
    assert {"200", "400", "404", "405", "413", "415", "500", "504", "default"} == set(operation["responses"])
    response = transformed.answer(Request("POST", path, headers={"content-type": "image/png"}, body=b"png"))
    assert (response.status, json.loads(response.body)) == (400, {"error": "no image/png today."})
    page = get(transformed, "/docs").body.decode()
    assert f'data-path="{path}"' in page
    assert 'type="file"' in page


def test_what_can_be_asked_is_answered_as_described(affine_service):
    document = described(affine_service)
    for path, operations in document["paths"].items():
        if "get" in operations and path != "/docs":
            content = operations["get"]["responses"]["200"]["content"]["application/json"]
            assert fits(document, content["schema"], json.loads(get(affine_service, path).body)), path


def test_generators_find_names_for_everything(affine_service):
    document = described(affine_service)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    identifiers = [operation["operationId"] for operation in operations]
    assert len(set(identifiers)) == len(identifiers)
    tags = {tag["name"] for tag in document["tags"]}
    assert all(set(operation["tags"]) <= tags for operation in operations)
    assert document["servers"] == [{"url": "."}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TENSOR_PATHS[0], {"instances": [[1, 2]]}),
        (TENSOR_PATHS[0], {"instances": [[1, 2, "3"]]}),
        (TENSOR_PATHS[0], {"instances": []}),
        (TENSOR_PATHS[0], {"inputs": {"z": [[1, 2, 3]]}}),
        (TENSOR_PATHS[0], {"instances": [[1, 2, 1e39]]}),
        (TENSOR_PATHS[0], {"signature_name": "other", "instances": [[1, 2, 3]]}),
        (TENSOR_PATHS[1], {}),
        *(
            (TENSOR_PATHS[1], {"inputs": [{**tensor, **change}]})
            for tensor in [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}]
            for change in ({"name": "z"}, {"shape": [1, 4]}, {"shape": [3]}, {"datatype": "FP64"})
        ),
    ],
)
def test_what_the_schema_refuses_is_refused(affine_service, path, body):
    document = described(affine_service)
    assert not fits(document, contents(document, path)[0]["schema"], body)
    response = post(affine_service, path, body)
    assert response.status == 400
    assert fits(document, {"$ref": "#/components/schemas/Error"}, json.loads(response.body))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (TENSOR_PATHS[0], {"instances": [{"x": [1, 2, "NaN"]}], "signature_name": "serving_default"}),
        (TENSOR_PATHS[0], {"inputs": [[1, 2, 3], [4, 5, 6]]}),
        (
            TENSOR_PATHS[1],
            {
                "id": None,
                "inputs": [
                    {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [[1, 2, 3], [4, 5, 6]]},
                ],
                "outputs": [{"name": "y"}],
            },
        ),
    ],
)
def test_what_is_answered_the_schema_takes(affine_service, path, body):
    document = described(affine_service)
    assert fits(document, contents(document, path)[0]["schema"], body)
    assert post(affine_service, path, body).status == 200


def test_integers_have_their_range_and_strings_two_forms(make_service):
    document = described(make_service("identity uint8"))
    asked = contents(document, TENSOR_PATHS[0])[0]["schema"]
    assert fits(document, asked, {"inputs": [[0, 255]]})
    assert not fits(document, asked, {"inputs": [[256]]})
    document = described(make_service("identity string"))
    asked = contents(document, TENSOR_PATHS[0])[0]["schema"]
    assert fits(document, asked, {"inputs": [["text", {"b64": "dGV4dA=="}]]})
    assert not fits(document, asked, {"inputs": [[1]]})


def test_an_example_that_is_too_long_is_left_out(make_bundle):
    shape: list[int | str] = ["batch", 3, 512, 512]
    node = helper.make_node("Identity", ["x"], ["y"])
    model = build_model([node], {"x": ("float32", shape)}, {"y": ("float32", shape)})
    service = Service.from_folder(make_bundle(model))
    document = described(service)
    validate(document)
    for path in TENSOR_PATHS:
        assert "example" not in contents(document, path)[0]
    assert len(get(service, "/docs").body) < 20_000


class Page(HTMLParser):
    """The page's forms with their texts, its inline style and script, and what it would load."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.forms: dict[str, str] = {}
        self.inline: dict[str, str] = {}
        self.loaded: list[str] = []
        self._within = ""
        self._path = ""
        self.feed(response.body.decode())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._within = tag
        self._path = given.get("data-path", self._path) or ""
        if tag in ("script", "style"):
            self.inline[tag] = ""
        if "src" in given or tag in ("link", "img", "iframe"):
            self.loaded.append(tag)

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within == "textarea":
            self.forms[self._path] = data
        if self._within in self.inline:
            self.inline[self._within] += data


@pytest.mark.parametrize("model", ["affine", "two inputs", "identity string"])
def test_the_page_holds_a_request_for_each_protocol(make_service, model):
    service = make_service(model)
    response = get(service, "/docs")
    assert (response.status, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(response)
    assert tuple(page.forms) == TENSOR_PATHS
    for path, text in page.forms.items():
        assert service.answer(Request("POST", path, body=text.encode())).status == 200


def test_the_page_loads_nothing_and_runs_only_its_own_script(affine_service):
    response = get(affine_service, "/docs")
    page, policy = Page(response), response.headers["content-security-policy"]
    assert page.loaded == []
    for tag, text in page.inline.items():
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")


def test_names_are_no_markup(make_bundle):
    names = {"<b>&\"'": ("float32", ["n", 1])}
    node = helper.make_node("Identity", list(names), ["y/1"])
    service = Service.from_folder(make_bundle(build_model([node], names, {"y/1": ("float32", ["n", 1])})))
    validate(described(service))
    assert b"<b>" not in get(service, "/docs").body


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_they_take_no_other_method(affine_service, path):
    response = post(affine_service, path, {})
    assert (response.status, response.headers["allow"]) == (405, "GET")
