"""Files of texts as people and spreadsheets write them."""

from pathlib import Path

import pytest

from optimizer.texts import text_samples

tokenizers = pytest.importorskip("tokenizers")

WORDS = {"[UNK]": 0, "one": 1, "two": 2, "three": 3}
# What str.splitlines takes for the end of a line, and JSON and .txt do not.
SEPARATOR = "\u2028"


@pytest.fixture
def tokenizer() -> bytes:
    found = tokenizers.Tokenizer(tokenizers.models.WordLevel(WORDS, unk_token="[UNK]"))
    found.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return found.to_str().encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "\ufefftext,label\r\none two,b\r\nthree,a\r\n"),
        ("t.csv", 'text,label\n"one\ntwo",b\n"three",0\n'),
        ("t.jsonl", f'{{"text": "one{SEPARATOR}two", "label": "b"}}\n{{"text": "three", "label": 0}}\n'),
        ("t.jsonl", '\ufeff{"text": "one two", "label": 1}\r\n\r\n{"text": "three", "label": "a"}'),
        ("t.txt", f"one{SEPARATOR}two\r\n\r\nthree"),
    ],
)
def test_each_text_is_one_sample(tmp_path: Path, tokenizer: bytes, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    found = list(text_samples(str(tmp_path / name), tokenizer, ["a", "b"]))
    assert [one["input_ids"].tolist() for one in found] == [[[1, 2]], [[3]]]
    assert [one.get("labels") for one in found] == ([None, None] if name == "t.txt" else [1, 0])
