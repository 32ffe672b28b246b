"""A request's rows in pieces, where that is quicker than all of them in one run.

Of many rows the tensors between the model's nodes leave the CPU's caches. 32 pictures of text (46,080 values
each) take 0.6 of the time in pieces of 2, and half the memory; 32 sentences of 128 tokens 0.8 in pieces of 4.
For 16 tokens, or 64 numbers, larger pieces are better. `make bench-rows` measures it.

The size of a piece depends on the request alone, not on timings, so that equal requests have equal answers.
Imported with the first request of many rows. `coldpress serve` joins and splits requests by it as well.
"""

from handlers.inference.description.golden import golden_sample
from handlers.inference.errors import Late, RequestError
from handlers.inference.ort import OrtError
from handlers.inference.tensor import ITEM_SIZES, STRUCT_CODES, Tensor, element_count

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from handlers.inference.dataplane import Model

    Tensors = dict[str, Tensor]

# A piece has so many elements of input, but no fewer rows than this. A model that does little with each
# element loses at most what a run costs, about as long as it takes to read so many elements.
_ELEMENTS = 1024
LEAST_ROWS = 2
_LONGEST_SAMPLE = 4 * 1024**2
# Of the largest value. In one run equal rows are rounded alike; in runs of other sizes other kernels round
# elsewhere, which int8 makes a step of. Rows that share a sum or a softmax differ by half.
_WITHIN_A_RUN = 1e-4
_BETWEEN_RUNS = 0.02
# Scales that int8 takes from each run move an answer by a fifth.
_BESIDE_ANOTHER = 0.35


def piece_sizes(inputs: "Mapping[str, Tensor]") -> list[int]:
    """How many rows each piece has, all but the last as many."""
    rows = rows_of(inputs)
    width = sum(element_count(tensor.shape[1:]) for tensor in inputs.values())
    size = max(LEAST_ROWS, _ELEMENTS // max(width, 1))
    whole, rest = divmod(rows, size)
    return [size] * whole + ([rest] if rest else [])


def rows_of(inputs: "Mapping[str, Tensor]") -> int:
    """How many there are; 1 of scalars."""
    return next((tensor.shape[0] for tensor in inputs.values() if tensor.shape), 1)


def answers_rows_alone(model: "Model", run: "Callable[[Tensors], Tensors]") -> bool:
    """Whether rows are samples and a row's answer is its own, as far as the golden sample can tell.

    It must have one row: where the first axis is time, samples have more. Twice in one run, both rows must be
    answered alike, and as it is alone; beside another row (its own values backwards) about so. Int8 with
    scales that are taken from each run passes: in pieces, it answers more as it was judged, which was alone.

    Args:
        model: whose bundle has the sample.
        run: all outputs of one run.

    Raises:
        Late: the run was given up.
    """
    sample = golden_sample(model, _LONGEST_SAMPLE)
    if sample is None or any(tensor.shape[0] != 1 for tensor in sample.values()):
        return False
    twice, mixed = join([sample, sample]), join([sample, _backwards(sample)])
    if twice is None or mixed is None:
        return False
    try:
        alone, both, beside = run(sample), run(twice), run(mixed)
    except Late:
        raise  # it says nothing of the rows
    except (RequestError, OrtError):
        return False
    if any(tensor.shape[:1] != (2,) for tensor in (*both.values(), *beside.values())):
        return False
    (first, second), (third, _) = split(both, [1, 1]), split(beside, [1, 1])
    return all(
        _is_near(first[name], second[name], _WITHIN_A_RUN)
        and _is_near(first[name], tensor, _BETWEEN_RUNS)
        and _is_near(third[name], tensor, _BESIDE_ANOTHER)
        for name, tensor in alone.items()
    )


def join(parts: "Sequence[Mapping[str, Tensor]]") -> "Tensors | None":
    """The rows of all, by name; None where they differ in another axis than the first, or have none."""
    joined: Tensors = {}
    for name, first in parts[0].items():
        tensors = [part[name] for part in parts]
        if any(not tensor.shape or tensor.shape[1:] != first.shape[1:] for tensor in tensors):
            return None
        rows = sum(tensor.shape[0] for tensor in tensors)
        if isinstance(first.data, list):
            data: memoryview | list[bytes] = [text for tensor in tensors for text in tensor.data]  # type: ignore[misc]
        else:
            data = memoryview(b"".join(tensor.data for tensor in tensors))  # type: ignore[misc]
        joined[name] = Tensor(first.dtype, (rows, *first.shape[1:]), data)
    return joined


def split(tensors: "Mapping[str, Tensor]", sizes: "Sequence[int]") -> "list[Tensors]":
    """Undo ``join``: parts with so many rows each, which together are all."""
    parts: list[Tensors] = [{} for _ in sizes]
    for name, tensor in tensors.items():
        width = len(tensor.data) // sum(sizes)
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            data = tensor.data[start * width : (start + size) * width]
            part[name] = Tensor(tensor.dtype, (size, *tensor.shape[1:]), data)
            start += size
    return parts


def _backwards(sample: "Mapping[str, Tensor]") -> "Tensors":
    """Another row, of values that the model takes."""
    return {name: Tensor(tensor.dtype, tensor.shape, _reversed(tensor)) for name, tensor in sample.items()}


def _reversed(tensor: Tensor) -> "memoryview | list[bytes]":
    if isinstance(tensor.data, list):
        return tensor.data[::-1]
    size = ITEM_SIZES[tensor.dtype]
    return memoryview(b"".join(tensor.data[i : i + size] for i in range(len(tensor.data) - size, -1, -size)))


def _is_near(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    if found.shape != expected.shape:
        return False
    if found.data == expected.data:
        return True
    if isinstance(found.data, list) or isinstance(expected.data, list) or "float" not in found.dtype:
        return False
    pairs = zip(_floats(found), _floats(expected), strict=True)
    scale = max(map(abs, _floats(expected)), default=0.0) or 1.0
    # NaN is as far as can be.
    return all(abs(one - other) <= tolerance * scale for one, other in pairs)


def _floats(tensor: Tensor) -> "Sequence[float]":
    from struct import unpack  # noqa: PLC0415 - most answers are equal to the last bit

    return unpack(f"<{tensor.size}{STRUCT_CODES[tensor.dtype]}", tensor.data)  # type: ignore[arg-type]
