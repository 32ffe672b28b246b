"""How far two answers to one request agree.

Scores of classes agree where the largest is at the same place. Everything else agrees where it is as near as
a version that is deployed must be to the bundle's golden samples (handlers/tolerance.py).
"""

import math
from typing import NamedTuple

from bundle.served import TensorSpec
from handlers.direct import Answer
from handlers.inference.dataplane import Model, is_dynamic
from handlers.inference.messages import Request
from handlers.inference.routes import unquoted
from handlers.inference.tensor import Tensor
from handlers.shadow.answers import Unreadable, read_outputs
from handlers.tolerance import allowed_difference, difference, numbers


class Comparison(NamedTuple):
    """What two answers have in common.

    ``agreement``: from 0 to 1, the mean over the outputs: of one with scores the share of its rows whose
    largest is at the same place, of another 1 if it is within the tolerance, else 0. ``difference``: the
    largest absolute one, over the largest absolute value of that output in the first answer; of the floats.
    None: there are none, or not as many.
    """

    agreement: float
    difference: float | None


class NotComparable(Exception):
    """There is nothing to compare; one sentence without a payload says why."""


def compare(model: Model, request: Request, live: Answer, own: Answer) -> Comparison:
    """The answer that was given, and that of ``model``.

    Args:
        model: the second version.
        request: what both answered, without its body.
        live: the answer of the version that serves.
        own: the second version's answer.

    Raises:
        NotComparable: the second version gives other outputs, or an answer is none.
    """
    route = unquoted(request.path).rpartition("/")[2].rpartition(":")[2]
    if route == "transform":  # the user's own: nobody else knows what is in it
        return Comparison(float(live.body == own.body), None)
    try:
        wanted, found = (read_outputs(model, route, answer) for answer in (live, own))
    except Unreadable as error:
        raise NotComparable(f"{error}: the two versions are of different kinds") from None
    for name, tensor in wanted.items():
        if name not in found:
            raise NotComparable(f"it lacks the output '{name}'")
        if found[name].dtype != tensor.dtype:
            raise NotComparable(f"its output '{name}' is {found[name].dtype}, and not {tensor.dtype}")
    differences = {name: difference(found[name], tensor) for name, tensor in wanted.items()}
    shares = [
        _agreement(model, tensor, found[name], name, differences[name]) for name, tensor in wanted.items()
    ]
    relative = [differences[name] / _scale(tensor) for name, tensor in wanted.items() if _is_float(tensor)]
    largest = max(relative, default=math.inf)
    return Comparison(sum(shares) / len(shares), largest if math.isfinite(largest) else None)


def _agreement(model: Model, live: Tensor, own: Tensor, name: str, found: float) -> float:
    spec = model.outputs.get(name) or TensorSpec(name, live.dtype, [-1, *live.shape[1:]])
    if _is_scores(model, spec, live) and live.shape == own.shape:
        return _same_classes(live, own)
    errors = model.manifest.golden_error
    measured = errors[name] if name in errors else max(errors.values(), default=0.0)
    return float(found <= allowed_difference(live, measured))


def _is_scores(model: Model, spec: TensorSpec, tensor: Tensor) -> bool:
    """Whether the last axis holds a score for each class.

    Where the manifest has no class labels, that is any fixed number of floats, but one.
    """
    if not (_is_float(tensor) and tensor.size and spec.shape):
        return False
    labels, classes = len(model.manifest.class_labels), tensor.shape[-1]
    return classes == labels if labels else classes > 1 and not is_dynamic(spec.shape[-1])


def _same_classes(live: Tensor, own: Tensor) -> float:
    classes = live.shape[-1]
    one, other = numbers(live), numbers(own)
    rows = range(0, live.size, classes)
    same = sum(_largest(one[row : row + classes]) == _largest(other[row : row + classes]) for row in rows)
    return same / len(rows)


def _largest(scores: tuple[float, ...]) -> int:
    return max(
        range(len(scores)), key=lambda place: -math.inf if math.isnan(scores[place]) else scores[place]
    )


def _scale(tensor: Tensor) -> float:
    return max((abs(value) for value in numbers(tensor) if math.isfinite(value)), default=0.0) or 1.0


def _is_float(tensor: Tensor) -> bool:
    return tensor.dtype.startswith("float")
