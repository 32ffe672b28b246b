"""A student as one more float graph: taught by the original, then pressed and measured like it."""

import hashlib
import inspect
import re
from pathlib import Path

from bundle.manifest import AppliedPass
from optimizer.candidates import Candidates
from optimizer.choose import Measured
from optimizer.data import import_function
from optimizer.job import Job
from optimizer.search.build import Form
from optimizer.search.search import search_form
from optimizer.search.shallower import shallower

KINDS = ("static", "mlp", "linear", "shallower")


def try_student(job: Job, candidates: Candidates, kind: str) -> None:
    """Teach a student for ``--train`` seconds and search its forms; a sentence says why none will be chosen.

    Raises:
        InputError: the user's factory is missing, or gives no module that fits.
    """
    from optimizer.train.errors import CannotTrain  # noqa: PLC0415 - torch is there for those who train only
    from optimizer.train.students import Teacher, Wish, teach  # noqa: PLC0415

    left_out = f"student {kind} is left out: "
    if any(note.startswith(left_out) for note in job.notes):  # in an earlier round of the search
        return
    factory = None if kind in KINDS else import_function(kind, "--student")
    seconds, seed, weight = job.options.train, job.options.seed, job.options.labels_weight
    # The bound decides on how many layers go.
    what = str(job.options.max_drop) if kind == "shallower" else _source(factory)
    key = hashlib.sha256(f"{kind}\0{what}\0{seconds}\0{seed}\0{weight}".encode()).hexdigest()[:16]
    model = job.model

    def taught() -> bytes:
        checkpoint = job.work.path(f"student-{key}.checkpoint")
        if kind == "shallower":
            return shallower(job, candidates.builder, checkpoint)
        teacher = Teacher(model.data, model.session, model.signature)
        wish = Wish(kind, factory, seconds, seed, weight, job.outputs[0], checkpoint, key)
        return teach(wish, teacher, job.tuning, job.tell)

    job.tell(f"trying: student {kind}, for {seconds} s")
    try:
        data = job.work.file(f"student-{key}.onnx", taught).read_bytes()
    except CannotTrain as reason:
        job.note(f"{left_out}{reason}")
        return
    applied = AppliedPass(name="Student", parameters={"kind": kind, "seconds": seconds, "seed": seed})
    found = search_form(job, candidates, Form(f"student-{_plain(kind)}", data, [applied]))
    verdict = _verdict(found, job.metric.name, job.options.max_drop)
    if verdict:
        job.note(f"student {kind}: {verdict}")


def _verdict(found: Measured | None, metric: str, bound: float) -> str:
    """Why the student as it was taught will not be chosen; empty where it may."""
    if found is None or found.scores is None:
        return f"it cannot be measured ({found.failure if found else 'it is empty'})"
    if found.is_within(bound):
        return (
            ""
            if found.latency.ratio >= 1
            else f"within the bound, but only {found.latency.ratio:.2g}x as fast"
        )
    scores = found.scores
    return (
        f"not within the bound; {metric} {scores.after:.4f} against {scores.before:.4f}, drop "
        f"{scores.drop:.4f} [{scores.low:.4f}, {scores.high:.4f}] on {scores.samples} samples, at "
        f"{found.latency.ratio:.3g}x the speed"
    )


def _source(factory: object) -> str:
    """Of the file that the user's factory is in: another one teaches another student."""
    try:
        return Path(inspect.getfile(factory)).read_text()  # type: ignore[arg-type]
    except (TypeError, OSError):  # built in, or not from a file
        return ""


def _plain(kind: str) -> str:
    """As a part of a file's name."""
    return re.sub(r"[^A-Za-z0-9_.]+", ".", kind)
