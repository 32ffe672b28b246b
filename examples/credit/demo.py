"""Default risk from a table to a watched endpoint, on this machine: python -m examples.credit.demo.

People ask for credit, and what became of it is told later; then a client sends amounts in thousands.
"""

import gzip
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
import numpy as np
import pandas as pd
import skops.io

from coldpress.aws import stack_output
from examples.credit import train
from examples.credit.data import PERSONAL, WORK, later
from examples.deployment import BIN, ROOT
from examples.emulated import Endpoint, endpoint, optimize

_CLEAN = 400
_CLOSE = 0.05  # of a probability: the bound is on all answers together, not on one


def main() -> int:
    """Train, press, deploy, ask, watch; the exit status is 0 where the right things were noticed."""
    WORK.mkdir(parents=True, exist_ok=True)
    if not train.MODEL.exists():
        train.main()
    bundle = optimize(
        *(str(train.MODEL), "--name", "credit"),
        *("--calibration", "examples.credit.data:calibration"),
        *("--evaluation", "examples.credit.data:evaluation"),
        *("--metric", "log-loss", "--max-drop", "0.01", "-o", str(WORK / "bundles")),
    )
    print(f"bundle {bundle}")
    settings = {"capture": {"rate": 1, "redact": list(PERSONAL)}}
    with endpoint(bundle, WORK, **settings) as deployed:
        is_right = _as_trained(deployed)
        stays_right = _with_labels(deployed)
        is_noticed = not _in_thousands(deployed)
    print(f"answers right: {is_right}, no alarm before: {stays_right}, alarm after: {is_noticed}")
    return 0 if is_right and stays_right and is_noticed else 1


def _as_trained(deployed: Endpoint) -> bool:
    """Whether people get what scikit-learn says of them, and the watching has no objection."""
    columns, _ = later()
    columns = columns[:_CLEAN]
    answers = _ask(deployed, columns, "clean")
    # Both ours, and of this folder.
    untrusted = skops.io.get_untrusted_types(file=train.MODEL)
    expected = skops.io.load(train.MODEL, trusted=untrusted).predict_proba(columns)[:, 1]
    apart = np.abs(answers - expected)
    print(
        f"probability of default: scikit-learn {expected[0]:.3f}, the endpoint {answers[0]:.3f}; "
        f"of {_CLEAN} the mean difference is {apart.mean():.4f}, the largest {apart.max():.4f}"
    )
    is_right, said = deployed.watch(WORK / "watch.html")
    print(f"{_CLEAN} requests as trained:\n{said}")
    return bool(apart.mean() < _CLOSE) and is_right and _nothing_personal_is_kept()


def _nothing_personal_is_kept() -> bool:
    """Whether the records in the bucket have all columns but those that are redacted."""
    bucket = boto3.resource("s3").Bucket(stack_output("coldpress-example", "CaptureBucket"))
    lines = [
        line
        for one in bucket.objects.filter(Prefix="captures/")
        for line in gzip.decompress(one.get()["Body"].read()).splitlines()
    ]
    kept = {
        tensor["name"]
        for line in lines
        for tensor in json.loads(line)["inputs"]
        if tensor.get("redacted") is not True
    }
    print(f"{len(lines)} requests are kept, with {', '.join(sorted(kept))}")
    return len(lines) == _CLEAN and not kept & set(PERSONAL)


def _with_labels(deployed: Endpoint) -> bool:
    """What became of them, which a bank knows weeks later: whether the model was as right as verified."""
    _, defaulted = later()
    lines = [
        json.dumps({"inferenceId": f"clean-{number}", "label": int(label)})
        for number, label in enumerate(defaulted[:_CLEAN])
    ]
    truth = WORK / "truth.jsonl"
    truth.write_text("\n".join(lines))
    subprocess.run([str(BIN / "coldpress"), "label", "coldpress-example", str(truth)], check=True, cwd=ROOT)
    is_right, said = deployed.watch(WORK / "watch.html")
    print(f"with labels:\n{said}")
    return is_right


def _in_thousands(deployed: Endpoint) -> bool:
    """A client that has another unit."""
    columns, _ = later()
    columns = columns[_CLEAN:]
    _ask(deployed, columns.assign(limit=columns["limit"] / 1000), "thousands")
    is_right, said = deployed.watch(WORK / "watch.html")
    print(f"limits in thousands:\n{said}")
    return is_right


def _ask(deployed: Endpoint, columns: pd.DataFrame, name: str) -> np.ndarray:
    """A request a row; the probabilities of default."""

    def one(number: int) -> float:
        row = {column: [float(columns[column].iloc[number])] for column in columns}
        return float(deployed.predict(f"{name}-{number}", **row)["probabilities"][0][1])

    with ThreadPoolExecutor(2) as pool:
        return np.array(list(pool.map(one, range(len(columns)))))


if __name__ == "__main__":
    sys.exit(main())
