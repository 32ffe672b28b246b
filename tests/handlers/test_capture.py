"""Requests written down after their answers: over a scripted runtime API, with a Firehose that records."""

import base64
import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.inference.after import Answered
from handlers.inference.capture import MAX_BYTES, Capture
from handlers.inference.events.reply import Reply
from handlers.inference.messages import Request, Response
from handlers.inference.tensor import Tensor
from monitoring.captures import Seen, Tally, Wanted, batches
from monitoring.features import Tensor as Described
from tests.handlers.models import DTYPES
from tests.handlers.scripted_api import ACCEPTED, Held, event, wait_for
from tests.handlers.test_after import ROWS, Lambda, asking, metrics, serve
from tests.handlers.test_after import variables as shadow_variables

SECRET = "4711.0625"


class Firehose(Lambda):
    """Takes records, or refuses them."""

    def __init__(self) -> None:
        super().__init__()
        self.status = 200

    @property
    def lines(self) -> list[bytes]:
        return [gzip.decompress(base64.b64decode(message["Record"]["Data"])) for _, _, message in self.taken]

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    @property
    def ids(self) -> list[str]:
        return [record["request_id"] for record in self.records]


@pytest.fixture
def firehose() -> Iterator[Firehose]:
    recorder = Firehose()
    yield recorder
    recorder.is_open.set()
    recorder.server.shutdown()
    recorder.server.server_close()


def variables(bundle: Path, firehose: Firehose, rate: float = 1, **more: str) -> dict[str, str]:
    common = {
        name: value
        for name, value in shadow_variables(bundle, "").items()
        if "SHADOW" not in name and "LAMBDA" not in name
    }
    return {
        **common,
        "COLDPRESS_CAPTURE_STREAM": "toy-captures",
        "COLDPRESS_CAPTURE_RATE": str(rate),
        "AWS_ENDPOINT_URL_FIREHOSE": firehose.address,
        **more,
    }


def infer(request_id: str, *inputs: dict[str, Any], **more: Any) -> bytes:
    body = json.dumps({"inputs": list(inputs), **more})
    return asking(request_id, body, path="/v2/models/toy/infer")


def values(tensor: dict[str, Any]) -> np.ndarray:
    """A captured tensor of floats."""
    data = tensor["data"]
    if isinstance(data, dict):
        return np.frombuffer(base64.b64decode(data["b64"]), "<f4").reshape(tensor["shape"])
    return np.array(data, np.float32).reshape(tensor["shape"])


def test_a_request_is_written_down_with_its_answer(scripted, start, affine_bundle, firehose):
    serve(scripted, start, variables(affine_bundle, firehose), asking("1", ROWS, X_Inference_Id="mine"))
    ((path, headers, message),) = firehose.taken
    assert (path, message["DeliveryStreamName"]) == ("/", "toy-captures")
    assert headers["x-amz-target"] == "Firehose_20150804.PutRecord"
    assert "/eu-central-1/firehose/aws4_request" in headers["authorization"]
    assert firehose.lines[0].endswith(b"}\n")
    assert firehose.lines[0].count(b"\n") == 1
    (record,) = firehose.records
    manifest = json.loads((affine_bundle / "manifest.json").read_text())
    assert 0 < record.pop("latency_ms") < 30_000
    assert record.pop("time_ms") > 1.7e12
    assert record == {
        "schema": 1,
        "inference_id": "mine",
        "request_id": "1",
        "model": "toy",
        "version": "7",
        "digest": manifest["digest"],
        "route": "predict",
        "status": 200,
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1.0, 2.0, 3.0]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [3.0, 5.0, 7.0]}],
    }


def test_data_are_written_in_the_shorter_way(scripted, start, affine_bundle, firehose):
    rows = np.random.default_rng(3).normal(size=(5, 3)).astype(np.float32)
    events = [asking("1", json.dumps({"instances": rows.tolist()})), asking("2")]
    serve(scripted, start, variables(affine_bundle, firehose), *events)
    (x,), (y,) = firehose.records[0]["inputs"], firehose.records[0]["outputs"]
    assert set(x["data"]) == {"b64"}
    np.testing.assert_array_equal(values(x), rows)
    np.testing.assert_array_equal(values(y), rows * 2 + 1)
    assert isinstance(firehose.records[1]["inputs"][0]["data"], list)


def test_the_share_is_decided_by_the_callers_id(scripted, start, affine_bundle, firehose):
    def is_among(name: str) -> bool:
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") < 0.3 * 2**64

    events, expected = [], []
    for number in range(60):
        name = f"caller-{number // 2}"  # each comes twice, as a retry does
        events.append(asking(str(number), X_Inference_Id=name))
        expected += [str(number)] * is_among(name)
    serve(scripted, start, variables(affine_bundle, firehose, 0.3), *events)
    assert firehose.ids == expected
    assert 6 < len(expected) < 40
    assert len(firehose.connections) == 1


def test_only_what_the_model_saw_is_written_down(scripted, start, affine_bundle, firehose):
    wrong = asking("2", '{"instances": "no"}')
    described = asking("3", "{}", path="/v2/repository/index")
    golden = asking("4", coldpress_cpu="1")  # the check before a deployment
    answers = serve(
        scripted,
        start,
        variables(affine_bundle, firehose),
        asking("1"),
        wrong,
        described,
        golden,
        asking("5"),
    )
    assert [answer["statusCode"] for answer in answers] == [200, 400, 200, 200, 200]
    assert firehose.ids == ["1", "5"]


def test_redacted_fields_are_nowhere(scripted, start, make_bundle, firehose, capfd):
    bundle = make_bundle("two inputs")
    secret = float(SECRET)
    a = {"name": "a", "shape": [2, 2], "datatype": "FP32", "data": [1, secret, 3, secret]}
    b = {"name": "b", "shape": [2, 2], "datatype": "FP32", "data": [secret] * 4}
    redact = json.dumps(["a[1]", "b", "total"])
    environ = variables(bundle, firehose, COLDPRESS_CAPTURE_REDACT=redact)
    (answer,) = serve(scripted, start, environ, infer("1", a, b))
    assert answer["statusCode"] == 200, answer
    (record,) = firehose.records
    assert record["inputs"] == [
        {
            "name": "a",
            "datatype": "FP32",
            "shape": [2, 2],
            "redacted": [1],
            "data": [1.0, None, 3.0, None],
        },
        {"name": "b", "datatype": "FP32", "shape": [2, 2], "redacted": True, "data": None},
    ]
    total, shape = record["outputs"]
    assert (total["redacted"], total["data"], shape["data"]) == (True, None, [2, 2])
    assert SECRET.encode() not in firehose.lines[0]
    assert base64.b64encode(np.float32([secret] * 3).tobytes())[:12] not in firehose.lines[0]
    assert SECRET not in "".join(capfd.readouterr())


VALUES = st.one_of(st.floats(width=32), st.sampled_from([float(SECRET), 0.0, -1.5]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=1, max_size=5), st.sets(st.integers(0, 2)))
def test_all_but_the_redacted_columns_comes_back(affine_service, firehose, rows, columns):
    firehose.taken.clear()
    model = affine_service.model
    redact = json.dumps([f"x[{column}]" for column in columns])
    environ = variables(Path(), firehose, COLDPRESS_CAPTURE_REDACT=redact)
    given_rows, untouched = np.float32(rows), [column for column in range(3) if column not in columns]
    answered = Answered(
        b"",
        Request("POST", "/v1/models/toy:predict"),
        b"",
        Reply(Response(200, {}, b""), {}),
        request_id="1",
        latency_ms=1.0,
        tensors=({"x": Tensor.of(given_rows)}, {"y": Tensor.of(np.zeros_like(given_rows))}),
    )
    Capture.from_environment(environ, model).run(answered, time.monotonic() + 10)
    x = Described(name="x", side="inputs", kind="table", dtype="float32", shape=(3,))
    tally = Tally()
    (batch,) = batches(firehose.lines, Wanted([x], model.manifest.digest), Seen(), tally)
    np.testing.assert_array_equal(batch.inputs["x"][:, untouched], given_rows[:, untouched])
    assert np.isnan(batch.inputs["x"][:, sorted(columns)]).all()
    if SECRET.encode() in firehose.lines[0]:
        assert float(SECRET) in given_rows[:, untouched]


@pytest.mark.parametrize("field", ["adress", "x[3]", "x[-1]", "x[", "[0]"])
def test_a_field_that_the_model_lacks_stops_the_start(scripted, start, affine_bundle, firehose, field):
    scripted.play(ACCEPTED)
    process = start(**variables(affine_bundle, firehose, COLDPRESS_CAPTURE_REDACT=json.dumps([field])))
    assert process.wait(60) == 1
    assert f"capture.redact names '{field}', which the model does not have" in process.stderr.read().decode()


def test_a_rate_that_is_none_stops_the_start(scripted, start, affine_bundle, firehose):
    scripted.play(ACCEPTED)
    process = start(**{**variables(affine_bundle, firehose), "COLDPRESS_CAPTURE_RATE": "half"})
    assert process.wait(60) == 1
    assert b"COLDPRESS_CAPTURE_RATE is no share" in process.stderr.read()


def test_outputs_alone(scripted, start, affine_bundle, firehose):
    environ = variables(affine_bundle, firehose, COLDPRESS_CAPTURE_TENSORS="outputs")
    serve(scripted, start, environ, asking("1"))
    (record,) = firehose.records
    assert "inputs" not in record
    assert record["outputs"][0]["data"] == [3.0, 5.0, 7.0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_is_written_down(scripted, start, make_bundle, firehose, dtype):
    bundle = make_bundle(f"identity {dtype}")
    given = {"string": ["a", "\u00e4\u0000\n"], "bool": [True, False]}.get(dtype, [1, 0])
    body = json.dumps({"inputs": [given]})
    (answer,) = serve(scripted, start, variables(bundle, firehose), asking("1", body))
    assert answer["statusCode"] == 200, answer["body"]
    (record,) = firehose.records
    data = record["inputs"][0]["data"]
    if isinstance(data, dict):
        data = np.frombuffer(base64.b64decode(data["b64"]), dtype).tolist()
    assert data == given
    x = Described(name="x", side="inputs", kind="table", dtype=dtype, shape=(2,))
    (batch,) = batches(firehose.lines, Wanted([x], record["digest"]), Seen(), Tally())
    read = batch.inputs["x"]
    assert read.tolist() == [given]
    assert dtype in (read.dtype.name, "string")


def test_what_is_no_number_stays_json(scripted, start, affine_bundle, firehose):
    environ = variables(affine_bundle, firehose, COLDPRESS_CAPTURE_REDACT='["x[2]"]')
    serve(scripted, start, environ, asking("1", '{"instances": [[NaN, -Infinity, 3]]}'))
    assert firehose.records[0]["inputs"][0]["data"] == ["NaN", "-Infinity", None]


def test_many_rows_are_written_down_whole(scripted, start, affine_bundle, firehose):
    rows = np.arange(3000, dtype=np.float32).reshape(1000, 3)
    serve(
        scripted,
        start,
        variables(affine_bundle, firehose),
        asking("1", json.dumps({"inputs": rows.tolist()})),
    )
    (record,) = firehose.records
    np.testing.assert_array_equal(values(record["inputs"][0]), rows)
    np.testing.assert_array_equal(values(record["outputs"][0]), rows * 2 + 1)


def test_a_transforms_request_is_written_down_as_the_model_saw_it(scripted, start, affine_bundle, firehose):
    transform = "tests.handlers.transforms_of_rows:Rows"
    request = asking("1", "1 2 3", path="/v1/models/toy:transform")
    environ = variables(affine_bundle, firehose, COLDPRESS_TRANSFORM=transform)
    (answer,) = serve(scripted, start, environ, request)
    assert answer["statusCode"] == 200, answer
    (record,) = firehose.records
    assert record["route"] == "transform"
    assert record["inputs"][0]["data"] == [1.0, 2.0, 3.0]


def test_binary_tensors_are_written_down(scripted, start, affine_bundle, firehose):
    blob = np.float32([0.1234567, 2, 3]).tobytes()
    x = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": len(blob)}}
    header = json.dumps({"inputs": [x], "id": "mine", "parameters": {"binary_data_output": True}}).encode()
    http = {"version": "2.0", "rawPath": "/v2/models/toy/infer", "isBase64Encoded": True}
    http["body"] = base64.b64encode(header + blob).decode()
    http["headers"] = {"inference-header-content-length": str(len(header))}
    http["requestContext"] = {"http": {"method": "POST"}}
    request = event(json.dumps(http).encode(), request_id="1")
    serve(scripted, start, variables(affine_bundle, firehose), request)
    (record,) = firehose.records
    assert record["inference_id"] == "mine"
    np.testing.assert_array_equal(values(record["inputs"][0]), np.float32([[0.1234567, 2, 3]]))


def test_what_firehose_does_not_carry_is_not_sent_and_counted(
    scripted, start, affine_bundle, firehose, capfd
):
    rows = json.dumps({"instances": [[0.12345678, 2.5123456, 3.7512345]] * 70_000})
    serve(scripted, start, variables(affine_bundle, firehose), asking("1", rows), asking("2"))
    assert firehose.ids == ["2"]
    (line,) = metrics(capfd.readouterr().out, "CaptureTooLarge")
    assert line["RequestId"] == "1"
    assert line["Reason"].endswith(f"of the {MAX_BYTES} that a record of Firehose takes")


def test_a_firehose_that_is_gone_costs_no_answer_and_is_counted(
    scripted, start, affine_bundle, firehose, capfd
):
    firehose.server.server_close()
    answers = serve(scripted, start, variables(affine_bundle, firehose), asking("1"), asking("2"))
    assert [answer["statusCode"] for answer in answers] == [200, 200]
    counted = metrics(capfd.readouterr().out, "CaptureFailures")
    assert [(line["RequestId"], line["Version"]) for line in counted] == [("1", "7"), ("2", "7")]


def test_a_refusal_is_counted_with_its_reason(scripted, start, affine_bundle, firehose, capfd):
    firehose.status = 400
    serve(scripted, start, variables(affine_bundle, firehose), asking("1"))
    (line,) = metrics(capfd.readouterr().out, "CaptureFailures")
    assert line["Reason"] == "Firehose refuses it with status 400 AccessDeniedException"


def test_the_answer_is_on_its_way_before_anything_is_sent(scripted, start, affine_bundle, firehose):
    taken = Held(ACCEPTED)
    scripted.play(asking("1"), taken, Held(event()))
    start(**variables(affine_bundle, firehose))
    wait_for(scripted, 2)
    assert firehose.taken == []
    taken.now.set()
    wait_for(scripted, 1)
    assert firehose.ids == ["1"]


def test_beside_a_shadow_both_get_the_same_requests(scripted, start, affine_bundle, firehose):
    other = Lambda()
    environ = variables(affine_bundle, firehose, 0.5) | shadow_variables(affine_bundle, other.address, 0.5)
    serve(scripted, start, environ, *(asking(str(number)) for number in range(20)))
    assert firehose.ids == other.ids
    assert 3 < len(other.ids) < 17
    other.server.shutdown()
    other.server.server_close()
