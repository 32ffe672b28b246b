"""Models of scikit-learn, XGBoost, LightGBM and CatBoost: what the ONNX file answers, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bundle.folder import read
from coldpress.optimize import main
from optimizer.errors import InputError
from optimizer.runtime import optimised_session
from optimizer.sources.base import Asked
from optimizer.sources.convert import convert

ensemble = pytest.importorskip("sklearn.ensemble")
skio = pytest.importorskip("skops.io")
for needed in ("skl2onnx", "onnxmltools", "pandas", "joblib"):
    pytest.importorskip(needed)

import joblib  # noqa: E402
import pandas as pd  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine  # noqa: E402
from sklearn.impute import SimpleImputer  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler  # noqa: E402

SMALL = {"n_estimators": 10, "n_jobs": 1}


@pytest.fixture(scope="module")
def cancer():
    x, y = load_breast_cancer(return_X_y=True)
    return x.astype(np.float32), y


@pytest.fixture(scope="module")
def diabetes():
    x, y = load_diabetes(return_X_y=True)
    return x.astype(np.float32), y


@pytest.fixture
def as_onnx(tmp_path):
    """Convert a file with these arrays as calibration data; what ONNX Runtime then answers for all rows."""

    def call(file, trust_pickle=False, **arrays):
        calibration = tmp_path / "calibration.npz"
        np.savez(calibration, **arrays)
        asked = Asked(
            text=str(file),
            folder=tmp_path / "originals",
            calibration=str(calibration),
            trust_pickle=trust_pickle,
        )
        converted = convert(asked)
        session = optimised_session(converted.path.read_bytes())
        feeds = {
            name: array.astype(object) if array.dtype.kind == "U" else array for name, array in arrays.items()
        }
        names = [one.name for one in session.get_outputs()]
        feeds = {one.name: feeds[one.name] for one in session.get_inputs()}
        return dict(zip(names, session.run(None, feeds), strict=True)), converted

    return call


def saved(estimator, tmp_path):
    path = tmp_path / "model.skops"
    skio.dump(estimator, path)
    return path


@pytest.mark.parametrize(
    "estimator",
    [
        ensemble.GradientBoostingClassifier(n_estimators=10),
        ensemble.HistGradientBoostingClassifier(max_iter=10),
        ensemble.RandomForestClassifier(10, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        CalibratedClassifierCV(ensemble.GradientBoostingClassifier(n_estimators=10), method="sigmoid", cv=2),
        CalibratedClassifierCV(ensemble.GradientBoostingClassifier(n_estimators=10), method="isotonic", cv=2),
    ],
    ids=lambda one: f"{type(one).__name__}-{getattr(one, 'method', '')}",
)
def test_a_classifier_answers_as_scikit_learn_does(cancer, as_onnx, tmp_path, estimator):
    x, y = cancer
    estimator.fit(x, np.where(y, "benign", "malignant"))
    answers, converted = as_onnx(saved(estimator, tmp_path), X=x)
    np.testing.assert_allclose(answers["probabilities"], estimator.predict_proba(x), atol=2e-5)
    assert (answers["label"] == estimator.predict(x)).mean() > 0.995  # equally probable ones are either
    assert converted.class_labels == ("benign", "malignant")
    assert list(answers) == ["probabilities", "label"]


def test_columns_by_name_and_text_are_an_input_each(cancer, as_onnx, tmp_path):
    x, y = cancer
    frame = pd.DataFrame(
        {"radius": x[:, 0], "label": x[:, 1], "size": np.where(x[:, 2] > 80, "big", "small")}
    )
    chosen = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["radius", "label"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["size"]),
        ]
    )
    pipeline = make_pipeline(chosen, LogisticRegression()).fit(frame, y)
    columns = {name: frame[name].to_numpy() for name in ("radius", "label")}
    answers, _ = as_onnx(saved(pipeline, tmp_path), **columns, size=frame["size"].to_numpy().astype(str))
    np.testing.assert_allclose(answers["probabilities"], pipeline.predict_proba(frame), atol=2e-5)
    assert set(answers) == {"probabilities", "predicted_label"}  # a column has the name already


def test_columns_become_one_matrix_where_no_step_selects_them(diabetes, as_onnx, tmp_path):
    x, y = diabetes
    frame = pd.DataFrame(x, columns=[f"c{number}" for number in range(x.shape[1])])
    forest = ensemble.RandomForestRegressor(5, random_state=0).fit(frame, y)
    columns = {name: frame[name].to_numpy() for name in frame}
    answers, converted = as_onnx(saved(forest, tmp_path), **columns)
    np.testing.assert_allclose(answers["prediction"][:, 0], forest.predict(frame), rtol=1e-5)
    session = optimised_session(converted.path.read_bytes())
    assert [(one.name, one.shape) for one in session.get_inputs()][:2] == [
        ("c0", ["batch"]),
        ("c1", ["batch"]),
    ]


def test_float64_requests_are_taken_where_rounding_changes_nothing(as_onnx, tmp_path):
    x, y = load_breast_cancer(return_X_y=True)
    model = ensemble.GradientBoostingClassifier(n_estimators=10).fit(x, y)
    answers, _ = as_onnx(saved(model, tmp_path), X=x)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(x), atol=2e-5)


@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_xgboost_with_as_many_trees_as_were_best(cancer, as_onnx, tmp_path, ending):
    xgboost = pytest.importorskip("xgboost")
    x, y = cancer
    model = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=2, n_jobs=1)
    model.fit(x[:300], y[:300], eval_set=[(x[300:], y[300:])], verbose=False)
    assert model.best_iteration < 59
    model.save_model(tmp_path / f"model.{ending}")
    answers, _ = as_onnx(tmp_path / f"model.{ending}", X=x)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(x), atol=2e-5)


def test_lightgbm(as_onnx, tmp_path):
    lightgbm = pytest.importorskip("lightgbm")
    x, y = load_wine(return_X_y=True)
    x = x.astype(np.float32)
    model = lightgbm.LGBMClassifier(**SMALL, verbose=-1).fit(x, y)
    model.booster_.save_model(tmp_path / "model.txt")
    answers, converted = as_onnx(tmp_path / "model.txt", X=x)
    np.testing.assert_allclose(answers["probabilities"], model.booster_.predict(x), atol=2e-5)
    assert converted.origin.framework == "lightgbm"


def test_catboost_with_its_classes(as_onnx, tmp_path):
    catboost = pytest.importorskip("catboost")
    x, y = load_wine(return_X_y=True)
    x, y = x.astype(np.float32), np.array(["red", "rose", "white"])[y]
    model = catboost.CatBoostClassifier(iterations=10, thread_count=1, verbose=0, allow_writing_files=False)
    model.fit(x, y).save_model(str(tmp_path / "model.cbm"))
    answers, converted = as_onnx(tmp_path / "model.cbm", X=x)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(x), atol=2e-5)
    assert converted.class_labels == ("red", "rose", "white")


def test_catboost_regression_of_columns(diabetes, as_onnx, tmp_path):
    catboost = pytest.importorskip("catboost")
    x, y = diabetes
    frame = pd.DataFrame(x, columns=[f"c{number}" for number in range(x.shape[1])])
    model = catboost.CatBoostRegressor(iterations=10, thread_count=1, verbose=0, allow_writing_files=False)
    model.fit(frame, y).save_model(str(tmp_path / "model.cbm"))
    answers, _ = as_onnx(tmp_path / "model.cbm", **{name: frame[name].to_numpy() for name in frame})
    np.testing.assert_allclose(answers["prediction"][:, 0], model.predict(frame), rtol=1e-4)


def test_boosters_inside_pipelines(cancer, as_onnx, tmp_path):
    lightgbm, xgboost = pytest.importorskip("lightgbm"), pytest.importorskip("xgboost")
    x, y = cancer
    for model in (lightgbm.LGBMClassifier(**SMALL, verbose=-1), xgboost.XGBClassifier(**SMALL)):
        pipeline = make_pipeline(SimpleImputer(), model).fit(x, y)
        answers, _ = as_onnx(saved(pipeline, tmp_path), X=x)
        np.testing.assert_allclose(answers["probabilities"], pipeline.predict_proba(x), atol=2e-5)


def test_what_the_converter_gets_wrong_is_refused_with_the_figure(diabetes, as_onnx, tmp_path):
    """XGBoost splits at values that occur, and a scaler rounds these otherwise in float32."""
    xgboost = pytest.importorskip("xgboost")
    x, y = diabetes
    model = make_pipeline(StandardScaler(), xgboost.XGBRegressor(**SMALL)).fit(x, y)
    with pytest.raises(InputError, match=r"answers otherwise than scikit-learn on \d+ of 256 .* by up to \d"):
        as_onnx(saved(model, tmp_path), X=x)


@pytest.fixture
def press(tmp_path, capsys):
    """Run `optimize` on a file; gives status, stdout and stderr."""

    def call(model, data, *more):
        words = [str(model), "--calibration", str(data), "--evaluation", str(data), "--max-drop", "0.02"]
        status = main([*words, "-o", str(tmp_path / "out"), "--measurements", str(tmp_path / "m"), *more])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_a_pipeline_becomes_a_bundle_that_knows_where_it_came_from(cancer, press, tmp_path):
    x, y = cancer
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        x, np.where(y, "benign", "malignant")
    )
    np.savez(tmp_path / "data.npz", X=x, labels=1 - y)
    path = saved(pipeline, tmp_path)
    status, out, err = press(
        path, tmp_path / "data.npz", "--metric", "log-loss", "--time-budget", "1", "--json"
    )
    assert status == 0, err
    manifest = read(Path(json.loads(out)["bundle"]))
    assert manifest.class_labels == ["benign", "malignant"]
    assert manifest.source.origin.framework == "scikit-learn"
    assert manifest.source.origin.file == "model.skops"
    expected = pipeline.predict_proba(x)
    assert manifest.metric.before == pytest.approx(
        np.mean(np.log(expected[np.arange(len(y)), 1 - y])), abs=0.1
    )


@pytest.mark.parametrize("ending", ["pkl", "joblib"])
def test_a_pickle_is_not_read_unless_trusted(cancer, press, tmp_path, ending):
    x, y = cancer
    path = tmp_path / f"model.{ending}"
    joblib.dump(Trap(), path)
    np.savez(tmp_path / "data.npz", X=x)
    status, _, err = press(path, tmp_path / "data.npz")
    assert status == 2
    assert "is a pickle, which runs whatever code is in it" in err
    assert err.count("\n") == 1
    joblib.dump(LogisticRegression(max_iter=20).fit(x, y), path)
    status, _, err = press(path, tmp_path / "data.npz", "--trust-pickle", "--time-budget", "0")
    assert status == 0, err


class Trap:
    """Unpickled, it ends the process."""

    def __reduce__(self):
        return sys.exit, (77,)


def test_a_type_that_skops_does_not_know_needs_trust(cancer, press, tmp_path):
    x, y = cancer
    spline = make_pipeline(SplineTransformer(), LogisticRegression()).fit(x, y)
    np.savez(tmp_path / "data.npz", X=x)
    status, _, err = press(saved(spline, tmp_path), tmp_path / "data.npz")
    assert status == 2
    assert "which skops does not know to be harmless" in err
    assert err.count("\n") == 1
    # With trust it is read, and is a step that no converter knows.
    status, _, err = press(saved(spline, tmp_path), tmp_path / "data.npz", "--trust-pickle")
    assert status == 2
    assert "no converter for SplineTransformer (its step 'splinetransformer')" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("ending", ["skops", "pkl", "json", "ubj", "txt", "cbm"])
def test_a_damaged_file_is_one_sentence(press, tmp_path, ending):
    if ending == "cbm":
        pytest.importorskip("catboost")
    path = tmp_path / f"model.{ending}"
    path.write_bytes(b"tree\n\x00\x01 no model")
    np.savez(tmp_path / "data.npz", X=np.zeros((4, 3), np.float32))
    status, _, err = press(path, tmp_path / "data.npz", "--trust-pickle")
    assert status == 2
    assert str(path) in err
    assert err.count("\n") == 1
    assert ".cc:" not in err, "where in its C++ a framework noticed"
    assert ".cpp:" not in err
    status, _, err = press(tmp_path / f"none.{ending}", tmp_path / "data.npz", "--trust-pickle")
    assert status == 2
    assert "does not exist" in err
    assert err.count("\n") == 1


def test_text_and_missing_columns_are_one_sentence(diabetes, press, tmp_path):
    x, y = diabetes
    frame = pd.DataFrame(x[:, :2], columns=["age", "income"])
    path = saved(ensemble.RandomForestRegressor(3).fit(frame, y), tmp_path)
    np.savez(tmp_path / "text.npz", age=np.array(["old"] * 9), income=np.ones(9, np.float32))
    status, _, err = press(path, tmp_path / "text.npz")
    assert status == 2
    assert "the column 'age' is text" in err
    assert err.count("\n") == 1
    np.savez(tmp_path / "less.npz", age=np.ones(9, np.float32))
    status, _, err = press(path, tmp_path / "less.npz")
    assert status == 2
    assert "has no column 'income', but the model has 2 features" in err


def test_a_missing_extra_is_named(tmp_path):
    """In a process where the package cannot be found."""
    np.savez(tmp_path / "data.npz", X=np.zeros((4, 3), np.float32))
    (tmp_path / "model.cbm").write_bytes(b"")
    code = (
        "import sys, importlib.util as u; found = u.find_spec\n"
        "import optimizer.sources.base as base\n"
        "base.find_spec = lambda name, *a: None if name == 'catboost' else found(name, *a)\n"
        "from coldpress.optimize import main; sys.exit(main(sys.argv[1:]))"
    )
    words = [
        "model.cbm",
        "--calibration",
        "data.npz",
        "--evaluation",
        "data.npz",
        "--max-drop",
        "0",
        "-o",
        "out",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "HOME": str(tmp_path), "PATH": ""},
    )
    assert done.returncode == 2
    assert "pip install 'coldpress[catboost]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_factory_may_give_an_estimator(cancer, press, tmp_path, monkeypatch):
    (tmp_path / "my_trees.py").write_text(
        "from sklearn.datasets import load_breast_cancer\n"
        "from sklearn.tree import DecisionTreeClassifier\n"
        "def make():\n"
        "    x, y = load_breast_cancer(return_X_y=True)\n"
        "    return DecisionTreeClassifier(max_depth=3).fit(x.astype('float32'), y)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    np.savez(tmp_path / "data.npz", X=cancer[0])
    status, out, err = press("my_trees:make", tmp_path / "data.npz", "--time-budget", "0", "--json")
    assert status == 0, err
    manifest = read(Path(json.loads(out)["bundle"]))
    assert (manifest.source.origin.framework, manifest.source.origin.file) == ("scikit-learn", "my_trees.py")


@pytest.mark.parametrize("by_column", [False, True])
def test_samples_of_several_rows(diabetes, tmp_path, by_column):
    """As clients send them, so that they are timed as such."""
    x, y = diabetes
    frame = pd.DataFrame(x, columns=[f"c{number}" for number in range(x.shape[1])])
    forest = ensemble.RandomForestRegressor(5, random_state=0).fit(frame if by_column else x, y)
    (tmp_path / "data").mkdir()
    for number, (first, end) in enumerate([(0, 100), (100, 130), (130, 400)]):
        part = frame[first:end]
        columns = {name: part[name].to_numpy() for name in part} if by_column else {"X": part.to_numpy()}
        np.savez(tmp_path / "data" / f"{number}.npz", **columns)
    asked = Asked(
        text=str(saved(forest, tmp_path)), folder=tmp_path / "out", calibration=str(tmp_path / "data")
    )
    session = optimised_session(convert(asked).path.read_bytes())
    shapes = {one.name: one.shape for one in session.get_inputs()}
    assert shapes == ({name: ["batch"] for name in frame} if by_column else {"X": ["batch", 10]})
