"""The data and the models of the streams, as arrays: ``digits``, ``cancer`` and ``diamonds``, and sentences.

Usage: python -m benchmarks.monitors.data FOLDER (in the environment ``monitor-data``)
"""

import gettext
import json
import re
import sys
from pathlib import Path
from typing import Any

import django
import numpy as np
import numpy.typing as npt
import pandas as pd
import plotnine
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor

CUTS = ("Fair", "Good", "Very Good", "Premium", "Ideal")
COLOURS = "DEFGHIJ"
CLARITIES = ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF")
Array = npt.NDArray[Any]

SHORTEST, LONGEST = 12, 200  # characters of a sentence


def main(folder: Path) -> None:
    """Write all; a model is trained on one half, and the streams are of the other."""
    rng = np.random.default_rng(0)
    for name, (x, y) in {
        "digits": load_digits(return_X_y=True),
        "cancer": load_breast_cancer(return_X_y=True),
    }.items():
        order = rng.permutation(len(x))
        train, rest = order[: len(x) // 2], order[len(x) // 2 :]
        centre, scale = x[train].mean(axis=0), x[train].std(axis=0) + 1e-3 * x.std()
        model = MLPClassifier(hidden_layer_sizes=(32,), max_iter=500, random_state=0).fit(
            (x[train] - centre) / scale, y[train]
        )
        _write(folder / f"{name}.npz", (x[rest], y[rest]), (centre, scale), model)
    table = pd.read_csv(Path(plotnine.__file__).parent / "data" / "diamonds.csv")
    for column, order in (("cut", CUTS), ("color", COLOURS), ("clarity", CLARITIES)):
        table[column] = [list(order).index(value) for value in table[column]]
    y = np.log(table.pop("price").to_numpy())
    x = table.to_numpy(float)
    order = rng.permutation(len(x))
    train, rest = order[:5000], order[5000:]
    centre, scale = x[train].mean(axis=0), x[train].std(axis=0)
    model = MLPRegressor(hidden_layer_sizes=(32,), max_iter=300, random_state=0).fit(
        (x[train] - centre) / scale, y[train]
    )
    _write(folder / "diamonds.npz", (x[rest], y[rest]), (centre, scale), model)
    (folder / "sentences.json").write_text(json.dumps({"en": _sentences("en"), "de": _sentences("de")}))


def _write(path: Path, half: tuple[Array, Array], scaling: tuple[Array, Array], model: Any) -> None:
    layers = {f"w{i}": w for i, w in enumerate(model.coefs_)}
    layers |= {f"b{i}": b for i, b in enumerate(model.intercepts_)}
    np.savez(path, x=half[0], y=half[1], centre=scaling[0], scale=scaling[1], **layers)


def _sentences(language: str) -> list[str]:
    """What Django says: in English its keys, and the same in another language."""
    found = []
    for path in sorted(Path(django.__file__).parent.glob("**/locale/de/LC_MESSAGES/django.mo")):
        with path.open("rb") as file:
            for key, text in gettext.GNUTranslations(file)._catalog.items():
                if isinstance(key, str) and key and SHORTEST <= len(key) <= LONGEST and key != text:
                    found.append(re.sub(r"%\(\w+\)[sd]|%[sd]|<[^>]+>", "", key if language == "en" else text))
    return sorted(set(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
