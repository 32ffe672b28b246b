"""A scikit-learn pipeline over 64 numeric columns (its digits data): scaling and an MLP, 4.6 MB, by skl2onnx.

Trained here on 700 of the rows that scikit-learn bundles, with a fixed seed. Data: the others, one a request.
Metric: the share of rows whose most probable class is the original's.

Usage: python -m benchmarks.models.tabular FOLDER (in an environment with scikit-learn and skl2onnx)
"""

import sys
from pathlib import Path

import numpy as np

from benchmarks.samples import write_sets

_TRAIN = 700


def main(folder: Path) -> None:
    """Train, write the model and the sets."""
    from skl2onnx import to_onnx  # noqa: PLC0415
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    rows, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(15).permutation(len(rows))
    rows, labels = rows[order].astype(np.float32), labels[order]
    network = MLPClassifier((1024, 1024), max_iter=12, random_state=0)
    pipeline = make_pipeline(StandardScaler(), network).fit(rows[:_TRAIN], labels[:_TRAIN])
    options = {id(network): {"zipmap": False}}
    model = to_onnx(pipeline, rows[:1], options=options, target_opset=17)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    samples = ({"X": row[np.newaxis]} for row in rows[_TRAIN:])
    write_sets(folder, samples, {"calibration": 64, "evaluation": 500, "report": 533})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
