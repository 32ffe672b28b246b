"""The last word: the best candidates on samples that no choice was made on."""

from collections.abc import Sequence

import msgspec
import onnxruntime as ort

from optimizer.candidates import Candidates
from optimizer.choose import Margin, Measured, ranked
from optimizer.errors import InputError
from optimizer.evaluate import Scores
from optimizer.job import Job
from optimizer.search.plan import ORIGINAL
from optimizer.worst import WorstSample, worst_samples


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What verification samples say. Kept in the work folder.

    ``floor`` is what a model would get there whose answer is always the same, where that is worth knowing.
    """

    scores: Scores
    floor: float | None
    worst: list[WorstSample]


def verify(
    job: Job, candidates: Candidates, measured: Sequence[Measured]
) -> tuple[Measured, Verified | None]:
    """The best candidate that is not rejected, and what it does on verification samples.

    None in their place says that it is not within the bound there: it was chosen by luck.
    """
    bound, left = job.options.max_drop, usable(job, candidates, measured)
    if not left and job.model.is_large:
        raise InputError(
            f"{job.options.model} is larger than 2 GB, which a bundle cannot hold, and nothing smaller is "
            "within the bound: allow a larger --max-drop, or give more evaluation samples."
        )
    if not left:
        original = next(one for one in measured if one.plan == ORIGINAL)
        return original.served_as_it_was(), _of_original(job)
    best = left[0]
    job.tell(f"verifying: {best.title}")
    verified = _verified(job, candidates, best)
    if verified is None or not _upper_drop(job, verified.scores) <= bound:
        job.tell(f"not within the bound on verification samples: {best.title}")
        return best, None
    return best, verified


def usable(job: Job, candidates: Candidates, measured: Sequence[Measured]) -> list[Measured]:
    """Those that may be chosen, best first."""
    found = ranked(measured, job.options.objective, job.options.max_drop)
    return [one for one in found if one.name not in candidates.rejected]


def _upper_drop(job: Job, scores: Scores) -> float:
    """What has to be within the bound."""
    return scores.drop + Margin(job.errors_at_the_end, job.errors_at_the_end).of(scores)


def _verified(job: Job, candidates: Candidates, candidate: Measured) -> Verified | None:
    """What it does on verification samples; nothing if it fails on one."""
    name = f"{candidate.name}-{candidate.served_file}.verified"
    verified = job.work.load(name, Verified)
    if verified is None:
        try:
            verified = _compare(job, candidates.served(candidate))
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - onnxruntime raises many types; it is not fit to serve
            job.tell(f"fails on a verification sample: {candidate.title} ({error})")
            return None
        job.work.save(name, verified)
    return verified


def _compare(job: Job, session: ort.InferenceSession) -> Verified:
    compared = job.judge.compare(session, job.verification)
    places = {id(sample): place for place, sample in enumerate(job.evaluation)}
    return Verified(
        scores=compared.scores,
        floor=job.metric.floor(compared.truths),
        worst=worst_samples(job.judge, session, job.verification, compared, places),
    )


def _of_original(job: Job) -> Verified:
    verified = job.work.load("as-it-was.verified", Verified)
    if verified is None:
        verified = _compare(job, job.model.session)
        if verified.scores.drop > job.options.max_drop:
            raise InputError(
                f"the original model's own {job.metric.name} changes by {verified.scores.drop:.3g} when it "
                "is run again, which is more than --max-drop: take its random operators out, or "
                "allow more."
            )
        job.work.save("as-it-was.verified", verified)
    return verified
