"""The last word: the best candidates on samples that no choice was made on."""

from collections.abc import Collection, Sequence

from optimizer.candidates import Candidates
from optimizer.choose import Measured, ranked
from optimizer.errors import InputError
from optimizer.evaluate import Scores
from optimizer.job import Job
from optimizer.search.plan import ORIGINAL


def verify(
    job: Job, candidates: Candidates, measured: Sequence[Measured], rejected: Collection[str] = ()
) -> tuple[Measured, Scores | None]:
    """The best candidate that is not ``rejected``, and its scores on verification samples.

    None in their place says that it is not within the bound there: it was chosen by luck.
    """
    bound, objective = job.options.max_drop, job.options.objective
    usable = [one for one in ranked(measured, objective, bound) if one.name not in rejected]
    if not usable:
        original = next(one for one in measured if one.plan == ORIGINAL)
        return original.served_as_it_was(), _of_original(job)
    best = usable[0]
    job.tell(f"verifying: {best.title}")
    scores = _scores(job, candidates, best)
    if scores is None or not scores.drop + job.errors_at_the_end * scores.error <= bound:
        job.tell(f"not within the bound on verification samples: {best.title}")
        return best, None
    return best, scores


def _scores(job: Job, candidates: Candidates, candidate: Measured) -> Scores | None:
    """Scores on verification samples; nothing if it fails on one."""
    name = f"{candidate.name}-{candidate.served_file}.verified"
    scores = job.work.load(name, Scores)
    if scores is None:
        try:
            scores = job.judge.score(candidates.served(candidate), job.verification)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 - onnxruntime raises many types; it is not fit to serve
            job.tell(f"fails on a verification sample: {candidate.title} ({error})")
            return None
        job.work.save(name, scores)
    return scores


def _of_original(job: Job) -> Scores:
    scores = job.work.load("as-it-was.verified", Scores)
    if scores is None:
        scores = job.judge.score(job.model.session, job.verification)
        if scores.drop > job.options.max_drop:
            raise InputError(
                f"the original model's own {job.metric.name} changes by {scores.drop:.3g} when it is run "
                "again, which is more than --max-drop: give its random operators a seed, or allow more."
            )
        job.work.save("as-it-was.verified", scores)
    return scores
