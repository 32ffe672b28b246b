"""A recommender by neural matrix factorisation (NeuMF, He et al. 2017): embedding tables and an MLP, 9 MB.

Trained here, with a fixed seed, on generated implicit feedback: users and items with hidden tastes, popular
items liked more often. Data: a user and 200 items to rank. Metric: how many of the original's ten best items
are among the model's ten best.

Usage: python -m benchmarks.models.recommender FOLDER (in an environment with torch)
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.samples import Array, write_sets

_USERS, _ITEMS, _TASTES, _WIDTH = 10_000, 5_000, 12, 64
_RANKED, _BEST = 200, 10
_STEPS, _BATCH, _UNLIKED = 400, 2048, 3


def overlap(outputs: Sequence[Array], originals: Sequence[Array]) -> float:
    """The share of the original's best items that are kept, over all samples."""
    kept = [
        len(set(np.argsort(-output.ravel())[:_BEST]) & set(np.argsort(-original.ravel())[:_BEST])) / _BEST
        for output, original in zip(outputs, originals, strict=True)
    ]
    return float(np.mean(kept))


def main(folder: Path) -> None:
    """Train, write the model and the sets."""
    _train(folder / "model.onnx")
    write_sets(folder, _questions(), {"calibration": 64, "evaluation": 400, "report": 400})


def _questions() -> Iterator[dict[str, Array]]:
    random = np.random.default_rng(17)
    while True:
        yield {
            "user": random.integers(0, _USERS, 1),
            "items": random.choice(_ITEMS, _RANKED, replace=False),
        }


class _Feedback:
    """Who likes what: hidden tastes and popularity decide by how much chance."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(16)
        self.users = self.random.normal(size=(_USERS, _TASTES)).astype(np.float32)
        self.items = self.random.normal(size=(_ITEMS, _TASTES)).astype(np.float32)
        self.popularity = self.random.gumbel(size=_ITEMS).astype(np.float32)

    def batch(self) -> tuple[Array, Array, Array]:
        """Users, items, and whether each pair is one of the likes or drawn by chance."""
        users = self.random.integers(0, _USERS, _BATCH)
        offered = self.random.integers(0, _ITEMS, (_BATCH, 20))
        appeal = (self.users[users][:, np.newaxis] * self.items[offered]).sum(-1)
        appeal += self.popularity[offered] + self.random.gumbel(size=offered.shape)
        liked = offered[np.arange(_BATCH), appeal.argmax(axis=1)]
        other = self.random.integers(0, _ITEMS, _BATCH * _UNLIKED)
        labels = np.repeat([1, 0], [_BATCH, _BATCH * _UNLIKED]).astype(np.float32)
        return np.concatenate([users, np.repeat(users, _UNLIKED)]), np.concatenate([liked, other]), labels


def _train(target: Path) -> None:
    import torch  # noqa: PLC0415 - the metric above is also imported where there is no torch
    from torch import nn  # noqa: PLC0415

    torch.manual_seed(0)
    torch.set_num_threads(1)

    class NeuMF(nn.Module):
        """One user and many items -> a score for each item."""

        def __init__(self) -> None:
            super().__init__()
            self.user = nn.ModuleList(nn.Embedding(_USERS, _WIDTH) for _ in range(2))
            self.item = nn.ModuleList(nn.Embedding(_ITEMS, _WIDTH) for _ in range(2))
            for table in (*self.user, *self.item):
                nn.init.normal_(table.weight, std=0.05)
            sizes = (2 * _WIDTH, 256, 128, 64)
            layers = [
                part for inner, outer in pairwise(sizes) for part in (nn.Linear(inner, outer), nn.ReLU())
            ]
            self.tower = nn.Sequential(*layers)
            self.score = nn.Linear(64 + _WIDTH, 1)

        def forward(self, user: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
            user = user.expand(items.shape[0])
            product = self.user[0](user) * self.item[0](items)
            deep = self.tower(torch.cat([self.user[1](user), self.item[1](items)], 1))
            return self.score(torch.cat([product, deep], 1)).squeeze(1)

    network, feedback = NeuMF(), _Feedback()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(_STEPS):
        users, items, labels = map(torch.from_numpy, feedback.batch())
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(users, items), labels).backward()
        optimiser.step()
    torch.onnx.export(
        network.eval(),
        (torch.tensor([1]), torch.arange(_RANKED)),
        str(target),
        input_names=["user", "items"],
        output_names=["scores"],
        dynamic_axes={"items": {0: "count"}, "scores": {0: "count"}},
        opset_version=17,
        dynamo=False,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
