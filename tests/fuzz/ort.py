"""Throw anything at the C API's binding: python -m tests.fuzz.run ort [SECONDS].

Wrong names, dtypes, shapes and buffers must end in an exception, and right ones in the right answer; a crash
ends this process, and so does memory that grows. Coverage of the binding guides the choice.
"""

import sys
from pathlib import Path

import atheris
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.fuzz.memory import Watch
from tests.handlers.models import DTYPES, build_model

with atheris.instrument_imports(include=["handlers.inference.ort"]):
    from handlers.inference import ort

from handlers.inference.tensor import ITEM_SIZES, Tensor

REFUSALS = (ort.OrtError, ValueError, TypeError, KeyError, BufferError, OverflowError)
WATCH = Watch(every=10_000, allowed_mib=64)
dtypes = st.sampled_from([*DTYPES, "complex64", ""])
names = st.sampled_from(["a", "b", "x", "y", "a\0", ""])
lengths = (
    st.sampled_from([0, 1, 1, 2, 3, 3, 5])
    | st.integers(-2, 9)
    | st.sampled_from([2**31, 2**62, -(2**63), 2**64])
)
texts = st.lists(st.binary(max_size=9) | st.sampled_from([b"\0", b"a\0b", "text", None, 1]), max_size=9)


def sessions() -> dict[str, ort.Session]:
    """For each dtype a = first, b = second, of any shape."""
    made = {}
    for dtype in DTYPES:
        nodes = [helper.make_node("Identity", [f"in_{n}"], [n]) for n in "ab"]
        inputs = {f"in_{n}": (dtype, None) for n in "ab"}
        model = build_model(nodes, inputs, dict.fromkeys("ab", (dtype, None)))
        made[dtype] = ort.Session(model.SerializeToString())
    return made


SESSIONS = sessions()


@st.composite
def tensors(draw: st.DrawFn, dtype: str) -> Tensor:
    """Often right, often not."""
    dtype = draw(st.just(dtype) | dtypes)
    shape = draw(st.lists(lengths, max_size=4))
    count = int(np.prod([length if 0 <= length < 10 else 1 for length in shape], dtype=int))
    count += draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1]))
    if dtype == "string" and draw(st.integers(0, 9)):
        data: object = (draw(texts) * (count + 1))[: max(count, 0)]
    else:
        data = as_buffer(draw, draw(st.binary(max_size=64)), max(count, 0) * ITEM_SIZES.get(dtype, 1))
    tensor = Tensor(dtype, (), data)  # type: ignore[arg-type]
    tensor.shape = tuple(shape)
    return tensor


def as_buffer(draw: st.DrawFn, pattern: bytes, size: int) -> object:
    offset = draw(st.sampled_from([0, 0, 1, 2, 4, 8]))
    content = ((pattern + b"\0") * (size + 9))[: offset + size]
    view = memoryview(bytearray(content) if draw(st.booleans()) else content)[offset:]
    how = draw(
        st.sampled_from(["as it is", "as it is", "bytes", "strided", "other format", "list", "closed"])
    )
    if how == "bytes":
        return bytes(view)
    if how == "strided":
        return view[::2]
    if how == "other format" and size % 4 == 0:
        return view.cast("i")
    if how == "list":
        return list(view)
    if how == "closed":
        view.release()
    return view


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, list[str], dict[str, Tensor]]:
    dtype = draw(st.sampled_from(list(DTYPES)))
    inputs = {f"in_{name}": draw(tensors(dtype)) for name in "ab"}
    outputs = ["a", "b"]
    if not draw(st.integers(0, 4)):
        inputs = {draw(names | st.sampled_from(["in_a", "in_b"])): tensor for tensor in inputs.values()}
    if not draw(st.integers(0, 2)):
        outputs = draw(st.lists(names, max_size=3))
    return dtype, outputs, inputs


@given(call=calls())
@settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
def check(call: tuple[str, list[str], dict[str, Tensor]]) -> None:
    """A run ends in an exception, or gives back what it was given."""
    dtype, outputs, inputs = call
    try:
        results = SESSIONS[dtype].run(outputs, inputs)
    except REFUSALS:
        return
    for name, result in zip(outputs, results, strict=True):
        sent = inputs[f"in_{name}"]
        assert (result.dtype, result.shape) == (sent.dtype, sent.shape)
        same = result.data == sent.data if dtype == "string" else bytes(result.data) == bytes(sent.data)
        assert same, (sent.dtype, sent.shape)


def fuzz_one(content: bytes) -> None:
    check.hypothesis.fuzz_one_input(content)
    WATCH.ran()


def main() -> None:
    """Run for as long as the command line says."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    # Long inputs from the start: hypothesis draws a whole call from one.
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-len_control=0", "-timeout=60"]
    artifacts = Path(__file__).parents[2] / "build" / "fuzz"
    artifacts.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={artifacts}/"], fuzz_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
