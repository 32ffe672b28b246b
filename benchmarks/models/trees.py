"""scikit-learn's gradient boosting and random forest of a hundred trees, on a table of 53,940 diamonds.

The package plotnine ships the table. Trained on 5,000 rows: boosting tells the logarithm of a price (metric:
RMSE), the forest which of five qualities a cut has (accuracy). Data: other rows, one or a hundred a request.

Usage: python -m benchmarks.models.trees FOLDER (KIND-ROWS, as boosting-100; in the environment ``trees``)
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.samples import Array, write_sets

_TRAIN, _SEED = 5000, 15
_RANKS = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": tuple("DEFGHIJ"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
_COUNTS = {
    1: {"calibration": 600, "evaluation": 1600, "report": 1600},
    100: {"calibration": 100, "evaluation": 160, "report": 160},
}


def main(folder: Path) -> None:
    """Train, write the model and the sets."""
    from skl2onnx import to_onnx  # noqa: PLC0415

    kind, _, rows = folder.name.partition("-")
    x, y = _table("price" if kind == "boosting" else "cut")
    trees = _trees(kind).fit(x[:_TRAIN], y[:_TRAIN])
    options = {id(trees): {"zipmap": False}} if kind == "forest" else None
    model = to_onnx(trees, x[:1], options=options, target_opset=17)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    each = int(rows)
    starts = range(_TRAIN, len(x) - each + 1, each)
    samples = ({"X": x[at : at + each], "labels": y[at : at + each]} for at in starts)
    write_sets(folder, samples, _COUNTS[each])


def _table(target: str) -> tuple[Array, Array]:
    """Nine columns, float32, and what is to be told of each row, in an order by chance."""
    import pandas as pd  # noqa: PLC0415
    import plotnine  # noqa: PLC0415

    table = pd.read_csv(Path(plotnine.__file__).parent / "data" / "diamonds.csv")
    table = table.sample(frac=1, random_state=_SEED).reset_index(drop=True)
    for name, ranks in _RANKS.items():
        table[name] = table[name].map({rank: number for number, rank in enumerate(ranks)})
    table["price"] = np.log(table["price"])
    y = table.pop(target).to_numpy()
    return table.to_numpy(np.float32), y.astype(np.float32 if target == "price" else np.int64)


def _trees(kind: str) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier  # noqa: PLC0415

    if kind == "boosting":
        return GradientBoostingRegressor(n_estimators=100, random_state=_SEED)
    return RandomForestClassifier(n_estimators=100, random_state=_SEED)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
