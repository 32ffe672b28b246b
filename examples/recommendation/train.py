"""Train the two towers on implicit feedback: the softmax over all films of the one that came next.

Usage: python -m examples.recommendation.train (writes build/recommendation/weights.pt)
"""

import numpy as np
import torch
from torch import nn

from examples.recommendation.data import WORK, evaluation, feedback, hit_rate, padded, training
from examples.recommendation.model import BEST, two_towers

_EPOCHS, _BATCH, _RATE, _DECAY = 12, 512, 2e-3, 1e-4


def main() -> None:
    """Train, say how good it is, and write the weights."""
    torch.manual_seed(0)
    model = two_towers()
    pairs = list(training())
    histories = torch.from_numpy(np.concatenate([padded(history) for history, _ in pairs]))
    following = torch.tensor([film for _, film in pairs])
    optimiser = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _RATE, epochs=_EPOCHS, steps_per_epoch=-(-len(pairs) // _BATCH)
    )
    for epoch in range(1, _EPOCHS + 1):
        model.train()
        losses = []
        for chosen in torch.randperm(len(pairs)).split(_BATCH):
            loss = nn.functional.cross_entropy(model.scores(histories[chosen]), following[chosen])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch:2} of {_EPOCHS}: loss {np.mean(losses):.3f}")
    found, popular = _hit_rates(model.eval())
    print(f"hit rate at {BEST}: {found:.3f}; the most watched films, the same for everybody: {popular:.3f}")
    WORK.mkdir(parents=True, exist_ok=True)
    partial = WORK / ".partial-weights.pt"
    torch.save(model.state_dict(), partial)
    partial.rename(WORK / "weights.pt")


@torch.no_grad()
def _hit_rates(model: nn.Module) -> tuple[float, float]:
    """Of the model, and of popularity, on what came next."""
    samples = list(evaluation())
    histories = torch.from_numpy(np.concatenate([sample["history"] for sample in samples]))
    labels = np.stack([sample["labels"] for sample in samples])
    films = len(feedback().titles)
    counts = torch.bincount(torch.tensor([film for _, film in training()]), minlength=films).float()
    unseen = counts.expand(len(samples), -1).scatter(1, histories, -1)
    return hit_rate(model(histories)["items"].numpy(), labels), hit_rate(
        unseen.topk(BEST).indices.numpy(), labels
    )


if __name__ == "__main__":
    main()
