"""Two bundles side by side: what a client of the one would notice if the other answered."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bundle.folder import verify
from bundle.manifest import Manifest, Signature, TensorSpec
from handlers.inference.dataplane import Model
from handlers.inference.errors import InitError, RequestError
from handlers.inference.loading import load
from handlers.inference.settings import Settings
from handlers.inference.tensor import Tensor
from handlers.pretraffic.samples import Sample, read_samples
from handlers.tolerance import allowed_difference, difference

_GOLDEN = "golden.npz"


class Change(NamedTuple):
    """A difference of two signatures; ``breaks``: a client that was written for the first would notice."""

    what: str
    breaks: bool


class OutputDifference(NamedTuple):
    """Of one output over all samples, absolute differences; text counts 1 where it differs.

    ``between`` the two bundles' answers, and how much is ``allowed``, where that is exceeded most; ``first``
    and ``second``: the largest of each to what the original gave when the samples' bundle was made.
    """

    between: float
    allowed: float
    first: float
    second: float


class Answers(NamedTuple):
    """Both bundles on one's golden samples; ``refused``: a sentence for each that had no answer, why."""

    samples: int
    agree: int
    outputs: dict[str, OutputDifference]
    refused: list[str]


class Opened(NamedTuple):
    """A bundle that was verified, and its model; the sentence is why it does not run here."""

    folder: Path
    manifest: Manifest
    model: Model | None
    problem: str


def open_bundle(folder: Path) -> Opened:
    """Verify a bundle and load it as a server would.

    Raises:
        InvalidBundle: a byte of it is not as it was written.
    """
    manifest = verify(folder)
    settings = Settings(model=None, version="1", digest=None, bucket=None, folder=folder, threads=1)
    try:
        return Opened(folder, manifest, load(settings, {}), "")
    except InitError as error:
        return Opened(folder, manifest, None, str(error))


def compare_answers(first: Opened, second: Opened, source: Opened) -> Answers:
    """Both bundles' answers to the golden samples of ``source``, which is one of them."""
    samples = read_samples((source.folder / _GOLDEN).read_bytes())
    if first.model is None or second.model is None:
        return Answers(len(samples), 0, {}, [first.problem or second.problem] * len(samples))
    agree, outputs, refused = 0, dict[str, OutputDifference](), list[str]()
    for sample in samples:
        try:
            one, other = first.model.infer(sample.inputs), second.model.infer(sample.inputs)
        except RequestError as error:
            refused.append(str(error))
            continue
        found = _differences(first.manifest, second.manifest, sample, one, other)
        within = all(output.between <= output.allowed for output in found.values())
        agree += one.keys() == other.keys() and within
        for name, output in found.items():
            outputs[name] = _larger(outputs.get(name, output), output)
    return Answers(len(samples), agree, outputs, refused)


def compare_signatures(first: Signature, second: Signature) -> list[Change]:
    """What is different, for clients of the first."""
    return [
        *_sides("input", first.inputs, second.inputs),
        *_sides("output", first.outputs, second.outputs),
    ]


def _differences(
    first: Manifest, second: Manifest, sample: Sample, one: Mapping[str, Tensor], other: Mapping[str, Tensor]
) -> dict[str, OutputDifference]:
    """By output that both give; each may be off by its own ``golden_error``, so both by the sum, at most."""
    found = {}
    for name in (name for name in one if name in other):
        measured = max(first.golden_error.get(name, 0.0), second.golden_error.get(name, 0.0))
        original = sample.outputs.get(name, one[name])
        found[name] = OutputDifference(
            between=difference(other[name], one[name]),
            allowed=allowed_difference(one[name], measured),
            first=difference(one[name], original),
            second=difference(other[name], original),
        )
    return found


def _larger(one: OutputDifference, other: OutputDifference) -> OutputDifference:
    """Two in one: the sample nearest to what is allowed or farthest out, and the largest to the original."""
    worst = max(one, other, key=lambda found: found.between - found.allowed)
    return worst._replace(first=max(one.first, other.first), second=max(one.second, other.second))


def _sides(side: str, first: Sequence[TensorSpec], second: Sequence[TensorSpec]) -> Iterator[Change]:
    before, after = ({spec.name: spec for spec in specs} for specs in (first, second))
    for name in before.keys() - after.keys():
        yield Change(f"{side} '{name}' is gone", breaks=True)
    for name in after.keys() - before.keys():
        # An input that nobody sends; an output more, and TensorFlow Serving's answer has another form.
        yield Change(f"{side} '{name}' {shown(after[name])} is new", breaks=True)
    for name in (name for name in before if name in after):
        old, new = before[name], after[name]
        if (old.dtype, old.shape) != (new.dtype, new.shape):
            fits = old.dtype == new.dtype and _fits(side, old.shape, new.shape)
            yield Change(f"{side} '{name}' was {shown(old)}, is {shown(new)}", breaks=not fits)


def _fits(side: str, old: Sequence[int | str], new: Sequence[int | str]) -> bool:
    """Whether an input still takes all that it took, or an output still gives no other than it gave."""
    wider, narrower = (new, old) if side == "input" else (old, new)
    if len(wider) != len(narrower):
        return False
    # Axes of one name are equal in one request, so one name may not stand for what differed.
    named: dict[str, int | str] = {}
    for have, takes in zip(narrower, wider, strict=True):
        if isinstance(takes, int):
            if have != takes:
                return False
        elif named.setdefault(takes, have) != have:
            return False
    return True


def shown(spec: TensorSpec) -> str:
    """A tensor's dtype and shape as people read them."""
    return f"{spec.dtype} [{', '.join(map(str, spec.shape))}]"
