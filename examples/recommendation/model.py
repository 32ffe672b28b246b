"""Two towers (Covington et al. 2016; Yi et al. 2019): one makes a vector of a history, one of each film."""

import torch
from torch import Tensor, nn

from examples.recommendation.data import LONGEST, feedback

BEST = 20
_WIDTH, _WIDER = 128, 256


class TwoTowers(nn.Module):
    """The films whose vectors are nearest to that of the history, without those that are in it."""

    def __init__(self, films: int) -> None:
        super().__init__()
        self.watched = nn.Embedding(films + 1, _WIDTH, padding_idx=0)
        self.weight = nn.Parameter(torch.zeros(LONGEST))  # of each place in the history
        self.user = nn.Sequential(
            nn.Linear(_WIDTH, _WIDER), nn.ReLU(), nn.Dropout(0.3), nn.Linear(_WIDER, _WIDTH)
        )
        self.film = nn.Linear(_WIDTH, films + 1)  # its rows are the films' vectors

    def scores(self, history: Tensor) -> Tensor:
        """Of each film [people, films + 1]; films that were watched, and none, come last."""
        place = self.weight.exp() * (history > 0)
        mean = (self.watched(history) * place.unsqueeze(-1)).sum(1) / place.sum(1, keepdim=True)
        scores = self.film(mean + self.user(mean))
        return scores.scatter(1, history, -1e4)

    def forward(self, history: Tensor) -> dict[str, Tensor]:
        """``history``: int64 [people, 50]; to ``items``, int64, and ``scores``, float32 [people, 20]."""
        best = self.scores(history).topk(BEST, dim=1)
        return {"items": best.indices, "scores": best.values}


def two_towers() -> TwoTowers:
    """The model without its weights, as ``optimize module:factory`` takes it."""
    return TwoTowers(len(feedback().titles) - 1)
