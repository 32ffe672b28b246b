"""A student as one more float graph: taught by the original, then pressed and measured like it."""

import hashlib
import re
from pathlib import Path

from bundle.manifest import AppliedPass
from optimizer.candidates import Candidates
from optimizer.data import import_function
from optimizer.job import Job
from optimizer.search.build import Form
from optimizer.search.search import search_form

KINDS = ("static", "mlp", "linear")


def try_student(job: Job, candidates: Candidates, kind: str) -> None:
    """Teach a student for ``--train`` seconds and search its forms; a sentence says why none will be chosen.

    Raises:
        InputError: the user's factory is missing, or gives no module that fits.
    """
    from optimizer.train.errors import CannotTrain  # noqa: PLC0415 - torch is there for those who train only
    from optimizer.train.students import Teacher, Wish, teach  # noqa: PLC0415

    factory = None if kind in KINDS else import_function(kind, "--student")
    seconds, seed = job.options.train, job.options.seed
    source = "" if factory is None else Path(factory.__code__.co_filename).read_text()
    key = hashlib.sha256(f"{kind}\0{source}\0{seconds}\0{seed}".encode()).hexdigest()[:16]
    model = job.model

    def taught() -> bytes:
        teacher = Teacher(model.data, model.session, model.signature)
        return teach(Wish(kind, factory, seconds, seed), teacher, job.tuning, job.tell)

    job.tell(f"trying: student {kind}, for {seconds} s")
    try:
        data = job.work.file(f"student-{key}.onnx", taught).read_bytes()
    except CannotTrain as reason:
        job.note(f"student {kind} is left out: {reason}")
        return
    applied = AppliedPass(name="Student", parameters={"kind": kind, "seconds": seconds, "seed": seed})
    found = search_form(job, candidates, Form(f"student-{_plain(kind)}", data, [applied]))
    if found is None or found.scores is None:
        failure = found.failure if found else "it is empty"
        job.note(f"student {kind} is left out: it cannot be measured ({failure})")
    elif not found.is_within(job.options.max_drop):
        scores = found.scores
        job.note(
            f"student {kind}: not within the bound; {job.metric.name} {scores.after:.4f} against "
            f"{scores.before:.4f}, drop {scores.drop:.4f} [{scores.low:.4f}, {scores.high:.4f}] on "
            f"{scores.samples} samples, at {found.latency.ratio:.3g}x the speed"
        )
    elif found.latency.ratio < 1:
        job.note(f"student {kind}: within the bound, but slower: {found.latency.ratio:.2g}x the speed")


def _plain(kind: str) -> str:
    """As a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", ".", kind)
