"""Quantisation-aware training of your own torch module, in your own loop.

``prepare_qat`` makes a module's Linear and Conv layers compute as int8 does, ``MagnitudePruning`` sets more
and more of their weights to zero, and ``convert`` gives the plain module back, its weights on the grid on
which ``optimize`` finds them again. docs/training.md shows it on one screen.

Jacob and others: "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", 2018. Zhu, Gupta: "To prune, or not to prune: exploring the efficacy of pruning for model
compression", 2017.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bundle.manifest import Target
from optimizer.quantize.weights import LARGEST, LARGEST_PAIR, channels_last_order, quantize_channels
from optimizer.train.operators import straight_through

Module = TypeVar("Module", bound=nn.Module)

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LEVELS = 255.0
_SMALLEST = 1e-30


def prepare_qat(model: Module, target: Target = "x86_64") -> Module:
    """Make every Linear and Conv layer of ``model``, in place, compute as its int8 kernel would.

    Weights are rounded to s8 with a scale by output channel, inputs to u8 in the range of each sample;
    gradients pass as if they were not. For ``x86_64``, where AVX2 may have to add two products into 16 bits,
    no two neighbouring weights exceed 128 together. Grouped convolutions stay float, as in ``optimize``. Call
    it before the optimiser is made, or give that the parameters again.

    Raises:
        ValueError: there is no such layer, or it is prepared already.
    """
    layers = [layer for layer in _layers(model) if getattr(layer, "groups", 1) == 1]
    if not layers:
        raise ValueError("the model has no Linear or Conv layer of one group: there is nothing to quantise.")
    if any(isinstance(one, FakeQuantize) for layer in layers for one in _parametrizations(layer)):
        raise ValueError("the model is prepared already: train it, or call convert first.")
    for layer in layers:
        parametrize.register_parametrization(layer, "weight", FakeQuantize(saturates=target == "x86_64"))
        layer.register_forward_pre_hook(_round_input)
    return model


def convert(model: Module) -> Module:
    """Make ``model``, in place, plain again: as it was built, with the weights that training gave.

    Those of prepared layers are whole multiples of their channel's scale, so that ``optimize`` rounds them to
    what was trained; what pruning set to zero is zero. Inputs are no longer rounded.
    """
    for layer in _layers(model):
        several = _parametrizations(layer)
        rounded = [one for one in several if isinstance(one, FakeQuantize)]
        if several:
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        if rounded:
            _forget_hook(layer)
            with torch.no_grad():
                layer.weight.copy_(_on_the_grid(layer.weight, saturates=rounded[0].saturates))
    return model


@dataclass(frozen=True)
class PolynomialDecay:
    """The share of zeros by step: from ``initial`` at ``begin`` to ``final`` at ``end``, quickly at first.

    A new share is set every ``frequency`` steps; ``power`` 3 as Zhu and Gupta have it.
    """

    final: float
    begin: int
    end: int
    initial: float = 0.0
    power: float = 3.0
    frequency: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.initial <= self.final < 1:
            raise ValueError(
                f"shares of zeros go from 0 up to less than 1, not from {self.initial} to {self.final}."
            )
        if not 0 <= self.begin < self.end or self.frequency < 1:
            raise ValueError(
                f"pruning from step {self.begin} to {self.end}, every {self.frequency}: it has to end "
                "after it begins, and every step at most."
            )

    def share(self, step: int) -> float:
        """Of zeros, after so many steps."""
        left = 1 - min(max((step - self.begin) / (self.end - self.begin), 0), 1)
        return self.final + (self.initial - self.final) * left**self.power if step >= self.begin else 0.0


class MagnitudePruning:
    """Sets the smallest weights of each Linear and Conv layer to zero, more of them from step to step.

    Make it before the optimiser, and call ``step`` after each of the optimiser's. It goes together with
    ``prepare_qat``, in either order.
    """

    def __init__(self, model: nn.Module, schedule: PolynomialDecay, smallest: int = 256) -> None:
        """Layers of fewer than ``smallest`` weights keep all of them."""
        self.schedule = schedule
        self._step = 0
        self._masks: list[tuple[nn.Module, Mask]] = []
        for layer in _layers(model):
            if layer.weight.numel() >= smallest:
                mask = Mask(layer.weight)
                parametrize.register_parametrization(layer, "weight", mask)
                self._masks.append((layer, mask))
        if not self._masks:
            raise ValueError(f"the model has no Linear or Conv layer of {smallest} weights: lower smallest.")

    @torch.no_grad()
    def step(self) -> None:
        """One step of training was done."""
        self._step += 1
        schedule = self.schedule
        if self._step < schedule.begin or self._step > schedule.end:
            return
        if (self._step - schedule.begin) % schedule.frequency and self._step != schedule.end:
            return
        for layer, mask in self._masks:
            weight = layer.parametrizations.weight.original.abs()
            zeros = round(schedule.share(self._step) * weight.numel())
            mask.kept.fill_(1)
            mask.kept.view(-1)[weight.view(-1).argsort()[:zeros]] = 0


class Mask(nn.Module):
    """The parametrization of a pruned weight."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", torch.ones_like(weight))

    def forward(self, weight: Tensor) -> Tensor:
        """What is kept of it; a weight that is masked gets no gradient."""
        return weight * self.kept


class FakeQuantize(nn.Module):
    """The parametrization of a weight [output channels, ...] that is rounded to s8."""

    def __init__(self, *, saturates: bool) -> None:
        super().__init__()
        self.saturates = saturates

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as int8 has it; gradients pass as if it were exact."""
        rows = weight.flatten(1)
        scale = _scale(rows.detach(), weight.shape[1:], saturates=self.saturates)
        whole = (rows.detach() / scale).round()
        return straight_through(rows, whole * scale).reshape(weight.shape)


def _scale(rows: Tensor, shape: torch.Size, *, saturates: bool) -> Tensor:
    """As ``quantize_channels`` chooses it: [channels, 1]."""
    largest = rows.abs().amax(1) / LARGEST
    if saturates and rows.shape[1] > 1:
        walks = [torch.arange(rows.shape[1])]
        if len(shape) > 1:
            walks.append(torch.from_numpy(channels_last_order(shape)))
        for walk in walks:
            walked = rows[:, walk.to(rows.device)].abs()
            largest = largest.maximum((walked[:, 1:] + walked[:, :-1]).amax(1) / LARGEST_PAIR)
    return torch.where(largest > _SMALLEST, largest, torch.ones_like(largest))[:, None]


def _on_the_grid(weight: Tensor, *, saturates: bool) -> Tensor:
    """Whole multiples of the scale; pairs that rounding pushed beyond the limit are brought back."""
    rows = weight.flatten(1).cpu().double().numpy()
    orders = [channels_last_order(weight.shape[1:])] if weight.ndim > 2 else []
    stored, scale = quantize_channels(rows, orders, saturates=saturates)
    return torch.from_numpy(stored * scale[:, None]).to(weight).reshape(weight.shape)


def _round_input(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """To u8, between the smallest and the largest value of each sample, as DynamicQuantizeLinear does."""
    data = inputs[0]
    flat = data.detach().flatten(1) if data.ndim > 1 else data.detach()[None]
    low, high = flat.amin(1).clamp(max=0), flat.amax(1).clamp(min=0)
    scale = ((high - low) / _LEVELS).clamp(min=_SMALLEST).reshape(-1, *[1] * (data.ndim - 1))
    return straight_through(data, (data.detach() / scale).round() * scale), *inputs[1:]


def _layers(model: nn.Module) -> Iterator[nn.Module]:
    return (module for module in model.modules() if isinstance(module, _LAYERS))


def _parametrizations(layer: nn.Module) -> list[nn.Module]:
    return list(layer.parametrizations.weight) if parametrize.is_parametrized(layer, "weight") else []


def _forget_hook(layer: nn.Module) -> None:
    # Not by its handle, which a copy of the module would not have.
    for key, hook in list(layer._forward_pre_hooks.items()):
        if hook is _round_input:
            del layer._forward_pre_hooks[key]
