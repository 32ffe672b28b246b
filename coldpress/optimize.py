"""``optimize``: a trained model in, a bundle out."""

import argparse
import errno
import json
import math
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from bundle.errors import BundleError
from coldpress.errors import CommandError
from coldpress.handles import add_bucket_argument
from coldpress.trained import Trained, trained_model
from optimizer.errors import InputError
from optimizer.press import Interrupted, Options, Pressed, Tell, press
from optimizer.search.student import KINDS
from optimizer.sources.base import Asked, Converted
from optimizer.sources.convert import convert
from optimizer.units import duration, size
from optimizer.work import default_measurements

_USAGE_ERROR, _INTERRUPTED = 2, 130
_HIGH_FLOOR = 0.2
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class _Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where to look."""
        raise InputError(f"{message} (see optimize --help)")


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is 0 (a bundle was written), 2 (wrong input) or 130 (interrupted)."""
    out: Path | None = None
    # What numpy thinks of infinite or missing numbers is not news: metrics and candidates that fail say so.
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="optimizer|numpy")
    # OpenMP's threads wait for each other in a loop: where another program has one of two cores, torch then
    # trained at a twentieth of its speed. Asleep they lose a tenth on a machine that has nothing else to do.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        words = sys.argv[1:] if argv is None else argv
        arguments = _parser().parse_args(words)
        out = arguments.out
        _check(arguments)  # before a model is fetched or converted, which may take minutes
        trained = trained_model(arguments.model, arguments.bucket)
        converted = convert(_asked(arguments))
        options = _options(arguments, trained, converted, words)
        with _progress() as tell:
            pressed = press(options, tell)
        _print(pressed, trained, options.model, as_json=arguments.json)
    except Interrupted as stopped:
        return _fail(
            f"interrupted: the best so far is in {stopped.pressed.folder}. "
            "The same command goes on where this one stopped.",
            _INTERRUPTED,
        )
    except KeyboardInterrupt:
        kept = " What was measured is kept: the same command goes on there." if out else ""
        return _fail(f"interrupted, and no bundle was written.{kept}", _INTERRUPTED)
    except (InputError, BundleError, CommandError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_about(error, out))
    except MemoryError:
        return _fail(
            "there is not enough memory for this model and data: use fewer samples or a larger machine."
        )
    return 0


def _fail(message: str, status: int = _USAGE_ERROR) -> int:
    print(f"optimize: error: {' '.join(message.split())}", file=sys.stderr)  # noqa: T201 - this is a command
    return status


def _about(error: OSError, out: Path | None) -> str:
    if error.errno in _DISK_FULL:
        return (
            f"the disk is full, and no bundle was written: free some space for {out}, or name another folder."
        )
    where = error.filename or out
    return f"{where} cannot be used ({error.strerror or error}): check the path and its permissions."


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="optimize",
        description="Press a trained model: smaller and faster within a bound that is measured, as a bundle.",
        epilog="Exit status: 0 a bundle was written; 2 the input was wrong; 130 interrupted.",
    )
    _add_model(parser)
    _add_data(parser.add_argument_group("data and bound"))
    _add_choice(parser.add_argument_group("what is chosen"))
    _add_time(parser.add_argument_group("time and training"))
    _add_result(parser.add_argument_group("result"))
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        help="the trained model: an .onnx file, or one of another framework (docs/sources.md); or a bundle "
        "in the registry, hub://NAME[:VERSION|@LABEL]: "
        "its original is pressed, or its pressed model where that is not there",
    )
    add_bucket_argument(parser)
    parser.add_argument(
        "--state-dict",
        type=Path,
        metavar="FILE",
        help="the weights of a module:factory: .safetensors, or a .pt of tensors alone",
    )
    parser.add_argument(
        "--trust-pickle",
        action="store_true",
        help="read what may run code: pickles (.pkl, .joblib, .pt), Keras files with a Lambda layer",
    )


def _add_data(group: argparse._ArgumentGroup) -> None:
    data = "an .npz, a folder of .npz (one sample each), or module:function that yields dicts of arrays; "
    data += "of a model with a tokenizer also texts: .txt, .jsonl, .csv"
    group.add_argument(
        "--calibration", required=True, metavar="DATA", help=f"inputs to take ranges from: {data}"
    )
    group.add_argument(
        "--evaluation",
        required=True,
        metavar="DATA",
        help="other inputs to measure on, with 'labels' if there are any",
    )
    group.add_argument(
        "--metric",
        help="a name or module:function(outputs, labels); larger is better "
        "(default: accuracy with labels, else agreement with the original)",
    )
    group.add_argument(
        "--output",
        help="the model output that the metric sees (default: the first with labels, else the worst of all)",
    )
    group.add_argument(
        "--max-drop",
        required=True,
        type=float,
        metavar="DROP",
        help="the largest allowed drop of the metric, absolute",
    )
    group.add_argument(
        "--confidence",
        type=float,
        metavar="LEVEL",
        help="let the end of the drop's confidence interval of this level, 0.95 for example, be within the "
        "bound (default: the drop itself)",
    )


def _add_choice(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--objective",
        choices=("latency", "size", "cold-start"),
        default="latency",
        help="the fastest within the bound; the smallest that is not slower; or the one that is soonest from "
        "its file to its first answer (default: %(default)s)",
    )
    group.add_argument(
        "--target",
        choices=("x86_64", "x86_64-vnni", "arm64"),
        default="x86_64",
        help="the CPU that serves: x86_64 is AVX2, as Lambda promises (default: %(default)s)",
    )


def _add_time(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--time-budget",
        type=float,
        metavar="SECONDS",
        help="begin no further candidate after this time, of which --train is a part (default: 210, "
        "and --train beside)",
    )
    group.add_argument(
        "--train",
        type=int,
        metavar="SECONDS",
        default=0,
        help="after the search, train for so long against the original's outputs: a pruned model where the "
        "bound permits one, and the best int8 form; each counts only if it is better (needs torch)",
    )
    group.add_argument(
        "--student",
        metavar="KIND",
        help="spend --train on another network with the same inputs and outputs instead, which learns from "
        "the original's answers: static (a vector for each token, for texts), mlp or linear (for tables), "
        "shallower (the original without some of its layers), or module:factory of a torch module",
    )
    group.add_argument(
        "--labels-weight",
        type=float,
        metavar="WEIGHT",
        default=0.0,
        help="while something is trained, let labels in the calibration data count so much beside the "
        "original's outputs (default: 0)",
    )
    group.add_argument(
        "--seed", type=int, default=0, help="of the halves of --evaluation, and all else that is by chance"
    )


def _add_result(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o",
        "--out",
        required=True,
        type=Path,
        metavar="FOLDER",
        help="the bundle goes to FOLDER/NAME/DIGEST",
    )
    group.add_argument("--name", help="the model's name in URLs (default: the bundle's, or the file's name)")
    group.add_argument(
        "--class-labels", type=Path, metavar="FILE", help="names of the classes, one a line, for the bundle"
    )
    group.add_argument(
        "--measurements",
        type=Path,
        metavar="FOLDER",
        default=default_measurements(),
        help="what was measured is kept here, and taken from here by every run with the same inputs; "
        "another folder measures anew (default: %(default)s)",
    )
    group.add_argument("--json", action="store_true", help="print one JSON object")


def _asked(arguments: argparse.Namespace) -> Asked:
    return Asked(
        text=arguments.model,
        folder=arguments.out / "originals",
        calibration=arguments.calibration,
        state_dict=arguments.state_dict,
        trust_pickle=arguments.trust_pickle,
    )


def _options(
    arguments: argparse.Namespace, trained: Trained, converted: Converted | None, words: list[str]
) -> Options:
    if converted is not None:
        trained = Trained(converted.path, converted.name, converted.class_labels, extras=converted.extras)
    return Options(
        model=trained.path,
        origin=converted.origin if converted else None,
        extras=trained.extras,
        calibration=arguments.calibration,
        evaluation=arguments.evaluation,
        out=arguments.out,
        measurements=arguments.measurements,
        name=arguments.name or trained.name or _name_of(trained.path),
        max_drop=arguments.max_drop,
        metric=arguments.metric,
        output=arguments.output,
        objective=arguments.objective,
        target=arguments.target,
        confidence=arguments.confidence,
        time_budget=arguments.time_budget,
        train=arguments.train,
        student=arguments.student,
        labels_weight=arguments.labels_weight,
        seed=arguments.seed,
        class_labels=_read_labels(arguments.class_labels) if arguments.class_labels else trained.class_labels,
        command=("optimize", *(word for word in words if word != "--json")),
    )


def _check(arguments: argparse.Namespace) -> None:
    if not (math.isfinite(arguments.max_drop) and arguments.max_drop >= 0):
        raise InputError(f"--max-drop is {arguments.max_drop}, but a drop is 0 or more: 0.01, for example.")
    if arguments.time_budget is not None and not arguments.time_budget >= 0:
        raise InputError(f"--time-budget is {arguments.time_budget}, but a time is 0 seconds or more.")
    _check_training(arguments)
    if arguments.student:
        _check_student(arguments.student, arguments.train)
    if arguments.confidence is not None and not 0 < arguments.confidence < 1:
        raise InputError(f"--confidence is {arguments.confidence}, but a level is between 0 and 1: 0.95.")
    if arguments.seed < 0:
        raise InputError(f"--seed is {arguments.seed}, but a seed is 0 or more.")


def _check_student(kind: str, seconds: int) -> None:
    if not seconds:
        raise InputError("--student learns for --train SECONDS: give them, 600 for example.")
    if ":" not in kind and kind not in KINDS:
        raise InputError(f"--student {kind} is none of {', '.join(KINDS)}, nor a module:factory: name one.")
    if kind != "shallower" and find_spec("onnxscript") is None:
        raise InputError(
            "--student needs onnxscript, which is not here: pip install onnxscript, or make setup-train."
        )


def _check_training(arguments: argparse.Namespace) -> None:
    if arguments.train < 0:
        raise InputError(f"--train is {arguments.train}, but a time is 0 seconds or more.")
    if arguments.train and find_spec("torch") is None:
        raise InputError("--train needs torch, which is not here: pip install torch, or make setup-train.")
    if not (math.isfinite(arguments.labels_weight) and arguments.labels_weight >= 0):
        raise InputError(f"--labels-weight is {arguments.labels_weight}, but a weight is 0 or more: 0.5.")
    if arguments.labels_weight and not arguments.train:
        raise InputError("--labels-weight is for training: give --train SECONDS as well.")
    if arguments.train and arguments.time_budget is not None and arguments.train >= arguments.time_budget:
        raise InputError(
            f"--train {arguments.train} leaves no time to search within --time-budget "
            f"{arguments.time_budget:g}: give more time, or less to training."
        )


def _name_of(model: Path) -> str:
    """A model name out of a file name: what is no letter or digit becomes a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", model.stem.lower()).strip("-")[:63].strip("-") or "model"


def _read_labels(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: write one class label a line.") from None


@contextmanager
def _progress() -> Iterator[Tell]:
    """Steps as they happen on a terminal's stderr; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - costs 60 ms, and only a terminal needs it

    console = Console(stderr=True)
    with console.status("reading the model and the data") as status:

        def tell(text: str) -> None:
            if text.startswith(("trying: ", "verifying: ")):
                status.update(text)
            else:
                console.print(f"  {text}", highlight=False, markup=False)

        yield tell


def _print(pressed: Pressed, trained: Trained, original: Path, *, as_json: bool) -> None:
    manifest, folder = pressed.manifest, pressed.folder
    before, after, metric = manifest.before, manifest.after, manifest.metric
    speedup = before.latency_ms / after.latency_ms
    if as_json:
        print(  # noqa: T201 - this is a command
            json.dumps(
                {
                    "bundle": str(folder),
                    "digest": folder.name,
                    "metric": metric.name,
                    "drop": metric.drop,
                    "bound": metric.bound,
                    "speedup": round(speedup, 3),
                    "size_before": before.size_bytes,
                    "size_after": after.size_bytes,
                    "passes": [applied.name for applied in manifest.passes],
                    **({"notes": list(pressed.notes)} if pressed.notes else {}),
                    **({"is_pressed_again": trained.is_pressed} if trained.note else {}),
                }
            )
        )
        return
    low, high = metric.interval
    floor = pressed.floor if pressed.floor is not None and pressed.floor > _HIGH_FLOOR else None
    rows = [
        ("latency", duration(before.latency_ms), duration(after.latency_ms), f"{speedup:.2f}x, one thread"),
        ("size", size(before.size_bytes), size(after.size_bytes), manifest.serve),
        (
            metric.name,
            f"{metric.before:.4f}",
            f"{metric.after:.4f}",
            f"drop {metric.drop:.4f} [{low:.4f}, {high:.4f}] of {metric.bound:g} allowed, "
            f"{metric.samples} unseen samples"
            + ("" if floor is None else f"; answering always the same gets {floor:.2f}"),
        ),
    ]
    width = max(len(row[0]) for row in rows)
    lines = [f"  {name:{width}}  {was:>9} -> {now:>9}   {note}" for name, was, now, note in rows]
    if trained.note:
        lines.insert(0, f"  {'of':{width}}  {trained.note}")
    lines += [f"  {'note':{width}}  {note}" for note in pressed.notes]
    if manifest.source.origin is not None:
        lines.append(f"  {'original':{width}}  {original}")
    lines += [f"  {'bundle':{width}}  {folder}", f"  {'report':{width}}  {folder / 'report.html'}"]
    print("\n".join([f"{manifest.name}: {pressed.chosen.title}", *lines]))  # noqa: T201 - this is a command


if __name__ == "__main__":
    sys.exit(main())
