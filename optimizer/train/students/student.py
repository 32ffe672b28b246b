"""A torch module as a function of all inputs by name to all outputs by name."""

import inspect

from torch import Tensor, nn

from bundle.manifest import Signature
from optimizer.train.students.lessons import Tensors, takes_many


class Student(nn.Module):
    """Whatever the module's own way of taking and giving tensors.

    Inputs go by name where its ``forward`` has all of their names, else in their order. It may return a
    tensor, several in the order of the outputs, or a dict by name.
    """

    def __init__(self, module: nn.Module, signature: Signature) -> None:
        super().__init__()
        self.module = module
        self.signature = signature
        self.inputs = [spec.name for spec in signature.inputs]
        self.outputs = [spec.name for spec in signature.outputs]
        parameters = inspect.signature(module.forward).parameters.values()
        self._by_name = set(self.inputs) <= {one.name for one in parameters} or any(
            one.kind is one.VAR_KEYWORD for one in parameters
        )

    @property
    def takes_many(self) -> bool:
        """Whether samples can be put together along the first axis of every input and output."""
        return takes_many(self.signature)

    def forward(self, values: Tensors) -> Tensors:
        """The outputs."""
        found = (
            self.module(**values) if self._by_name else self.module(*(values[name] for name in self.inputs))
        )
        if isinstance(found, dict):
            return {name: found[name] for name in self.outputs}
        several = (found,) if isinstance(found, Tensor) else tuple(found)
        return dict(zip(self.outputs, several, strict=True))
