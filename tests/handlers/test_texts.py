"""The transform for texts: the bundle's own tokenizer before the model, its labels after it."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from bundle.manifest import decode
from handlers.inference.errors import InitError
from handlers.inference.function import service_from
from handlers.inference.messages import Request
from handlers.inference.service import Service
from tests.handlers.bundles import write_bundle
from tests.handlers.s3_server import serving
from tests.handlers.test_loading import environment, reseal

tokenizers = pytest.importorskip("tokenizers")

TRANSFORM = "handlers.inference.texts:Texts"
WORDS = ["[PAD]", "[UNK]", "good", "bad", "day"]
# What each word adds to the two classes.
TABLE = np.float32([[9, 9], [0, 0], [2, 0], [0, 2], [0.5, 0.5]])


def tokenizer_json() -> bytes:
    words = tokenizers.models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding()
    return tokenizer.to_str().encode()


def model() -> onnx.ModelProto:
    """Sums of the words that are no padding."""
    made = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 17]>
        g (int64[batch, length] input_ids, int64[batch, length] attention_mask) => (float[batch, 2] logits) {
            rows = Gather (table, input_ids)
            weights = Cast <to = 1> (attention_mask)
            last = Constant <value_ints = [-1]> ()
            spread = Unsqueeze (weights, last)
            kept = Mul (rows, spread)
            one = Constant <value_ints = [1]> ()
            logits = ReduceSum <keepdims = 0> (kept, one)
        }""")
    made.graph.initializer.append(onnx.numpy_helper.from_array(TABLE, "table"))
    return made


@pytest.fixture
def make(tmp_path):
    def bundle(labels=("fine", "poor"), tokenizer=True) -> Path:
        folder = write_bundle(tmp_path, model(), name="toy", labels=labels)
        if not tokenizer:
            return folder
        target = tmp_path / "with-tokenizer"
        shutil.copytree(folder, target)
        reseal(folder, target, "tokenizer.json", tokenizer_json())
        return target

    return bundle


def ask(service, body):
    request = Request(
        "POST",
        "/v1/models/toy:transform",
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
    )
    answer = service.answer(request)
    return answer.status, json.loads(answer.body)


def test_labels(make):
    service = Service.from_folder(make(), transform=TRANSFORM)
    status, answer = ask(service, ["good day", "bad", "a day that is good"])
    assert status == 200
    good, bad, cut_off = answer["predictions"]
    assert (good["label"], bad["label"]) == ("fine", "poor")
    assert good["scores"] == pytest.approx({"fine": 1 / (1 + np.exp(-2)), "poor": 1 / (1 + np.exp(2))})
    assert bad["scores"]["poor"] == pytest.approx(good["scores"]["fine"])  # so padding has no weight
    assert cut_off["scores"]["fine"] == pytest.approx(0.5)
    assert ask(service, "good day")[1]["predictions"] == [good]


def test_numbers_of_a_model_without_labels(make):
    service = Service.from_folder(make(labels=()), transform=TRANSFORM)
    assert ask(service, ["good day", "bad"]) == (
        200,
        {"predictions": [{"logits": [2.5, 0.5]}, {"logits": [0, 2]}]},
    )


def test_in_lambda_the_tokenizer_comes_from_s3(make):
    folder = make()
    digest = decode((folder / "manifest.json").read_bytes()).digest
    with serving(folder) as server:
        environ = {
            **environment(folder, server.url),
            "COLDPRESS_DIGEST": digest,
            "COLDPRESS_TRANSFORM": TRANSFORM,
        }
        service = service_from(environ)
        assert server.count("tokenizer.json") == 1
        assert ask(service, "bad")[1]["predictions"][0]["label"] == "poor"


def test_a_bundle_without_a_tokenizer(make):
    with pytest.raises(
        InitError, match=r"the bundle has no tokenizer.json: press the model from what has one"
    ):
        Service.from_folder(make(tokenizer=False), transform=TRANSFORM)


def test_a_model_of_other_inputs(affine_bundle):
    with pytest.raises(InitError, match="but the model has x"):
        Service.from_folder(affine_bundle, transform=TRANSFORM)


@pytest.mark.parametrize("body", [b"", b"{}", [1], [], ["a"] * 65])
def test_what_is_no_text_is_the_clients_fault(make, body):
    status, answer = ask(Service.from_folder(make(), transform=TRANSFORM), body)
    assert status == 400
    assert "send" in answer["error"]


def test_any_text_is_answered(make):
    service = Service.from_folder(make(), transform=TRANSFORM)
    for text in ("", "\ud800", "x " * 1000, "\x00"):
        assert ask(service, text)[0] == 200
