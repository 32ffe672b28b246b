"""Handles of TensorFlow Hub and Kaggle, found where their own libraries keep what they have downloaded."""

import hashlib
import os
import re
import tempfile
from pathlib import Path

from optimizer.errors import InputError

_TFHUB = re.compile(r"https://tfhub\.dev/(?P<name>.+)")
_KAGGLE = re.compile(
    r"https://(?:www\.)?kaggle\.com/models/(?P<owner>[^/]+)/(?P<model>[^/]+)"
    r"(?:/frameworks)?/(?P<framework>[^/]+)(?:/variations)?/(?P<variation>[^/]+)(?:/versions)?/(?P<version>\d+)/?"
)


def is_handle(text: str) -> bool:
    """Whether it is the address of a model there."""
    return text.startswith(
        ("https://tfhub.dev/", "https://www.kaggle.com/models/", "https://kaggle.com/models/")
    )


def name_of(handle: str) -> str:
    """The publisher's name for the model, without its version."""
    if kaggle := _KAGGLE.fullmatch(handle):
        return f"{kaggle['model']}-{kaggle['variation']}"
    tfhub = _TFHUB.fullmatch(handle)
    words = [word for word in (tfhub["name"] if tfhub else "model").split("/") if not word.isdecimal()]
    return words[-1] if words else "model"


def folder_of(handle: str) -> Path:
    """The model's folder on this machine.

    tensorflow_hub keeps a handle in $TFHUB_CACHE_DIR (else ``tfhub_modules`` in the folder for temporary
    files) under the sha1 of the handle; kagglehub in $KAGGLEHUB_CACHE (else ~/.cache/kagglehub) under the
    names in it.

    Raises:
        InputError: it is not there; nothing is fetched.
    """
    cache = Path(os.environ.get("TFHUB_CACHE_DIR") or Path(tempfile.gettempdir()) / "tfhub_modules")
    places = [cache / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()]
    if kaggle := _KAGGLE.fullmatch(handle):
        root = Path(os.environ.get("KAGGLEHUB_CACHE") or Path.home() / ".cache" / "kagglehub")
        parts = ("owner", "model", "framework", "variation", "version")
        framework = {"tensorflow2": "tensorFlow2", "tensorflow1": "tensorFlow1", "tflite": "tfLite"}
        names = [framework.get(kaggle[part].lower(), kaggle[part]) for part in parts]
        places.append(root.joinpath("models", *names))
    for place in places:
        if place.is_dir():
            return _single_file(place)
    raise InputError(
        f"{handle} is not on this machine, and nothing is fetched: download it, unpack it into {places[-1]}, "
        "and say the same again."
    )


def _single_file(place: Path) -> Path:
    """A TFLite model is one file in its folder."""
    files = list(place.glob("*.tflite"))
    return files[0] if len(files) == 1 and not (place / "saved_model.pb").exists() else place
