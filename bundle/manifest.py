"""The manifest: everything about a bundle that is not a tensor, as types.

``manifest.json`` is this structure encoded by msgspec; unknown keys are refused, so that a manifest of a
later schema is never half understood. What a server needs of it, ``bundle.served`` reads faster.
"""

from typing import Annotated, Literal

import msgspec

from bundle.errors import DigestMismatch, InvalidBundle
from bundle.layout import MANIFEST_FILE, SCHEMA_VERSION, address, check_version, is_name

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
# A model's name is a path segment in S3, in a URL and in a CloudFormation name.
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")]
Target = Literal["x86_64", "x86_64-vnni", "arm64"]
Scalar = bool | int | float | str


class _Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that all parts of the manifest share."""


class TensorSpec(_Struct, frozen=True, kw_only=True):
    """One input or output.

    ``dtype`` is numpy's name for it (``float32``, ``int64``, ``bool``, ``float16``) or ``string``.
    An axis is its length, or a name where it varies: axes of one name are equal in one request.
    """

    name: str
    dtype: str
    shape: list[int | str]


class Signature(_Struct, frozen=True, kw_only=True):
    """What the model takes and gives."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class Origin(_Struct, frozen=True, kw_only=True):
    """What an ONNX file was converted from: ``framework`` as PyPI names it, ``sha256`` over all files."""

    framework: str
    file: str
    sha256: Sha256


class Source(_Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The trained model that was pressed, an ONNX file, and what that was converted from, if it was."""

    file: str
    sha256: Sha256
    size: int
    opset: int
    origin: Origin | None = None


class AppliedPass(_Struct, frozen=True, kw_only=True):
    """A pass that shaped the bundle's model, with its parameters."""

    name: str
    parameters: dict[str, Scalar]


class Metric(_Struct, frozen=True, kw_only=True):
    """How good the model is, on verification samples that no choice was made on.

    ``drop`` is ``before - after`` (larger is better for every metric), ``interval`` its 95 % confidence
    interval and ``bound`` the largest drop that the user allowed.
    """

    name: str
    before: float
    after: float
    drop: float
    interval: tuple[float, float]
    bound: float
    samples: int


class Figures(_Struct, frozen=True, kw_only=True):
    """Measured where the model was pressed: bytes on disk, ms a run, ms from start to first answer.

    ``cold_start_bytes``: those of the file that are touched until then.
    """

    size_bytes: int
    latency_ms: float
    cold_start_ms: float
    cold_start_bytes: int = 0


class FileEntry(_Struct, frozen=True, kw_only=True):
    """One file of the bundle, as it must be."""

    sha256: Sha256
    size: int


class Manifest(_Struct, frozen=True, kw_only=True):
    """``manifest.json``.

    ``serve`` names the file that a server loads, chosen by measuring: ``model.ort`` starts fastest, but a
    float convolution net runs faster from ``model.onnx``, because its memory layout is specific to the CPU
    (blocks of 8 for AVX2, 16 for AVX-512) and can only be chosen where it runs.
    ``golden_error`` holds, by output, the largest absolute difference to the original's outputs in
    ``golden.npz`` that was measured when the bundle was made: what a check elsewhere may tolerate.
    ``digest`` and ``files`` are filled in when the bundle is written.
    """

    name: ModelName
    serve: Literal["model.ort", "model.onnx"]
    target: Target
    objective: Literal["latency", "size", "cold-start"]
    signature: Signature
    class_labels: list[str]
    source: Source
    passes: list[AppliedPass]
    metric: Metric
    before: Figures
    after: Figures
    golden_error: dict[str, float]
    tools: dict[str, str]
    schema_version: int = SCHEMA_VERSION
    digest: str = ""
    files: dict[str, FileEntry] = {}


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON; equal manifests give equal bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=2) + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        UnknownSchema: its ``schema_version`` is not this release's.
        InvalidBundle: it is not a manifest; the sentence names the field.
        DigestMismatch: it is a manifest, but not byte for byte as ``encode`` writes it.
    """
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidBundle(f"{MANIFEST_FILE} is not a manifest: {error}. Make the bundle anew.") from None
    check_version(version)
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidBundle(f"{MANIFEST_FILE} is not valid: {error}. Make the bundle anew.") from None
    if encode(manifest) != data:
        # Its meaning is whole, but its bytes are not: a manifest is written in one form only.
        raise DigestMismatch(f"{MANIFEST_FILE} is not the file that was written: fetch the bundle again.")
    return manifest


class _Version(msgspec.Struct):
    """Just enough of any schema to tell which one it is."""

    schema_version: int


def digest_of(manifest: Manifest) -> str:
    """The bundle's address (``bundle.layout.address``)."""
    return address(manifest.files, encode(msgspec.structs.replace(manifest, digest="")))


def check_name(name: str) -> str:
    """Return ``name`` if it can name a model, else raise InvalidBundle."""
    if is_name(name):
        return name
    raise InvalidBundle(
        f"'{name}' cannot name a model: use 1 to 63 lower-case letters, digits and hyphens, "
        "with no hyphen at the ends."
    )
