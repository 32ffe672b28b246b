"""`coldpress diff` as a command: bundles whose models run here, by folder and by handle."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper

from bundle.folder import read, write
from bundle.layout import BUNDLE_FILES
from bundle.manifest import AppliedPass, Figures, Signature, Source, TensorSpec
from bundle.registry import Registry
from coldpress.comparison import compare_signatures
from tests.coldpress.registry import Run, client
from tests.handlers.bundles import write_bundle
from tests.handlers.models import build_model

X = [np.float32([[1, 2, 3]]), np.float32([[4, 5, 6], [7, 8, 9]])]


def scaled(factor: float, width: int | str = 3) -> onnx.ModelProto:
    """y = factor x on float32 [batch, width]."""
    shape = ["batch", width]
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    constants = {"factor": np.float32([factor])}
    return build_model([node], {"x": ("float32", shape)}, {"y": ("float32", shape)}, constants)


def make(folder: Path, factor: float, width: int | str = 3, **told: Any) -> Path:
    """A bundle whose golden answers are those of the original, which doubles."""
    inputs = X if width == 3 else [np.float32([[1, 2]])]
    golden = [({"x": x}, {"y": 2 * x}) for x in inputs]
    return write_bundle(folder, scaled(factor, width), name="scale", golden=golden, **told)


def off_by(error: float, made: Path, folder: Path) -> Path:
    """The same bundle, which says that its answers may be off by so much."""
    manifest = msgspec.structs.replace(read(made), golden_error={"y": error}, files={}, digest="")
    return write(folder, manifest, {name: made / name for name in BUNDLE_FILES})


def test_bundles_that_answer_alike(run: Run, tmp_path: Path) -> None:
    first = make(tmp_path, 2.0, passes=[AppliedPass(name="Fold", parameters={})])
    second = make(
        tmp_path,
        2 + 2**-10,
        passes=[
            AppliedPass(name="Fold", parameters={}),
            AppliedPass(name="Quantize", parameters={"bits": 8}),
        ],
        after=Figures(size_bytes=3_000_000, latency_ms=0.5, cold_start_ms=1.0),
        tools={"onnxruntime": "1.33.0"},
    )
    done = run("diff", str(first), str(second))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"A  scale, model.ort for x86_64, {first.name}"
    assert "signature  the same" in lines
    assert "latency     1.00 ms         0.50 ms         0.50x" in lines
    assert "  + Quantize: bits 8" in lines
    assert "  onnxruntime none -> 1.33.0" in lines
    assert "answers    to A's golden samples: 2 of 2 agree" in lines
    # A thousandth of the largest answer is allowed; the first sample's, 6, leaves least room.
    assert "  y: differ by 0.00293 of 0.006 allowed; from the original A by 0, B by 0.008789" in lines


def test_bundles_that_answer_otherwise_are_told_and_compatible(run: Run, tmp_path: Path) -> None:
    first, second = (
        make(tmp_path, 2.0),
        make(tmp_path, 3.0, source=Source(file="o", sha256="1" * 64, size=1, opset=9)),
    )
    done = run("diff", str(first), str(second), "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["compatible"], told["signature"]) == (0, True, [])
    for side in ("A", "B"):
        answers = told["answers"][side]
        assert (answers["samples"], answers["agree"], answers["refused"]) == (2, 0, [])
        assert answers["outputs"]["y"] == {
            "between": 9.0,
            "allowed": pytest.approx(0.018, rel=1e-5),
            "first": 0.0,
            "second": 9.0,
        }
    assert told["B"]["manifest"]["source"]["sha256"] == "1" * 64
    assert (
        "A toy.onnx, sha256 000000000000; B o, sha256 111111111111"
        in run("diff", str(first), str(second)).stdout
    )


def test_what_each_bundle_may_be_off_by_is_allowed(run: Run, tmp_path: Path) -> None:
    first, second = make(tmp_path, 2.0), off_by(9.0, make(tmp_path, 3.0), tmp_path)
    told = json.loads(run("diff", str(first), str(second), "--json").stdout)
    assert told["answers"]["A"]["agree"] == 2


def test_an_incompatible_signature_is_status_1(run: Run, tmp_path: Path) -> None:
    first, second = make(tmp_path, 2.0), make(tmp_path, 2.0, width=2)
    done = run("diff", str(first), str(second))
    assert done.returncode == 1
    assert "signature  incompatible: clients of A would break" in done.stdout
    assert "  breaks    input 'x' was float32 [batch, 3], is float32 [batch, 2]" in done.stdout
    assert "  2 not answered: input 'x' has shape [1, 3], but the model takes [batch, 2]." in done.stdout
    assert "answers    to B's golden samples: 0 of 1 agree" in done.stdout


def test_handles_are_taken(run: Run, aws: dict[str, str], bucket: str, tmp_path: Path) -> None:
    registry = Registry(bucket, client(aws))
    digests = [registry.push(make(tmp_path, factor)).digest for factor in (2.0, 2.001)]
    done = run("diff", "hub://scale:1", f"s3://{bucket}/scale/2", "--bucket", bucket)
    assert done.returncode == 0
    assert all(digest in done.stdout for digest in digests)


def test_wrong_input_is_one_sentence(run: Run, tmp_path: Path) -> None:
    bundle = make(tmp_path, 2.0)
    (bundle / "model.ort").write_bytes(b"other")
    for other in ("nowhere", str(bundle)):
        done = run("diff", other, str(bundle))
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1


def spec(name: str, shape: list[int | str], dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("old", "new", "breaks"),
    [
        # An input may take more than before, an output may give less.
        ((["n", 3], ["n"]), (["n", "m"], ["n"]), [False]),
        (([1, 3], ["n", 3]), ([1, 3], [1, 3]), [False]),
        ((["n", 3], ["n"]), ([1, 3], ["n"]), [True]),
        ((["n", 3], [1, 3]), (["n", 3], ["n", 3]), [True]),
        # Axes of one name are equal in one request: ["n", "n"] does not take what ["n", "m"] took.
        ((["n", "m"], [1]), (["k", "k"], [1]), [True]),
        ((["n", "n"], [1]), (["k", "l"], [1]), [False]),
        ((["n", 3], [1]), (["k", 3], [1]), [False]),
        ((["n", 3], [1]), (["n", 3, 1], [1]), [True]),
        ((["n"], ["n"]), (["n"], ["n"]), []),
    ],
)
def test_what_breaks_clients(
    old: tuple[list[int | str], list[int | str]],
    new: tuple[list[int | str], list[int | str]],
    breaks: list[bool],
) -> None:
    first, second = (Signature(inputs=[spec("x", x)], outputs=[spec("y", y)]) for x, y in (old, new))
    assert [change.breaks for change in compare_signatures(first, second)] == breaks


def test_names_and_dtypes_break_clients() -> None:
    first = Signature(inputs=[spec("x", [1]), spec("old", [1])], outputs=[spec("y", [1])])
    second = Signature(inputs=[spec("x", [1], "int64")], outputs=[spec("y", [1]), spec("more", [1])])
    told = compare_signatures(first, second)
    assert [change.what for change in told] == [
        "input 'old' is gone",
        "input 'x' was float32 [1], is int64 [1]",
        "output 'more' float32 [1] is new",
    ]
    assert all(change.breaks for change in told)
