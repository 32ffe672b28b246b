"""examples/pytorch's convolution net for digits, 0.6 MB: what tools for convolutions in torch get.

Trained on half of the digits, which are also what may be trained on later. Metric: accuracy on the others.

Usage: python -m benchmarks.models.digits FOLDER (in the project's environment, after make setup-sources)
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import nn

from benchmarks.environments import BENCH
from benchmarks.samples import write_sets, write_training
from examples.pytorch import digits

_WEIGHTS = BENCH / "models" / "digits" / "weights" / "digits.safetensors"
_SETS = {"calibration": 200, "evaluation": 450, "report": 448}


class Logits(nn.Module):
    """A network with one output: float32 [batch, 1, 8, 8] to [batch, 10]."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.layers(image)


def main(folder: Path) -> None:
    """Train, write the model and the sets."""
    digits.main(str(_WEIGHTS.parent))
    torch.onnx.export(
        make().eval(),
        (torch.ones(2, 1, 8, 8),),
        str(folder / "model.onnx"),
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=17,
        dynamo=False,
    )
    data = load_digits()
    images = (data.images[:, None] / 16).astype(np.float32)
    training, rest = np.array_split(
        np.random.default_rng(1).permutation(len(images)), 2
    )  # as the example does
    count = _SETS["calibration"]
    samples = [{"image": images[[at]], "labels": data.target[[at]]} for at in [*training, *rest]]
    write_sets(folder, [*samples[:count], *samples[len(training) :]], _SETS)
    write_training(folder, samples[count : len(training)])


def make() -> nn.Module:
    """The torch module that became the graph."""
    net = digits.make()
    net.load_state_dict(load_file(_WEIGHTS))
    return Logits(net.layers)


def smaller() -> nn.Module:
    """A student, as a user may make one: half of the channels and neurons, untrained."""
    layers = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    return Logits(layers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
