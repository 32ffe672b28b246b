"""What the user's metric makes of samples that training holds out, to be told while it goes on."""

from typing import TYPE_CHECKING, Any

from optimizer.job import Job
from optimizer.runtime import Array

if TYPE_CHECKING:
    from optimizer.train.distil import Metric

Outputs = dict[str, Array]


def metric_held_out(job: Job) -> "Metric | None":
    """None where calibration and evaluation are not labelled alike."""
    is_labelled = job.evaluation[0].label is not None
    if is_labelled != (job.calibration[0].label is not None):
        return None

    def known(answers: list[Outputs], originals: list[Outputs], labels: list[Array]) -> str:
        judged = [
            [{name: one[name] for name in job.outputs} for one in many] for many in (answers, originals)
        ]
        truths: list[Any] = [dict.fromkeys(job.outputs, label) for label in labels]
        truths = truths if is_labelled else [job.metric.truth(one) for one in judged[1]]
        rows = [job.metric.row(one, truth) for one, truth in zip(judged[0], truths, strict=True)]
        return f"{job.metric.name} {job.metric.value(rows):.4f}"

    return known
