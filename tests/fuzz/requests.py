"""Throw mutated requests at the parsers: python -m tests.fuzz.run requests [SECONDS].

An input is a few bytes that choose the model, the path, the event's source and the encodings, and then a
body. Whatever they are, the answer is no 5xx, is well-formed, and is the same when asked again; memory stays
where the first runs left it.
"""

import copy
import json
import random
import sys
import tempfile
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import atheris

with atheris.instrument_imports(include=["handlers.inference", "bundle.json_text"]):
    from handlers.inference.documents import read_event
    from handlers.inference.events import UnknownEvent, answer_event
    from handlers.inference.service import Service

from tests.fuzz.memory import Watch
from tests.handlers.bundles import write_bundle
from tests.handlers.models import DTYPES, MODELS

CHOSEN = ("affine", "two inputs", "two columns", "pairs", "lookup", "logarithm")
PATHS = (
    "/v2/models/toy/infer",
    "/v1/models/toy:predict",
    "/v1/models/toy:classify",
    "/v1/models/toy:regress",
    "/v2/repository/index",
    "/v1/models/toy/labels/x:predict",
    "/v2/models/toy/versions/1/infer",
    "/%76%32/models/toy%2Finfer",
)
# Names of the choices that follow below, a byte each.
FIELDS = ("source", "model", "path", "encoding", "header", "answer")
SOURCES = ("HTTP API", "REST API", "ALB", "ALB, many values", "an event as it is")
ENCODINGS = ("identity", "gzip", "deflate", "gzip in name only", "br", "GZIP ")
DOCUMENTED = {200, 400, 404, 405, 413, 415}
WORDS = [
    *("instances", "inputs", "outputs", "examples", "context", "signature_name", "serving_default", "b64"),
    *("id", "name", "shape", "datatype", "data", "parameters", "binary_data", "binary_data_size"),
    *("binary_data_output", "x", "y", "a", "b", "index", "total", "BYTES", "BOOL", "FP16", "FP32", "FP64"),
    *("INT64", "UINT8", "NaN", "-Infinity", "\\u0000", "\\ud800"),
]
VALUES = [
    *(
        0,
        -0.0,
        1,
        2,
        3,
        -1,
        127,
        128,
        255,
        256,
        2048,
        65504,
        65520.0,
        2**24 + 1,
        2**53 + 1,
        2**63 - 1,
        -(2**63),
    ),
    *(2**63, 2**64 - 1, 2**64, 10**30, 0.1, 1e39, 1e308, 5e-324, float("nan"), float("inf"), True, None),
    *("", "NaN", "-Infinity", "AAE=", "\0", "\ud800", "FP32", "INT64", "y", [], [[]], {}, {"b64": "AAE="}),
]
LITERALS = ["NaN", "Infinity", "-Infinity", "true", "null", "1e39", "0.1", "[[", "]]", "{}", "-0", "1E400"]


class Choice(NamedTuple):
    """What the first bytes of an input say."""

    source: int
    model: int
    path: int
    encoding: int
    header: int
    answer: int


def services() -> list[Service]:
    """One for each thing that the parsers do differently."""
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for index, name in enumerate((*CHOSEN, *(f"identity {dtype}" for dtype in DTYPES))):
            labels = ["a", "b", "c"] if name == "affine" else []
            place = Path(folder) / str(index)
            place.mkdir()
            made.append(Service.from_folder(write_bundle(place, MODELS[name](), name="toy", labels=labels)))
    return made


SERVICES = services()
WATCH = Watch(every=10_000, allowed_mib=64)


def check(content: bytes) -> None:
    """One input, twice."""
    if len(content) < len(FIELDS):
        return
    choice, body = Choice(*content[: len(FIELDS)]), content[len(FIELDS) :]
    service = SERVICES[choice.model % len(SERVICES)]
    event = to_event(choice, body)
    is_ours = SOURCES[choice.source % len(SOURCES)] != "an event as it is"
    try:
        reply = answer(service, event)
    except UnknownEvent:
        assert not is_ours
        return
    except Exception:
        # An event that no gateway sends fails alone; the loop goes on (runtime.py).
        if is_ours:
            raise
        return
    assert answer(service, event) == reply, "another answer to the same request"
    if is_ours:
        check_reply(reply)
    WATCH.ran()


def answer(service: Service, event: bytes) -> bytes:
    """As the image's loop does."""
    try:
        content = read_event(event)
    except ValueError:
        raise UnknownEvent from None
    return answer_event(service, content).as_json()


def check_reply(reply: bytes) -> None:
    """What a gateway and a client demand of any answer."""
    envelope = json.loads(reply)
    status, text = envelope["statusCode"], envelope["body"]
    assert status in DOCUMENTED, (status, text[:200])
    headers = envelope.get("headers") or {name: v[0] for name, v in envelope["multiValueHeaders"].items()}
    body = b64decode(text, validate=True) if envelope["isBase64Encoded"] else text.encode()
    if "content-encoding" in headers:
        body = zlib.decompress(body, 47)
    if (length := headers.get("inference-header-content-length")) is not None:
        assert headers["content-type"] == "application/octet-stream"
        tensors = json.loads(body[: int(length)])["outputs"]
        sizes = [tensor.get("parameters", {}).get("binary_data_size", 0) for tensor in tensors]
        assert int(length) + sum(sizes) == len(body)
        return
    assert headers["content-type"] == "application/json"
    content = json.loads(body)
    if status != 200:
        assert list(content) == ["error"]
        assert content["error"].isprintable()


def to_event(choice: Choice, body: bytes) -> bytes:
    """The request in its envelope."""
    source = SOURCES[choice.source % len(SOURCES)]
    if source == "an event as it is":
        return body
    headers = {"content-type": "application/octet-stream" if choice.header else "application/json"}
    if choice.header:
        headers["Inference-Header-Content-Length"] = str(
            body.find(b"}]}") + 3 if choice.header == 1 else choice.header
        )
    if choice.answer & 1:
        headers["accept-encoding"] = "gzip"
    encoding = ENCODINGS[choice.encoding % len(ENCODINGS)]
    if encoding != "identity":
        headers["content-encoding"] = encoding.partition(" in ")[0]
        body = encoded(body, encoding)
    path = PATHS[choice.path % len(PATHS)]
    is_text = not choice.answer & 2 and encoding == "identity" and not choice.header
    envelope: dict[str, Any] = {
        "isBase64Encoded": not is_text,
        "body": body.decode(errors="replace") if is_text else b64encode(body).decode(),
        "headers": headers,
    }
    if source == "HTTP API":
        context = {"stage": "$default", "http": {"method": "POST"}}
        envelope |= {"version": "2.0", "rawPath": path, "rawQueryString": "", "requestContext": context}
    else:
        context = {"elb": {}} if source.startswith("ALB") else {"stage": "prod"}
        envelope |= {"httpMethod": "POST", "path": path, "requestContext": context}
    if source.endswith("many values"):
        envelope["multiValueHeaders"] = {name: [value] for name, value in envelope.pop("headers").items()}
    return json.dumps(envelope).encode()


def encoded(body: bytes, encoding: str) -> bytes:
    if encoding in ("gzip", "GZIP ", "deflate"):
        deflater = zlib.compressobj(1, wbits=15 if encoding == "deflate" else 31)
        return deflater.compress(body) + deflater.flush()
    return body


def mutated(content: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time as libFuzzer does; else the body's JSON is changed in one place, and stays JSON."""
    dice = random.Random(seed)
    head, body = content[: len(FIELDS)], content[len(FIELDS) :]
    try:
        value, end = json.JSONDecoder().raw_decode(body.decode("latin-1"))
        places = list(places_of(value))
    except (ValueError, RecursionError):
        places = []
    if not places or dice.random() < 0.5:
        return bytes(atheris.Mutate(content, max_size))
    change(dice, *dice.choice(places), dice.choice(places))
    try:
        changed = head + json.dumps(value).encode() + body[end:]
    except (ValueError, RecursionError):  # a list within itself
        return content
    return changed if len(changed) <= max_size else content


def places_of(value: object) -> Iterator[tuple[Any, Any]]:
    """Each list or object with each of its indices or keys."""
    if isinstance(value, list | dict):
        for key in range(len(value)) if isinstance(value, list) else list(value):
            yield value, key
            yield from places_of(value[key])


def change(dice: random.Random, holder: Any, key: Any, other: tuple[Any, Any]) -> None:
    """Change one place of a JSON value: to a value of its own, another's, one list deeper, away, twice."""
    kind = dice.randrange(6)
    if kind == 0:
        holder[key] = dice.choice(VALUES)
    elif kind == 1:
        holder[key] = copy.deepcopy(other[0][other[1]])
    elif kind == 2:
        holder[key] = [holder[key]]
    elif kind == 3:
        del holder[key]
    elif isinstance(holder, list):
        holder[key:key] = [holder[key]] * dice.choice([1, 1, 2, 30])
    else:
        holder[dice.choice(WORDS)] = holder[key] if kind == 4 else holder.pop(key)


def seeds() -> list[bytes]:
    """Right requests of each kind, from which others are mutated."""
    inputs = [
        ("affine", "x", "FP32", [2, 3], [1, 2.5, -3e-2, "NaN", 16777216, 0]),
        ("two inputs", "a", "FP32", [1, 2], [1, 2]),
        ("lookup", "index", "INT64", [1], [3]),
        ("logarithm", "x", "FP32", [3], [0, -1, 1]),
        *((f"identity {dtype}", "x", datatype_of(dtype), [2, 1], values_of(dtype)) for dtype in DTYPES),
    ]
    names = [*CHOSEN, *(f"identity {dtype}" for dtype in DTYPES)]
    made = []
    for number, (model, name, datatype, shape, values) in enumerate(inputs):
        tensor = {"name": name, "shape": shape, "datatype": datatype, "data": values}
        rows = [values[at : at + 3] for at in range(0, len(values), 3)] if model == "affine" else values
        binary = {**tensor, "parameters": {"binary_data_size": 8}}
        del binary["data"]
        asked = [{"name": "y", "parameters": {"binary_data": True}}]
        bodies = [
            (0, 0, {"id": "7", "inputs": [tensor], "outputs": asked}, b""),
            (0, 1, {"parameters": {"binary_data_output": True}, "inputs": [binary]}, b"\1\0\0\0a\0\0\0"),
            (1, 0, {"instances": rows}, b""),
            (1, 0, {"instances": [{name: row} for row in rows]}, b""),
            (1, 0, {"inputs": {name: rows}, "signature_name": "serving_default"}, b""),
            (2, 0, {"examples": [{name: row} for row in rows], "context": {}}, b""),
            (3, 0, {"context": {name: rows[0]}, "examples": [{}, {}]}, b""),
        ]
        if model.startswith("identity"):
            # Long enough to be read by the native library, each by itself.
            bodies.append((1, 0, {"instances": [{name: values * 40}, {name: values * 40}]}, b""))
            bodies.append((0, 0, {"inputs": [{**tensor, "shape": [80], "data": values * 40}]}, b""))
            bodies.append((1, 0, {"instances": deep(values, 60)}, b""))
        for path, header, content, blob in bodies:
            choice = Choice(number % 4, names.index(model), path, number % 3, header, number % 4)
            made.append(bytes(choice) + json.dumps(content).encode() + blob)
    event = to_event(Choice(0, 0, 1, 0, 0, 0), b'{"instances": [[1, 2, 3]]}')
    return [*made, bytes(Choice(4, 0, 0, 0, 0, 0)) + event]


def deep(value: Any, levels: int) -> Any:
    return [deep(value, levels - 1)] if levels else value


def datatype_of(dtype: str) -> str:
    return {"string": "BYTES"}.get(dtype, dtype.upper().replace("FLOAT", "FP"))


def values_of(dtype: str) -> list[Any]:
    return {"string": ["word", {"b64": "AAE="}], "bool": [True, False]}.get(dtype, [1, 100])


def main() -> None:
    """Run for as long as the command line says."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    corpus = Path(__file__).parents[2] / "build" / "fuzz" / "requests"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = corpus.with_name("requests.dict")
    tokens = [*(f'\\"{word}\\"' for word in WORDS), *LITERALS]
    words.write_text("".join(f'"{token}"\n' for token in tokens).replace("\\u", "\\\\u"))
    options = [f"-max_total_time={seconds}", f"-dict={words}", "-max_len=4096", "-timeout=20"]
    options += [f"-artifact_prefix={corpus.parent}/", str(corpus)]
    atheris.Setup([sys.argv[0], *options], check, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
