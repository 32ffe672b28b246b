"""Boosted trees: ``.json`` and ``.ubj`` of XGBoost, ``.txt`` of LightGBM, ``.cbm`` of CatBoost."""

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

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
    two_classes,
)

_SECOND_CLASS = 0.5
_WHERE_IN_C = re.compile(r"^(\[[\d:]+\] )?\S+:\d+: (Check failed: .* : )?")  # before what an error says


def is_xgboost(asked: Asked) -> bool:
    """Whether the file's name is that of a booster of XGBoost."""
    return asked.path.suffix in (".json", ".ubj")


def convert_xgboost(asked: Asked) -> Converted:
    """A booster of XGBoost, with as many trees as early stopping found best.

    Raises:
        InputError: it is missing, damaged, of a kind that onnxmltools lacks, or then answers otherwise.
    """
    path = existing(asked.path)
    need(("xgboost", "onnxmltools"), "xgboost", path.name)
    import onnxmltools  # noqa: PLC0415 - an extra
    import xgboost  # noqa: PLC0415 - an extra

    booster = _read(path, "XGBoost", lambda: xgboost.Booster(model_file=str(path)))
    learner = json.loads(booster.save_config())["learner"]
    if learner["gradient_booster"]["name"] != "gbtree":
        raise InputError(f"{path} has another booster than gbtree, which onnxmltools does not convert.")
    best = booster.attr("best_iteration")
    if best is not None:
        booster = booster[: int(best) + 1]
    table = read_table(asked, booster.feature_names, booster.num_features())
    rows = xgboost.DMatrix(table.matrix(), feature_names=booster.feature_names)
    is_classifier = learner["objective"]["name"].startswith(("binary:logistic", "multi:softprob"))
    expected = _expected(booster.predict(rows), is_classifier=is_classifier)
    # The converter knows columns by their numbers only.
    booster.feature_names = None
    model = _converted(path, lambda: onnxmltools.convert_xgboost(booster, initial_types=_types(table)))
    return finish(asked, origin_of("xgboost", path, [path]), model, Answers(table, expected))


def is_lightgbm(asked: Asked) -> bool:
    """Whether the file's name is that of a booster of LightGBM."""
    return asked.path.suffix == ".txt"


def convert_lightgbm(asked: Asked) -> Converted:
    """A booster of LightGBM.

    Raises:
        InputError: it is missing, damaged, of a kind that onnxmltools lacks, or then answers otherwise.
    """
    path = existing(asked.path)
    need(("lightgbm", "onnxmltools"), "lightgbm", path.name)
    import lightgbm  # noqa: PLC0415 - an extra
    import onnxmltools  # noqa: PLC0415 - an extra

    text = path.read_bytes()  # LightGBM never comes back from some that are damaged
    if not text.startswith(b"tree\n") or b"\ntree_sizes=" not in text or b"\nend of trees" not in text:
        raise InputError(f"{path} is no model of LightGBM, or is damaged: save it with booster.save_model().")
    booster = _read(path, "LightGBM", lambda: lightgbm.Booster(model_file=str(path)))
    names = booster.feature_name()
    known = None if names == [f"Column_{number}" for number in range(len(names))] else names
    table = read_table(asked, known, len(names))
    is_classifier = any(word in booster.dump_model()["objective"] for word in ("binary", "multiclass"))
    expected = _expected(booster.predict(table.matrix()), is_classifier=is_classifier)
    model = _converted(
        path, lambda: onnxmltools.convert_lightgbm(booster, initial_types=_types(table), zipmap=False)
    )
    return finish(asked, origin_of("lightgbm", path, [path]), model, Answers(table, expected))


def is_catboost(asked: Asked) -> bool:
    """Whether the file's name is that of a model of CatBoost."""
    return asked.path.suffix == ".cbm"


def convert_catboost(asked: Asked) -> Converted:
    """A model of CatBoost, which writes ONNX itself.

    Raises:
        InputError: it is missing, damaged, has text or categories, or then answers otherwise.
    """
    path = existing(asked.path)
    need(("catboost",), "catboost", path.name)
    import catboost  # noqa: PLC0415 - an extra

    trees = _read(path, "CatBoost", lambda: catboost.CatBoost().load_model(str(path)))
    names = trees.feature_names_
    known = None if names == [str(number) for number in range(len(names))] else names
    table = read_table(asked, known, len(names))
    classes = list(trees.classes_)
    rows = table.matrix()
    if classes:
        probabilities = trees.predict(rows, prediction_type="Probability")
        expected = {PROBABILITIES: probabilities, LABEL: trees.predict(rows, prediction_type="Class")}
    else:
        expected = {PREDICTION: trees.predict(rows)}
    model = _converted(path, lambda: _catboost_onnx(trees))
    return finish(asked, origin_of("catboost", path, [path]), model, Answers(table, expected, classes))


def _catboost_onnx(trees: Any) -> onnx.ModelProto:
    """What CatBoost writes, with its probabilities as a tensor, not as a list of maps."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        trees.save_model(str(file), format="onnx")
        model = onnx.load(file)
    graph = model.graph
    for node in list(graph.node):
        node.input[:] = [MATRIX if name == graph.input[0].name else name for name in node.input]
        if node.op_type == "ZipMap":
            graph.node.remove(node)
            old = next(value for value in graph.output if value.name == node.output[0])
            graph.output.remove(old)
            graph.output.append(onnx.ValueInfoProto(name=node.input[0]))
            graph.output[-1].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    graph.input[0].name = MATRIX
    return model


def _types(table: Table) -> list[tuple[str, Any]]:
    from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: PLC0415 - an extra

    return [(MATRIX, FloatTensorType([None, table.matrix().shape[1]]))]


def _expected(scores: Array, *, is_classifier: bool) -> dict[str, Array]:
    """What a booster says, as its classifier would."""
    if not is_classifier:
        return {PREDICTION: scores}
    if scores.ndim == 1:
        return {PROBABILITIES: two_classes(scores), LABEL: (scores > _SECOND_CLASS).astype(np.int64)}
    return {PROBABILITIES: scores, LABEL: scores.argmax(axis=1)}


def _read(path: Path, framework: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # noqa: BLE001 - each framework raises its own types, all of which mean this
        reason = _WHERE_IN_C.sub("", first_line(error))
        raise InputError(
            f"{path} is no model of {framework}, or is damaged ({reason}): save it anew."
        ) from None


def _converted(path: Path, convert: Callable[[], onnx.ModelProto]) -> onnx.ModelProto:
    try:
        return convert()
    except Exception as error:  # noqa: BLE001 - converters raise many types, all of which mean this
        reason = _WHERE_IN_C.sub("", first_line(error))
        raise InputError(f"{path} cannot be written as ONNX ({reason}).") from None
