"""What a server needs of a manifest, read without msgspec, which takes longer than all the rest here.

The objects have the attributes of ``bundle.manifest``'s. What they leave out is verified all the same: each
byte of the manifest counts in its address.
"""

from bundle.errors import DigestMismatch, InvalidBundle
from bundle.json_text import TYPE_NAMES, loads
from bundle.layout import (
    MANIFEST_FILE,
    address,
    check_address,
    check_listing,
    check_version,
    is_name,
    is_sha256,
)

TYPE_CHECKING = False  # typing itself costs a cold start 3 ms
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

_REQUIRED = (
    "name",
    "serve",
    "target",
    "objective",
    "signature",
    "class_labels",
    "source",
    "passes",
    "metric",
    "before",
    "after",
    "golden_error",
    "tools",
)
_OPTIONAL = ("digest", "files", "schema_version")
_SERVED = ("model.ort", "model.onnx")
_TARGETS = ("x86_64", "x86_64-vnni", "arm64")


class TensorSpec:
    """One input or output, as ``bundle.manifest.TensorSpec``."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(self, name: str, dtype: str, shape: "list[int | str]") -> None:
        self.name = name
        self.dtype = dtype
        self.shape = shape


class Signature:
    """What the model takes and gives."""

    __slots__ = ("inputs", "outputs")

    def __init__(self, inputs: "list[TensorSpec]", outputs: "list[TensorSpec]") -> None:
        self.inputs = inputs
        self.outputs = outputs


class FileEntry:
    """One file of the bundle, as it must be: sha256 in hexadecimal digits, size in bytes."""

    __slots__ = ("sha256", "size")

    def __init__(self, sha256: str, size: int) -> None:
        self.sha256 = sha256
        self.size = size


class Manifest:
    """What a server uses of ``bundle.manifest.Manifest``."""

    __slots__ = (
        "class_labels",
        "digest",
        "files",
        "golden_error",
        "name",
        "serve",
        "signature",
        "target",
        "tools",
    )

    def __init__(  # noqa: PLR0913 - the manifest's fields
        self,
        *,
        name: str,
        serve: str,
        target: str,
        signature: Signature,
        class_labels: "list[str]",
        tools: "dict[str, str]",
        digest: str,
        files: "dict[str, FileEntry]",
        golden_error: "dict[str, float]",
    ) -> None:
        self.name = name
        self.serve = serve
        self.target = target
        self.signature = signature
        self.class_labels = class_labels
        self.tools = tools
        self.digest = digest
        self.files = files
        self.golden_error = golden_error


def read_manifest(data: bytes, digest: str | None = None) -> Manifest:
    """Read a manifest and verify all of its bytes; ``digest`` is the address asked for.

    Raises:
        UnknownSchema: its ``schema_version`` is not this release's.
        InvalidBundle: it is not a manifest; the sentence names the field.
        DigestMismatch: a byte is not as it was written, or it is another bundle's.
    """
    try:
        content = _typed(loads(data), dict, "$")
        _check_keys(content, ("schema_version",), tuple(content), "$")
        version = _get(content, "schema_version", int, "$")
    except (_Wrong, ValueError) as error:
        raise InvalidBundle(f"{MANIFEST_FILE} is not a manifest: {error}. Make the bundle anew.") from None
    check_version(version)
    try:
        manifest = _manifest(content)
    except _Wrong as error:
        raise InvalidBundle(f"{MANIFEST_FILE} is not valid: {error}. Make the bundle anew.") from None
    check_listing(manifest.files)
    # Written in one form only, it holds its digest in a line of its own, and no other line can look like it.
    line = f'\n  "digest": "{manifest.digest}",\n'.encode()
    if data.count(line) != 1:
        raise DigestMismatch(f"{MANIFEST_FILE} is not the file that was written: fetch the bundle again.")
    actual = address(manifest.files, data.replace(line, b'\n  "digest": "",\n'))
    check_address(manifest.digest, actual, digest)
    return manifest


class _Wrong(Exception):
    """What is wrong with a manifest, and where: in msgspec's words, so that both readers say the same."""


def _manifest(content: "dict[str, Any]") -> Manifest:
    _check_keys(content, _REQUIRED, _OPTIONAL, "$")
    signature = _get(content, "signature", dict, "$")
    _check_keys(signature, ("inputs", "outputs"), (), "$.signature")
    files = _get(content, "files", dict, "$") if "files" in content else {}
    labels, tools = _get(content, "class_labels", list, "$"), _get(content, "tools", dict, "$")
    name = _get(content, "name", str, "$")
    if not is_name(name):
        raise _Wrong("Expected `str` that can name a model - at `$.name`")
    return Manifest(
        name=name,
        serve=_one_of(_SERVED, content, "serve"),
        target=_one_of(_TARGETS, content, "target"),
        signature=Signature(
            _tensor_specs(signature, "inputs"),
            _tensor_specs(signature, "outputs"),
        ),
        class_labels=[_typed(label, str, f"$.class_labels[{number}]") for number, label in enumerate(labels)],
        tools={tool: _typed(version, str, "$.tools[...]") for tool, version in tools.items()},
        digest=_get(content, "digest", str, "$") if "digest" in content else "",
        files={name: _file_entry(entry) for name, entry in files.items()},
        golden_error=_get(content, "golden_error", dict, "$"),
    )


def _tensor_specs(signature: "dict[str, Any]", side: str) -> "list[TensorSpec]":
    specs = []
    for number, item in enumerate(_get(signature, side, list, "$.signature")):
        where = f"$.signature.{side}[{number}]"
        content = _typed(item, dict, where)
        _check_keys(content, ("name", "dtype", "shape"), (), where)
        shape = _get(content, "shape", list, where)
        for place, axis in enumerate(shape):
            if type(axis) is not int and type(axis) is not str:
                raise _unexpected("int | str", axis, f"{where}.shape[{place}]")
        specs.append(TensorSpec(_get(content, "name", str, where), _get(content, "dtype", str, where), shape))
    return specs


def _file_entry(value: object) -> FileEntry:
    where = "$.files[...]"
    content = _typed(value, dict, where)
    _check_keys(content, ("sha256", "size"), (), where)
    sha256 = _get(content, "sha256", str, where)
    if not is_sha256(sha256):
        raise _Wrong(f"Expected `str` of 64 hexadecimal digits - at `{where}.sha256`")
    return FileEntry(sha256, _get(content, "size", int, where))


def _check_keys(
    content: "dict[str, Any]", required: "tuple[str, ...]", optional: "tuple[str, ...]", where: str
) -> None:
    at = "" if where == "$" else f" - at `{where}`"
    for key in content:
        if key not in required and key not in optional:
            raise _Wrong(f"Object contains unknown field `{key}`{at}")
    for key in required:
        if key not in content:
            raise _Wrong(f"Object missing required field `{key}`{at}")


def _get(content: "dict[str, Any]", key: str, kind: "type[T]", where: str) -> "T":
    return _typed(content[key], kind, f"{where}.{key}")


def _typed(value: object, kind: "type[T]", where: str) -> "T":
    if type(value) is not kind:
        raise _unexpected(TYPE_NAMES[kind], value, where)
    return value


def _one_of(choices: "tuple[str, ...]", content: "dict[str, Any]", key: str) -> str:
    text = _get(content, key, str, "$")
    if text not in choices:
        raise _Wrong(f"Invalid enum value '{text}' - at `$.{key}`")
    return text


def _unexpected(wanted: str, value: object, where: str) -> _Wrong:
    return _Wrong(f"Expected `{wanted}`, got `{TYPE_NAMES[type(value)]}` - at `{where}`")
