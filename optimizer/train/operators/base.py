"""The table of operators, and what each is told beside its inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

Function = Callable[..., Tensor | tuple[Tensor, ...]]

OPERATORS: dict[tuple[str, str], Function] = {}
"""By domain and type: ``function(call, *inputs)``, where an input that is left out is None."""

MICROSOFT = "com.microsoft"


@dataclass
class Rounding:
    """How values are rounded to whole numbers; gradients pass as if they were not.

    ``dropped``: the share of activations that are left unrounded, by chance (Wei, Gong, Li, Liu, Yu: "QDrop:
    Randomly Dropping Quantization for Extremely Low-bit Post-Training Quantization", 2022).
    """

    dropped: float = 0.0
    dice: torch.Generator = field(default_factory=torch.Generator)

    def __call__(self, exact: Tensor) -> Tensor:
        """An activation, rounded half to even as ONNX Runtime does."""
        rounded = straight_through(exact, exact.round())
        if self.dropped == 0.0:
            return rounded
        dice = torch.rand(exact.shape, generator=self.dice)
        return torch.where(dice < self.dropped, exact, rounded)


def straight_through(exact: Tensor, rounded: Tensor) -> Tensor:
    """The value of ``rounded`` with the gradient of ``exact`` (Bengio, Leonard, Courville, 2013)."""
    return exact + (rounded - exact).detach()


@dataclass(frozen=True)
class Call:
    """One node, and what holds for all nodes of a run."""

    node: ir.Node
    rounding: Rounding
    samples: int  # in the batch

    def number(self, name: str, default: float) -> float:
        """A float attribute."""
        return self.node.attributes.get_float(name, default)

    def whole(self, name: str, default: int) -> int:
        """An integer attribute."""
        return self.node.attributes.get_int(name, default)

    def wholes(self, name: str, default: Sequence[int] = ()) -> list[int]:
        """An attribute of several integers."""
        return list(self.node.attributes.get_ints(name, default))

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        return self.node.attributes.get_string(name, default)

    def tensor(self, name: str) -> Tensor | None:
        """An attribute that is a tensor."""
        attribute = self.node.attributes.get(name)
        return None if attribute is None else as_tensor(attribute.as_tensor().numpy())

    @property
    def opset(self) -> int:
        """The version of the standard operators."""
        graph = self.node.graph
        model = graph.opset_imports if graph is not None else {}
        return model.get("", 1)


def operator(*op_types: str, domain: str = "") -> Callable[[Function], Function]:
    """Enter a function into the table."""

    def enter(function: Function) -> Function:
        for op_type in op_types:
            OPERATORS[domain, op_type] = function
        return function

    return enter


def as_tensor(array: "np.ndarray[Any, Any]") -> Tensor:
    """A copy of an array as a tensor, on the device that is torch's default now."""
    return torch.from_numpy(np.array(array)).to(torch.get_default_device())


def integers(tensor: Tensor) -> list[int]:
    """What a shape, axes or bounds are, as numbers."""
    return [int(number) for number in tensor.reshape(-1).tolist()]


DTYPES = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.INT8: torch.int8,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.BOOL: torch.bool,
}
