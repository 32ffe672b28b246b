"""Texts as calibration and evaluation data, for a model whose source has a tokenizer."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from optimizer.errors import InputError
from optimizer.runtime import Array

_SUFFIXES = (".csv", ".jsonl", ".txt")
_TEXT, _LABEL = "text", "label"


def are_texts(source: str) -> bool:
    """Whether data is a file of texts, by its name."""
    return Path(source).suffix in _SUFFIXES and Path(source).is_file()


def text_samples(
    source: str, tokenizer_json: bytes | None, class_labels: Sequence[str]
) -> Iterator[dict[str, Array]]:
    """``input_ids``, ``attention_mask`` and ``token_type_ids``, int64 [1, tokens], of each text; its label.

    A ``.txt`` has a text a line; a ``.jsonl`` has an object a line, a ``.csv`` a heading, with ``text`` and
    perhaps ``label``: the name of a class, or its number.

    Raises:
        InputError: there is no tokenizer, or a line is none of that.
    """
    if tokenizer_json is None:
        raise InputError(f"{source} holds texts, but the model comes without a tokenizer: give arrays.")
    tokenizer = _tokenizer(tokenizer_json)
    for where, record in _records(Path(source)):
        text = record.get(_TEXT)
        if not isinstance(text, str):
            raise InputError(f"{where} has no text: give an object, or a column, '{_TEXT}'.")
        encoding = tokenizer.encode(text)
        arrays = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        sample = {name: np.array([values], np.int64) for name, values in arrays.items()}
        if record.get(_LABEL) not in (None, ""):
            sample["labels"] = np.array(_number(where, record[_LABEL], class_labels))
        yield sample


def _tokenizer(content: bytes) -> Any:
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415 - only texts need it
    except ImportError:
        raise InputError(
            "texts need tokenizers, which is not here: pip install 'coldpress[huggingface]', or make "
            "setup-sources."
        ) from None
    return Tokenizer.from_buffer(content)


def _records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each line's place, for sentences, and what it has."""
    try:
        content = path.read_text(encoding="utf-8-sig")  # spreadsheets begin a file with a byte order mark
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as that.") from None
    if path.suffix == ".csv":
        # Parsed whole: a text in quotes may go over several lines.
        for index, row in enumerate(csv.DictReader(io.StringIO(content))):
            yield f"{path}, row {index + 1}", row
        return
    for index, line in enumerate(content.split("\n")):  # a text may hold what else separates lines in Unicode
        if line.strip():
            where = f"{path}, line {index + 1}"
            yield where, {_TEXT: line} if path.suffix == ".txt" else _object(where, line)


def _object(where: str, line: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise InputError(f'{where} is no JSON object: write {{"text": "…", "label": "…"}}.')
    return record


def _number(where: str, label: Any, class_labels: Sequence[str]) -> int:
    if label in class_labels:
        return class_labels.index(label)
    try:
        return int(label)
    except (TypeError, ValueError):
        known = ", ".join(class_labels[:5]) or "none"
        raise InputError(
            f"{where} has label {label!r}, which is no class of the model (they are {known}) and no number."
        ) from None
