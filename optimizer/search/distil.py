"""What is cut of a graph and then distilled: from which graph, and for how long."""

import time
from dataclasses import dataclass
from pathlib import Path

from bundle.manifest import Scalar
from optimizer.evaluate import Scores
from optimizer.job import Job
from optimizer.runtime import optimised_session
from optimizer.search.base import Base
from optimizer.search.build import Builder
from optimizer.search.changes import choose_changes
from optimizer.search.held_out import metric_held_out

_LEFT = 2 / 3  # of a drop, once it is trained


@dataclass(frozen=True)
class Cut:
    """A graph without so many residual ``blocks``, and without ``share`` of the units of every group.

    ``scores``: on selection samples, before it is trained.
    """

    data: bytes
    scores: Scores
    blocks: int = 0
    share: float = 0.0

    @property
    def drop(self) -> float:
        """Before it is trained."""
        return self.scores.drop

    @property
    def expected_drop(self) -> float:
        """Once it is trained, with the standard error that the bound asks for (``choose.Margin``).

        Minutes of distilling take a third to two fifths of a drop away (docs/optimize.md), and less of the
        error: where answers differ they still do.
        """
        return _LEFT * self.scores.drop + self.scores.error

    @property
    def word(self) -> str:
        """How much is gone."""
        blocks, share = f"{self.blocks} blocks", f"{self.share:.0%}"
        return " and ".join(word for word, gone in ((blocks, self.blocks), (share, self.share)) if gone)

    @property
    def parameters(self) -> dict[str, Scalar]:
        """Of the pass."""
        gone: dict[str, Scalar] = {"blocks": self.blocks, "share": self.share}
        return {name: much for name, much in gone.items() if much}


def float_base(job: Job, builder: Builder) -> Base:
    """The graph that is cut: cleaned, and changed as far as that is for speed."""
    return builder.base(tuple(change for change in choose_changes(job, builder) if "smooth" not in change))


def untrained(job: Job, cut: bytes) -> Scores:
    """Of what was cut, on selection samples."""
    return job.judge.score(optimised_session(cut), job.selection)


def judged(job: Job, data: bytes, blocks: int = 0, share: float = 0.0) -> Cut:
    """What was cut, told with its drop."""
    cut = Cut(data, untrained(job, data), blocks, share)
    job.tell(f"pruning, {cut.word} gone: drop {cut.drop:.4f} untrained")
    return cut


def distilled(
    job: Job, models: tuple[bytes, bytes], started: float, seconds: float, checkpoint: Path
) -> bytes:
    """Of an original and what was cut of it from ``started`` on, the second one trained towards the first.

    Raises:
        CannotTrain: one sentence says why it stays as it was.
    """
    from optimizer.train.finetune import Settings, finetune  # noqa: PLC0415 - torch is there for those who train only

    settings = Settings(
        # What was cut and refitted took its part of the time, but never most of it.
        until=min(max(started + seconds, time.monotonic() + seconds / 2), job.ends),
        seed=job.options.seed,
        checkpoint=checkpoint,
        labels_weight=job.options.labels_weight,
        labelled=job.outputs[0],
        metric=metric_held_out(job),
    )
    return finetune(*models, job.tuning, settings, job.tell).model
