"""Ensembles as converters write them: after the passes for trees they give the same answers, to the bit."""

import numpy as np
import onnx
import pytest

from optimizer.normalise import apply_passes, pipeline
from optimizer.passes import CompactTrees
from optimizer.runtime import ort_format, serving_session

for needed in ("sklearn", "skl2onnx", "onnxmltools", "lightgbm", "xgboost", "catboost"):
    pytest.importorskip(needed)

import catboost  # noqa: E402
import lightgbm  # noqa: E402
import onnxmltools  # noqa: E402
import skl2onnx  # noqa: E402
import xgboost  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits  # noqa: E402
from sklearn.ensemble import (  # noqa: E402
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier  # noqa: E402

ROWS = 2000
FEW = {"n_estimators": 20, "random_state": 0}
TWO = load_breast_cancer(return_X_y=True)
TEN = load_digits(return_X_y=True)
NUMBER = load_diabetes(return_X_y=True)


def scikit_learn(estimator, data, names=None):
    x, y = data[0].astype(np.float32), data[1]
    estimator.fit(x, y if names is None else np.array(names)[y])
    options = {"zipmap": False} if hasattr(estimator, "classes_") else None
    return skl2onnx.to_onnx(estimator, x[:1], options=options, target_opset=17)


def booster(convert, estimator, data, **more):
    x, y = data[0].astype(np.float32), data[1]
    kind = onnxmltools.convert.common.data_types.FloatTensorType([None, x.shape[1]])
    return convert(estimator.fit(x, y), initial_types=[("X", kind)], **more)


def cat(data, folder):
    x, y = data[0].astype(np.float32), data[1]
    trees = catboost.CatBoostClassifier(iterations=20, depth=4, verbose=0, allow_writing_files=False)
    trees.fit(x, y).save_model(str(folder / "cat.onnx"), format="onnx")
    model = onnx.load(folder / "cat.onnx")
    maps = next(node for node in model.graph.node if node.op_type == "ZipMap")
    model.graph.node.remove(maps)
    del model.graph.output[1]
    model.graph.output.append(onnx.ValueInfoProto(name=maps.input[0]))
    return model


TEXTS = ["zero", "ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
COMPACT, ZEROS = "CompactTrees", "DropZeroWeights"
MODELS = {
    "forest of two": (lambda _: scikit_learn(RandomForestClassifier(**FEW), TWO), TWO, {COMPACT}),
    "shallow forest of two": (
        lambda _: scikit_learn(RandomForestClassifier(**FEW, max_depth=3), TWO, ["bad", "good"]),
        TWO,
        {COMPACT},
    ),
    "forest of ten": (lambda _: scikit_learn(RandomForestClassifier(**FEW), TEN), TEN, {COMPACT, ZEROS}),
    "extra trees, texts": (
        lambda _: scikit_learn(ExtraTreesClassifier(**FEW), TEN, TEXTS),
        TEN,
        {COMPACT, ZEROS},
    ),
    "one tree, other numbers": (
        lambda _: scikit_learn(DecisionTreeClassifier(random_state=0), TEN, range(10, 0, -1)),
        TEN,
        {COMPACT, ZEROS},
    ),
    "forest of mixed leaves": (
        lambda _: scikit_learn(RandomForestClassifier(**FEW, min_samples_leaf=5), TEN),
        TEN,
        {ZEROS},
    ),
    "forest, a number": (lambda _: scikit_learn(RandomForestRegressor(**FEW), NUMBER), NUMBER, {COMPACT}),
    "forest, two numbers": (
        lambda _: scikit_learn(
            RandomForestRegressor(**FEW), (NUMBER[0], np.stack([NUMBER[1], -NUMBER[1]], axis=1))
        ),
        NUMBER,
        set(),
    ),
    "boosting of two": (lambda _: scikit_learn(GradientBoostingClassifier(**FEW), TWO), TWO, set()),
    "boosting of ten": (lambda _: scikit_learn(GradientBoostingClassifier(**FEW), TEN), TEN, set()),
    "LightGBM of two": (
        lambda _: booster(
            onnxmltools.convert_lightgbm,
            lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1),
            TWO,
            zipmap=False,
        ),
        TWO,
        set(),
    ),
    "LightGBM, a number": (
        lambda _: booster(
            onnxmltools.convert_lightgbm,
            lightgbm.LGBMRegressor(n_estimators=20, verbose=-1, n_jobs=1),
            NUMBER,
        ),
        NUMBER,
        {COMPACT},
    ),
    "XGBoost of ten": (
        lambda _: booster(onnxmltools.convert_xgboost, xgboost.XGBClassifier(n_estimators=20, n_jobs=1), TEN),
        TEN,
        set(),
    ),
    "XGBoost, a number": (
        lambda _: booster(
            onnxmltools.convert_xgboost, xgboost.XGBRegressor(n_estimators=20, n_jobs=1), NUMBER
        ),
        NUMBER,
        {COMPACT},
    ),
    "CatBoost of two": (lambda folder: cat(TWO, folder), TWO, set()),
    "CatBoost of ten": (lambda folder: cat(TEN, folder), TEN, set()),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_answers_are_the_same(name, rng, tmp_path, answers):
    make, data, expected = MODELS[name]
    model = make(tmp_path)
    passes = [*pipeline(), CompactTrees(classifiers=True)]
    changed, applied = apply_passes(model.SerializeToString(), passes)
    assert {one.name for one in applied} & {COMPACT, ZEROS} == expected
    x = mixed(data[0].astype(np.float32), rng)
    feeds = {model.graph.input[0].name: x}
    before = answers(model, feeds)
    after = answers(onnx.load_model_from_string(changed), feeds)
    for one, other in zip(before, after, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        if name.endswith("a number"):  # its base value goes into leaves
            np.testing.assert_allclose(other, one, rtol=1e-5)
        else:
            np.testing.assert_array_equal(other, one)
    served(changed, tmp_path, feeds, after)


def mixed(x, rng):
    """Rows between those of the data; one value of twenty is missing."""
    first, second = rng.integers(0, len(x), (2, ROWS))
    rows = np.where(rng.random((ROWS, x.shape[1])) < 0.3, x[second], x[first])
    rows[rng.random(rows.shape) < 0.05] = np.nan
    return rows


def served(changed, folder, feeds, expected):
    """As both files of a bundle are."""
    (folder / "model.onnx").write_bytes(changed)
    (folder / "model.ort").write_bytes(ort_format(changed))
    for file in ("model.onnx", "model.ort"):
        answered = serving_session(folder / file).run(None, feeds)
        for one, other in zip(answered, expected, strict=True):
            np.testing.assert_array_equal(one, other)
