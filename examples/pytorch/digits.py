"""A small convolution net for handwritten digits: `examples.pytorch.digits:make` is what `optimize` is told.

Usage: python -m examples.pytorch.digits FOLDER (trains, and writes weights and data there)
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

CALIBRATION, EPOCHS = 200, 30


class Digits(nn.Module):
    """Pictures float32 [batch, 1, 8, 8] of values from 0 to 1 to logits [batch, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(1024, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """The names of parameters and outputs are those of the bundle's signature."""
        return {"logits": self.layers(image)}


def make() -> nn.Module:
    """The network without its weights, which --state-dict has."""
    return Digits()


def train(images: np.ndarray, labels: np.ndarray) -> nn.Module:
    """A trained network; the same on every run."""
    torch.manual_seed(0)
    net, order = make(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for _ in range(EPOCHS):
        for part in np.array_split(order.permutation(len(images)), len(images) // 50):
            logits = net(torch.from_numpy(images[part]))["logits"]
            nn.functional.cross_entropy(logits, torch.from_numpy(labels[part])).backward()
            optimizer.step()
            optimizer.zero_grad()
    return net.eval()


def main(folder: str) -> None:
    """Train on half of the data; the other half is for `optimize`."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    data = load_digits()
    images, labels = (data.images[:, None] / 16).astype(np.float32), data.target
    order = np.random.default_rng(1).permutation(len(images))
    training, rest = np.array_split(order, 2)
    net = train(images[training], labels[training])
    save_file(net.state_dict(), out / "digits.safetensors")
    np.savez(out / "calibration.npz", image=images[training[:CALIBRATION]])
    np.savez(out / "evaluation.npz", image=images[rest], labels=labels[rest])
    with torch.no_grad():
        right = net(torch.from_numpy(images[rest]))["logits"].argmax(1).numpy() == labels[rest]
    print(f"{right.mean():.4f} of {len(rest)} unseen digits are right; all is in {out}")


if __name__ == "__main__":
    main(sys.argv[1])
