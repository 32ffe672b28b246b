"""Estimators and pipelines of scikit-learn, by skl2onnx: ``.skops``, ``.joblib``, ``.pkl``, a factory's."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from bundle.manifest import Origin
from optimizer.errors import InputError, first_line
from optimizer.runtime import Array
from optimizer.sources.base import Asked, Converted, need, origin_of
from optimizer.sources.table import (
    LABEL,
    MATRIX,
    PREDICTION,
    PROBABILITIES,
    Answers,
    Table,
    existing,
    finish,
    read_table,
)

_PICKLES = (".joblib", ".pkl", ".pickle")
# What skops asks about, but what is data: scikit-learn's own classes, and boosters in their own formats.
_HARMLESS = re.compile(
    r"(scipy|sklearn)\.(\w+\.)+_?[A-Z]\w*|collections\.OrderedDict|numpy\.dtype"
    r"|(lightgbm|xgboost)\.(basic\.Booster|core\.Booster|sklearn\.(LGBM|XGB)(Classifier|Regressor|RFClassifier|RFRegressor))"
)


def is_mine(asked: Asked) -> bool:
    """Whether the file's name is that of an estimator."""
    return asked.path.suffix in (".skops", *_PICKLES)


def convert(asked: Asked) -> Converted:
    """Read an estimator and convert it.

    Raises:
        InputError: it is missing, damaged or a pickle that is not trusted; see ``convert_estimator``.
    """
    path = existing(asked.path)
    if path.suffix in _PICKLES and not asked.trust_pickle:
        raise InputError(
            f"{path} is a pickle, which runs whatever code is in it when it is read: save the model with "
            "skops.io.dump(model, 'model.skops'), or say --trust-pickle if it is yours."
        )
    _need(path.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of another version's file: answers are compared below
        estimator = _from_skops(asked, path) if path.suffix == ".skops" else _from_pickle(path)
    if not is_estimator(estimator):
        raise InputError(f"{path} holds a {type(estimator).__name__}, which is no scikit-learn estimator.")
    return convert_estimator(asked, estimator, origin_of("scikit-learn", path, [path]))


def is_estimator(thing: object) -> bool:
    """Whether it is of scikit-learn, which is not imported to find out."""
    base = sys.modules.get("sklearn.base")
    return base is not None and isinstance(thing, base.BaseEstimator)


def convert_estimator(asked: Asked, estimator: Any, origin: Origin) -> Converted:
    """A fitted estimator as ONNX.

    Its inputs are what the calibration data has: one matrix, or an array for each column. It gives what its
    ``predict_proba`` and ``predict``, or its ``transform``, give.

    Raises:
        InputError: skl2onnx cannot convert it, or it then answers otherwise.
    """
    _need(origin.file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = getattr(estimator, "n_features_in_", None)
        if features is None:
            raise InputError(f"{origin.file} is not fitted, so there is nothing to press: fit it first.")
        names = getattr(estimator, "feature_names_in_", None)
        table = read_table(asked, None if names is None else [str(name) for name in names], int(features))
        if table.is_matrix and _selects_by_name(estimator):
            raise InputError(
                f"the pipeline of {origin.file} selects columns by name, but {asked.calibration} has one "
                "matrix: give an array for each column."
            )
        expected = _answers(estimator, table, names, origin)
        model = _converted(estimator, table, origin)
    return finish(asked, origin, model, Answers(table, expected, getattr(estimator, "classes_", ())))


def _need(what: str) -> None:
    need(("sklearn", "skl2onnx", "skops", "pandas"), "sklearn", what)


def _from_skops(asked: Asked, path: Path) -> Any:
    import skops.io  # noqa: PLC0415 - an extra

    try:
        asked_about = skops.io.get_untrusted_types(file=path)
        unknown = [name for name in asked_about if not _HARMLESS.fullmatch(name)]
        if not unknown or asked.trust_pickle:
            return skops.io.load(path, trusted=asked_about)
    except Exception as error:  # noqa: BLE001 - whatever it is, the file cannot be read
        raise InputError(f"{path} cannot be read by skops ({first_line(error)}): save it anew.") from None
    raise InputError(
        f"{path} holds {', '.join(unknown)}, which skops does not know to be harmless: say --trust-pickle if "
        "the file is yours."
    )


def _from_pickle(path: Path) -> Any:
    import joblib  # noqa: PLC0415 - an extra

    try:
        return joblib.load(path)
    except Exception as error:  # noqa: BLE001 - a pickle may raise anything
        raise InputError(
            f"{path} cannot be read ({type(error).__name__}: {first_line(error)}): save it anew, with "
            "what it imports in this folder."
        ) from None


def _selects_by_name(estimator: Any) -> bool:
    """Whether a ColumnTransformer takes columns by their names."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    chosen = [columns for part in parts for *_, columns in getattr(part, "transformers_", ())]
    return any(
        isinstance(name, str)
        for columns in chosen
        for name in ([columns] if isinstance(columns, str) else np.atleast_1d(columns))
    )


def _answers(estimator: Any, table: Table, names: Any, origin: Origin) -> dict[str, Array]:
    """What scikit-learn itself says, the output that scores are judged by first."""
    rows = _as_trained(table, names, by_name=_selects_by_name(estimator))
    classifies = hasattr(estimator, "classes_")
    try:
        if classifies and hasattr(estimator, "predict_proba"):
            return {PROBABILITIES: estimator.predict_proba(rows), LABEL: estimator.predict(rows)}
        if hasattr(estimator, "predict"):
            return {LABEL if classifies else PREDICTION: estimator.predict(rows)}
        if hasattr(estimator, "transform"):
            return {"transformed": np.asarray(estimator.transform(rows))}
    except Exception as error:  # noqa: BLE001 - any step of a pipeline may raise anything
        raise InputError(
            f"{origin.file} does not take the calibration data ({type(error).__name__}: {first_line(error)})."
        ) from None
    raise InputError(f"{origin.file} is a {type(estimator).__name__}, which neither predicts nor transforms.")


def _as_trained(table: Table, names: Any, *, by_name: bool) -> Any:
    if names is None:
        return table.matrix()
    import pandas as pd  # noqa: PLC0415 - an extra

    if table.is_matrix or not by_name:
        return pd.DataFrame(table.matrix(), columns=names)
    columns = {name: array.reshape(-1) for name, array in table.inputs.items()}
    return pd.DataFrame(
        {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in columns.items()}
    )


def _converted(estimator: Any, table: Table, origin: Origin) -> onnx.ModelProto:
    import skl2onnx  # noqa: PLC0415 - an extra

    _register_boosters()
    try:
        with _corrected():
            model: onnx.ModelProto = skl2onnx.to_onnx(
                estimator,
                initial_types=_types(table, by_name=_selects_by_name(estimator)),
                options={"zipmap": False} if hasattr(estimator, "predict_proba") else None,
                target_opset={"": 17, "ai.onnx.ml": 3},
            )
    except Exception as error:  # noqa: BLE001 - converters raise many types, all of which mean this
        raise InputError(
            f"skl2onnx cannot convert {origin.file}: {_step(estimator, error)}. Leave the step out, and do "
            "its work before the request (docs/transforms.md)."
        ) from None
    return model


def _types(table: Table, *, by_name: bool) -> list[tuple[str, Any]]:
    from skl2onnx.common import data_types  # noqa: PLC0415 - an extra

    kinds = {
        "float32": data_types.FloatTensorType,
        "float64": data_types.FloatTensorType,  # cast before
        "int32": data_types.Int32TensorType,
        "int64": data_types.Int64TensorType,
        "bool": data_types.BooleanTensorType,
    }
    if by_name:
        return [
            (name, kinds.get(array.dtype.name, data_types.StringTensorType)([None, 1]))
            for name, array in table.inputs.items()
        ]
    return [(MATRIX, data_types.FloatTensorType([None, table.matrix().shape[1]]))]


def _step(estimator: Any, error: Exception) -> str:
    """Which step it is, by its name in the pipeline, or what skl2onnx says."""
    found = re.search(r"type '<class '([\w.]+)'>'", str(error))
    if found is None:
        return first_line(error)
    kind = found[1].rpartition(".")[2]
    steps = [name for name, part in estimator.get_params(deep=True).items() if type(part).__name__ == kind]
    return f"it has no converter for {kind}" + (f" (its step '{steps[0]}')" if steps else "")


@contextmanager
def _corrected() -> Iterator[None]:
    """Put right what skl2onnx 1.20 gets wrong, while it converts."""
    from skl2onnx.common._container import ModelComponentContainer  # noqa: PLC0415 - an extra
    from skl2onnx.operator_converters import calibrated_classifier_cv  # noqa: PLC0415 - an extra

    add_node, isotonic = ModelComponentContainer.add_node, calibrated_classifier_cv._transform_isotonic

    def with_whole_numbers(self: Any, *arguments: Any, **attributes: Any) -> Any:
        """Of HistGradientBoosting it has numpy's numbers and booleans, which onnx 1.23 refuses."""
        for name, value in attributes.items():
            if isinstance(value, list):
                attributes[name] = [
                    int(one) if isinstance(one, bool | np.bool_ | np.integer) else one for one in value
                ]
        return add_node(self, *arguments, **attributes)

    ModelComponentContainer.add_node = with_whole_numbers
    calibrated_classifier_cv._transform_isotonic = _interpolated
    try:
        yield
    finally:
        ModelComponentContainer.add_node = add_node
        calibrated_classifier_cv._transform_isotonic = isotonic


def _interpolated(
    scope: Any, container: Any, model: Any, scores: str, k: int, _dtype: Any, _kind: Any
) -> str:
    """Isotonic calibration, linear between its thresholds; skl2onnx takes the nearest one's value."""
    x, y = (
        np.append(values, values[-1:] + step)  # one more, so that there always is a line
        for values, step in ((model.calibrators[k].X_thresholds_, 1), (model.calibrators[k].y_thresholds_, 0))
    )
    slopes = np.diff(y) / np.maximum(np.diff(x), np.finfo(np.float32).tiny)

    def add(op_type: str, *inputs: str, **attributes: int) -> str:
        name: str = scope.get_unique_variable_name("isotonic")
        container.add_node(op_type, list(inputs), [name], name=name, op_version=13, **attributes)
        return name

    def constant(array: Any, kind: int = onnx.TensorProto.FLOAT) -> str:
        name: str = scope.get_unique_variable_name("isotonic")
        container.add_initializer(name, kind, list(array.shape), array.reshape(-1).tolist())
        return name

    column = add("Reshape", scores, constant(np.array([-1, 1]), onnx.TensorProto.INT64))
    inside = add("Clip", column, constant(np.array(x[0])), constant(np.array(x[-2])))
    above = add("Cast", add("GreaterOrEqual", inside, constant(x[1:-1])), to=onnx.TensorProto.INT64)
    line = add("ReduceSum", above, constant(np.array([1]), onnx.TensorProto.INT64), keepdims=1)
    start, height, slope = (add("Gather", constant(part), line, axis=0) for part in (x[:-1], y[:-1], slopes))
    return add("Add", height, add("Mul", add("Sub", inside, start), slope))


def _register_boosters() -> None:
    """Let skl2onnx convert steps of XGBoost and LightGBM, where they are in use."""
    if find_spec("onnxmltools") is None:
        return
    from skl2onnx import update_registered_converter  # noqa: PLC0415 - an extra
    from skl2onnx.common.shape_calculator import (  # noqa: PLC0415 - an extra
        calculate_linear_classifier_output_shapes as of_classifier,
    )
    from skl2onnx.common.shape_calculator import (  # noqa: PLC0415 - an extra
        calculate_linear_regressor_output_shapes as of_regressor,
    )

    options = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}
    if xgboost := sys.modules.get("xgboost"):
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import (  # noqa: PLC0415 - an extra
            convert_xgboost as by_xgboost,
        )

        for kind, shapes in ((xgboost.XGBClassifier, of_classifier), (xgboost.XGBRegressor, of_regressor)):
            chosen = options if shapes is of_classifier else None
            update_registered_converter(kind, kind.__name__, shapes, by_xgboost, options=chosen)
    if lightgbm := sys.modules.get("lightgbm"):
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import (  # noqa: PLC0415 - an extra
            convert_lightgbm as by_lightgbm,
        )

        for kind, shapes in (
            (lightgbm.LGBMClassifier, of_classifier),
            (lightgbm.LGBMRegressor, of_regressor),
        ):
            chosen = options if shapes is of_classifier else {"split": None}
            update_registered_converter(kind, kind.__name__, shapes, by_lightgbm, options=chosen)
