"""What ``optimize`` and the process with TensorFlow tell each other."""

from typing import Literal

import msgspec

Kind = Literal["keras", "saved_model", "tflite"]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A model to convert; ``title`` is what the user called it."""

    kind: Kind
    model: str
    title: str
    target: str
    calibration: str
    trust_pickle: bool


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The ONNX file is written, or ``error`` says in one sentence why it is not."""

    framework: str = "tensorflow"
    class_labels: list[str] = []
    error: str = ""
