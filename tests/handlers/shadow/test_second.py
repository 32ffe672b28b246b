"""A second version's answers against those of the first: real bundles behind the real protocols."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from handlers.direct import http_event
from handlers.inference.events import answer_event
from handlers.inference.protocols.binary import HEADER
from handlers.inference.service import Service
from handlers.shadow.second import SecondVersion
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model

X = np.float32([[1, 2, 3], [9, 5, 2]])
Make = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A service over y = x * factors; ``of`` names its output, ``labels`` its classes."""

    def service(
        factors: Any,
        *,
        version: str = "1",
        of: str = "y",
        labels: tuple[str, ...] = (),
        axis: int | str = 3,
        transform: str | None = None,
    ) -> Service:
        node = helper.make_node("Mul", ["x", "factors"], [of])
        rows = ("float32", ["rows", axis])
        model = build_model([node], {"x": rows}, {of: rows}, {"factors": np.float32(factors)})
        folder = write_bundle(tmp_path, model, name="toy", labels=labels)
        return Service.from_folder(folder, version=version, transform=transform)

    return service


def ask(path: str, body: bytes | str | dict[str, Any], **headers: str) -> dict[str, Any]:
    content = json.dumps(body) if isinstance(body, dict) else body
    encoded = content if isinstance(content, bytes) else content.encode()
    return http_event(path, headers={k.replace("_", "-"): v for k, v in headers.items()}, body=encoded)


def compare(live: Service, other: Service, event: dict[str, Any], version: str = "1") -> dict[str, Any]:
    """What the second version's function writes about the event and its answer."""
    message = {
        "shadow": {"version": version, "request_id": "r"},
        "event": event,
        "reply": answer_event(live, event).as_dict(),
    }
    line = SecondVersion(other).answer(json.loads(json.dumps(message)))
    assert json.loads(json.dumps(line, allow_nan=False)) == line
    return line


def binary() -> dict[str, Any]:
    blob = X.tobytes()
    x = {"name": "x", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": len(blob)}}
    header = json.dumps({"inputs": [x], "parameters": {"binary_data_output": True}}).encode()
    return http_event("/v2/models/toy/infer", headers={HEADER: str(len(header))}, body=header + blob)


def tensors() -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": X.ravel().tolist()}]}


EVENTS = {
    "rows": ask("/v1/models/toy:predict", {"instances": X.tolist()}),
    "columns": ask("/v1/models/toy:predict", {"inputs": {"x": X.tolist()}}),
    "infer": ask("/v2/models/toy/infer", tensors()),
    "binary": binary(),
    "version": ask("/v1/models/toy/versions/1:predict", {"instances": X.tolist()}),
    "compressed": ask(
        "/v1/models/toy:predict",
        gzip.compress(json.dumps({"instances": X.tolist() * 8000}).encode()),
        content_encoding="gzip",
        accept_encoding="gzip",
    ),
}


@pytest.mark.parametrize("kind", EVENTS)
def test_scores_agree_by_their_largest(make: Make, kind: str) -> None:
    line = compare(make([1, 1, 1]), make([1, 1, 0.5], version="8"), EVENTS[kind])
    assert line["Version"] == "8"
    assert (line["Live"], line["RequestId"]) == ("1", "r")
    assert (line["ShadowRequests"], line["ShadowErrors"]) == (1, 0)
    assert line["ShadowAgreement"] == 0.5  # of [1, 2, 3] the largest is now 2
    assert line["ShadowDifference"] == pytest.approx(1.5 / 9)
    assert line["Latency"] > 0


@pytest.mark.parametrize("kind", EVENTS)
def test_the_same_model_agrees(make: Make, kind: str) -> None:
    line = compare(make([1, 1, 1]), make([1, 1, 1], version="8"), EVENTS[kind])
    assert (line["ShadowAgreement"], line["ShadowDifference"]) == (1, 0)


def test_the_line_names_its_metrics_once(make: Make) -> None:
    line = compare(make([1, 1, 1]), make([1, 1, 1], version="8"), EVENTS["rows"])
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["Model", "Version"]]
    names = [metric["Name"] for metric in directive["Metrics"]]
    assert names == ["ShadowRequests", "ShadowErrors", "ShadowAgreement", "ShadowDifference", "Latency"]
    assert "instances" not in json.dumps(line)


@pytest.mark.parametrize(("factor", "agreement"), [(1.0005, 1), (1.01, 0)])
def test_what_is_no_score_agrees_within_the_tolerance(make: Make, factor: float, agreement: float) -> None:
    live, other = (make([f], axis="width", version="8") for f in (1, factor))
    line = compare(live, other, EVENTS["rows"], version="8")
    assert line["ShadowAgreement"] == agreement
    assert line["ShadowDifference"] == pytest.approx(factor - 1, rel=1e-2)


def test_with_class_labels_their_number_says_what_a_score_is(make: Make) -> None:
    labels = ("a", "b", "c")
    live, other = make([1, 1, 1], labels=labels), make([1, 1, 0.5], labels=labels, version="8")
    event = ask("/v1/models/toy:classify", {"examples": [{"x": row} for row in X.tolist()]})
    line = compare(live, other, event)
    assert (line["ShadowAgreement"], line["ShadowErrors"]) == (0.5, 0)
    relabelled = make([1, 1, 1], labels=("a", "c", "b"), version="8")
    line = compare(live, relabelled, event)
    assert line["Problem"] == "an answer has other class labels: the two versions are of different kinds"
    two = make([1, 1, 1], labels=("a", "b"), version="8")
    assert compare(live, two, EVENTS["rows"])["ShadowAgreement"] == 1


@pytest.mark.parametrize("kind", ["infer", "binary"])
def test_an_output_that_it_lacks_is_an_error(make: Make, kind: str) -> None:
    line = compare(make([1, 1, 1]), make([1, 1, 1], of="z", version="8"), EVENTS[kind])
    assert (line["ShadowRequests"], line["ShadowErrors"]) == (1, 1)
    assert line["Problem"] == "it lacks the output 'y'"
    assert "ShadowAgreement" not in line


def test_what_it_refuses_is_an_error(make: Make) -> None:
    live, other = make([1], axis="width"), make([1, 1, 1], version="8")
    event = ask("/v1/models/toy:predict", {"instances": [[1234567, 2]]})
    line = compare(live, other, event)
    assert (line["ShadowErrors"], line["Problem"]) == (1, "it answers with status 400")
    assert "1234567" not in json.dumps(line)


def test_numbers_that_are_none_have_no_difference(make: Make) -> None:
    line = compare(make([1, 1, 1]), make([np.nan, 1, 1], version="8"), EVENTS["infer"])
    assert "ShadowDifference" not in line
    assert line["ShadowAgreement"] == 0.5  # [nan, 2, 3] has its largest where [1, 2, 3] has


def test_a_transforms_answer_is_the_same_or_not(make: Make) -> None:
    name = "tests.handlers.transforms_of_rows:Rows"
    live = make([1, 1, 1], transform=name)
    event = ask("/v1/models/toy:transform", "1 2 3", content_type="text/plain")
    assert compare(live, make([1, 1, 1], version="8", transform=name), event)["ShadowAgreement"] == 1
    assert compare(live, make([1, 1, 2], version="8", transform=name), event)["ShadowAgreement"] == 0
