"""A share of the requests, with what the model took and gave, for the monitors (docs/capture.md).

Each is one line of JSON, gzipped, in a record of Firehose, which gathers them into objects of S3.
"""

import time
from _json import encode_basestring_ascii as quoted

import pybase64

from bundle.json_text import loads
from handlers.inference.after import Refused, TooLarge, share_from
from handlers.inference.dataplane import is_dynamic
from handlers.inference.errors import InitError
from handlers.inference.fetch.aws import Service
from handlers.inference.messages import to_json
from handlers.inference.protocols.oip import DATATYPES
from handlers.inference.routes import CPU_HEADER, unquoted
from handlers.inference.tensor import element_count
from handlers.inference.writing import to_base64_texts, to_flat_json, to_texts

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Self

    from handlers.inference.after import Answered, Tensors
    from handlers.inference.dataplane import Model
    from handlers.inference.tensor import Tensor

    # By tensor the columns that are redacted; None: all of it.
    Redactions = dict[str, set[int] | None]

SCHEMA_VERSION = 1
# What Firehose takes in a record, before base64.
MAX_BYTES = 1000 * 1024
_OK = 200
_PATH = "/"
_HEADERS = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "Firehose_20150804.PutRecord"}
_SIDES = ("inputs", "outputs")


class Capture:
    """Sends requests, as the model saw them, to a delivery stream.

    Args:
        stream: its name.
        rate: the share of the requests, above 0 and up to 1.
        sides: of ``inputs`` and ``outputs``, which are written down.
        redactions: what of them is not.
        model: what answers.
        environ: the environment's variables: credentials and endpoint.
    """

    name = "Capture"

    def __init__(  # noqa: PLR0913 - what is configured
        self,
        stream: str,
        rate: float,
        sides: list[str],
        redactions: "Redactions",
        *,
        model: "Model",
        environ: "Mapping[str, str]",
    ) -> None:
        self._stream = stream
        self._rate = rate
        self._sides = sides
        self._redactions = redactions
        self._model = model
        self._firehose = Service("firehose", environ)

    @classmethod
    def from_environment(cls, environ: "Mapping[str, str]", model: "Model") -> "Self":
        """What the variables ``COLDPRESS_CAPTURE_…`` say (docs/architecture.md).

        Raises:
            InitError: the rate is none, or something is to be redacted that the model does not have.
        """
        rate = share_from(environ, "COLDPRESS_CAPTURE_RATE")
        sides = environ.get("COLDPRESS_CAPTURE_TENSORS", "inputs outputs").split()
        redactions: Redactions = {}
        for field in _redacted(environ.get("COLDPRESS_CAPTURE_REDACT") or "[]"):
            name, column = _split(field, model)
            columns = redactions.setdefault(name, set())
            if column is None:
                redactions[name] = None
            elif columns is not None:
                columns.add(column)
        stream = environ["COLDPRESS_CAPTURE_STREAM"]
        return cls(stream, rate, sides, redactions, model=model, environ=environ)

    def run(self, answered: "Answered", due: float) -> None:
        """Send it, if it is among the share and the model saw it.

        The check before a deployment asks with samples of the bundle, which are nobody's requests.

        Raises:
            TooLarge: Firehose does not take so much.
            Refused: Firehose refuses it.
            OSError: Firehose cannot be reached in time.
        """
        if answered.tensors is None or CPU_HEADER in answered.head.headers:
            return
        if not answered.is_among(self._rate):
            return
        record = self._record(answered, answered.tensors)
        if len(record) > MAX_BYTES:
            raise _too_large(len(record))
        payload = b'{"DeliveryStreamName":%b,"Record":{"Data":"%b"}}' % (
            quoted(self._stream).encode(),
            pybase64.b64encode(_gzipped(record)),
        )
        status, kind = self._firehose.post(_PATH, _HEADERS, payload, due)
        if status != _OK:
            raise Refused(f"Firehose refuses it with status {status} {kind}".rstrip())

    def _record(self, answered: "Answered", tensors: "tuple[Tensors, Tensors]") -> bytes:
        """The line."""
        model = self._model
        about = {
            "schema": SCHEMA_VERSION,
            "inference_id": answered.inference_id,
            "request_id": answered.request_id,
            "time_ms": time.time_ns() // 1_000_000,
            "model": model.name,
            "version": model.version,
            "digest": model.manifest.digest,
            "route": unquoted(answered.head.path).rpartition("/")[2].rpartition(":")[2],
            "status": answered.status,
            "latency_ms": round(answered.latency_ms, 3),
        }
        kept = [(side, given) for side, given in zip(_SIDES, tensors, strict=True) if side in self._sides]
        _check_size(kept, self._redactions)
        parts = [to_json(about)[:-1]]
        for side, given in kept:
            texts = [_tensor(name, tensor, self._redactions) for name, tensor in given.items()]
            parts.append(f'"{side}":[{",".join(texts)}]')
        return f"{','.join(parts)}}}\n".encode(errors="replace")


def _gzipped(line: bytes) -> bytes:
    """A gzip of its own, for Firehose bills what it is sent; those that it puts behind each other are one.

    A picture takes 20 ns a byte, and a third to two thirds of its bytes are left.
    """
    import zlib  # noqa: PLC0415 - most environments keep no request

    deflater = zlib.compressobj(1, zlib.DEFLATED, 31)
    return deflater.compress(line) + deflater.flush()


def _tensor(name: str, tensor: "Tensor", redactions: "Redactions") -> str:
    """A tensor as the Open Inference Protocol has it, with what was redacted.

    Its ``data`` are a list in row-major order or, where that is shorter, ``{"b64": …}``: the elements' bytes.
    """
    described: dict[str, Any] = {
        "name": name,
        "datatype": DATATYPES[tensor.dtype],
        "shape": list(tensor.shape),
    }
    columns = redactions.get(name, set())
    if columns is None or columns:
        described["redacted"] = True if columns is None else sorted(columns)
    return f'{to_json(described)[:-1]},"data":{_data(tensor, columns)}}}'


def _data(tensor: "Tensor", redacted: set[int] | None) -> str:
    if redacted is None:
        return "null"
    if isinstance(tensor.data, list):
        texts = [_text(one, text) for one, text in zip(tensor.data, to_texts(tensor), strict=True)]
    else:
        plain = to_flat_json(tensor)
        if not redacted:
            shorter = len(tensor.data) * 4 < 3 * len(plain)
            return to_base64_texts([bytes(tensor.data)])[0] if shorter else plain
        texts = plain[1:-1].split(",") if tensor.size else []
    width = element_count(tensor.shape[1:])
    for column in redacted:
        if column < width:
            texts[column::width] = ["null"] * len(texts[column::width])
    return f"[{','.join(texts)}]"


def _text(raw: bytes, text: str) -> str:
    """A string as text, or its bytes where they are none."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return to_base64_texts([raw])[0]
    return text


def _check_size(kept: "list[tuple[str, Tensors]]", redactions: "Redactions") -> None:
    """Refuse early what cannot fit however it is written, so that nobody waits for it to be written."""
    least = 0
    for _, given in kept:
        for name, tensor in given.items():
            if redactions.get(name, set()) is not None:
                # A list has at least a digit and a comma an element.
                least += (
                    sum(map(len, tensor.data))
                    if isinstance(tensor.data, list)
                    else min(len(tensor.data) * 4 // 3, 2 * tensor.size)
                )
    if least > MAX_BYTES:
        raise _too_large(least)


def _too_large(size: int) -> TooLarge:
    return TooLarge(f"{size} bytes or more, of the {MAX_BYTES} that a record of Firehose takes")


def _redacted(text: str) -> list[str]:
    try:
        fields = loads(text.encode())
    except ValueError:
        fields = None
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise InitError("COLDPRESS_CAPTURE_REDACT is no JSON list of strings: set it to one.")
    return fields


def _split(field: str, model: "Model") -> "tuple[str, int | None]":
    """A field to redact as a tensor and, of ``NAME[3]``, the column of its rows.

    Raises:
        InitError: the model has none such, so what was meant would be captured.
    """
    specs = {**model.outputs, **model.inputs}
    if field in specs:
        return field, None
    name, _, column = field.removesuffix("]").rpartition("[")
    if name in specs and column.isascii() and column.isdecimal():
        shape = specs[name].shape[1:]
        widths = [int(axis) for axis in shape if not is_dynamic(axis)]
        if len(widths) < len(shape) or int(column) < element_count(widths):
            return name, int(column)
    raise InitError(
        f"capture.redact names '{field[:100]}', which the model does not have, so what was meant would be "
        f"captured: name one of {', '.join(specs)}, or a column of its rows as NAME[3]."
    )
