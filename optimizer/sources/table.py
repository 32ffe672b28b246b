"""Models of tables: inputs as the calibration data has them, answers compared with the framework's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from bundle.manifest import Origin
from optimizer.data import LABELS, first_samples
from optimizer.errors import InputError, first_line
from optimizer.runtime import Array, optimised_session
from optimizer.sources.base import Asked, Converted

MATRIX, LABEL, PROBABILITIES, PREDICTION = "matrix", "label", "probabilities", "prediction"

_COMPARED = 256
# Of the largest answer: sums of a thousand float32 leaves stay well below, another leaf does not.
_TOLERANCE = 1e-4
_TEXT = "OU"
_IR_VERSION = 8  # before 4, which CatBoost writes, initializers had to be inputs


@dataclass(frozen=True)
class Table:
    """The first rows of the calibration data, by input.

    A matrix is one input [rows, features]; else there is one input for each column, [rows] or [rows, 1].
    """

    inputs: dict[str, Array]
    is_matrix: bool

    def matrix(self) -> Array:
        """All columns beside each other, as float32, or as float64 where the data has such.

        Raises:
            InputError: a column is of text.
        """
        for name, array in self.inputs.items():
            if array.dtype.kind in _TEXT:
                raise InputError(
                    f"the column '{name}' is text, but the model takes numbers: encode it inside the "
                    "pipeline with a ColumnTransformer, or before the request."
                )
        dtype = np.float64 if any(a.dtype == np.float64 for a in self.inputs.values()) else np.float32
        return np.concatenate([a.reshape(len(a), -1).astype(dtype) for a in self.inputs.values()], axis=1)


def read_table(asked: Asked, names: Sequence[str] | None, features: int) -> Table:
    """Rows for a model of so many features, whose columns have these names, if it knows them.

    Raises:
        InputError: the calibration data has neither a matrix of them nor the columns.
    """
    arrays = first_samples(asked.calibration, _COMPARED)
    if LABELS not in (names or ()):
        arrays.pop(LABELS, None)
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        if array.ndim > 1 and array.shape[-1] == features:
            return Table({name: array.reshape(-1, features)[:_COMPARED]}, is_matrix=True)
    flat = {
        name: array[:_COMPARED] if array.shape[1:] in {(), (1,)} else array.reshape(-1)[:_COMPARED]
        for name, array in arrays.items()
        if array.ndim in {1, 2} or array.shape[2:] == (1,)  # samples may be of several rows
    }
    wanted = list(names or flat)
    missing = [name for name in wanted if name not in flat]
    if missing or len(wanted) != features:
        which = f"no column '{missing[0]}'" if missing else f"{len(wanted)} columns"
        raise InputError(
            f"{asked.calibration} has {which}, but the model has {features} features: give an array for each "
            "column, or one of all columns in the model's order, rows along the first axis."
        )
    return Table({name: flat[name] for name in wanted}, is_matrix=False)


def existing(path: Path) -> Path:
    """The model's file.

    Raises:
        InputError: it is not there.
    """
    if not path.is_file():
        raise InputError(
            f"the model {path} {'is a folder' if path.exists() else 'does not exist'}: name a file."
        )
    return path


@dataclass(frozen=True)
class Answers:
    """What the framework itself says of a table, by output, that which scores are judged by first.

    ``classes`` are a classifier's, in the order of its probabilities.
    """

    table: Table
    expected: Mapping[str, Array]
    classes: Sequence[object] = ()


def finish(asked: Asked, origin: Origin, model: onnx.ModelProto, answers: Answers) -> Converted:
    """Give the graph the table's inputs and the answers' outputs; compare it, and write it.

    ``model`` takes either one matrix of float32, or columns [rows, 1] under the table's names, what is
    float64 in the table as float32. It gives what is expected in the order of converters, a classifier's
    label first, and maybe more, which goes.

    Raises:
        InputError: it answers otherwise than the framework.
    """
    graph, table, expected = model.graph, answers.table, answers.expected
    _keep_apart(graph)
    _rename_outputs(graph, table, expected)
    takes_matrix = [value.name for value in graph.input] == [MATRIX]
    nodes = _matrix_of_columns(graph, table) if takes_matrix else _columns(graph, table)
    _put_before(graph, nodes, table)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    if not any(entry.domain in ("", "ai.onnx") for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("", 17))
    for value, answer in zip(graph.output, _compared(model, answers, origin), strict=True):
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, ["batch", *answer.shape[1:]]))
    asked.folder.mkdir(parents=True, exist_ok=True)
    path = asked.folder / f"{Path(origin.file).stem}.onnx"
    onnx.save(model, path)
    return Converted(path=path, origin=origin, class_labels=tuple(str(one) for one in answers.classes))


def _keep_apart(graph: onnx.GraphProto) -> None:
    """No column may be called as one of the converter's own values is."""
    given = {value.name for value in graph.input}
    own = {name for node in graph.node for name in (*node.input, *node.output) if name} - given
    for named in (*graph.initializer, *graph.output, *graph.value_info):
        named.name = f"own_{named.name}" if named.name in own else named.name
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [f"own_{name}" if name in own else name for name in names]


def _matrix_of_columns(graph: onnx.GraphProto, table: Table) -> list[onnx.NodeProto]:
    """What makes a matrix of the inputs.

    All columns one after the other, and then turned: two operators, however many columns there are.
    """
    parts, nodes = [], []
    for number, (name, array) in enumerate(table.inputs.items()):
        part = name
        if array.dtype != np.float32:
            target = MATRIX if table.is_matrix else f"column_{number}_cast"
            nodes.append(helper.make_node("Cast", [part], [part := target], to=onnx.TensorProto.FLOAT))
        if array.ndim == 2 and not table.is_matrix:
            nodes.append(helper.make_node("Reshape", [part, "flat"], [part := f"column_{number}_flat"]))
        parts.append(part)
    if table.is_matrix:
        _rename(graph, MATRIX, parts[0])
        return nodes
    for name, shape in (("flat", [-1]), ("by_column", [len(parts), -1])):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), name))
    return [
        *nodes,
        helper.make_node("Concat", parts, ["columns"], axis=0),
        helper.make_node("Reshape", ["columns", "by_column"], ["turned"]),
        helper.make_node("Transpose", ["turned"], [MATRIX], perm=[1, 0]),
    ]


def _columns(graph: onnx.GraphProto, table: Table) -> list[onnx.NodeProto]:
    """What makes columns [rows, 1] of the inputs."""
    nodes = []
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 1], np.int64), "as_column"))
    if len(graph.input) == len(table.inputs):  # skl2onnx calls a column "label1" if its output is "label"
        for value, name in zip(graph.input, table.inputs, strict=True):
            _rename(graph, value.name, name)
    for name, array in table.inputs.items():
        part = column = f"{name}_column"
        is_double = array.dtype == np.float64
        if is_double or array.ndim == 1:
            _rename(graph, name, column)
        if is_double:
            part = f"{name}_cast" if array.ndim == 1 else column
            nodes.append(helper.make_node("Cast", [name], [part], to=onnx.TensorProto.FLOAT))
        if array.ndim == 1:
            nodes.append(helper.make_node("Reshape", [part if is_double else name, "as_column"], [column]))
    return nodes


def _put_before(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], table: Table) -> None:
    old = list(graph.node)
    read = {name for node in (*nodes, *old) for name in node.input}
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes, *old])
    graph.input.extend(
        helper.make_tensor_value_info(
            name,
            onnx.TensorProto.STRING
            if array.dtype.kind in _TEXT
            else helper.np_dtype_to_tensor_dtype(array.dtype),
            ["batch", *array.shape[1:]],
        )
        for name, array in table.inputs.items()
        if name in read  # what the pipeline drops need not be sent
    )


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == old:
                    names[index] = new


def _rename_outputs(graph: onnx.GraphProto, table: Table, expected: Mapping[str, Array]) -> None:
    """Those that are expected, in their order, and no others."""
    made = list(graph.output)
    converters_order = [LABEL, PROBABILITIES] if LABEL in expected else list(expected)
    old = dict(zip(converters_order, made, strict=False))
    del graph.output[:]
    for name in expected:
        new = name if name not in table.inputs else f"predicted_{name}"
        _rename(graph, old[name].name, new)
        kind = old[name].type.tensor_type.elem_type
        graph.output.append(helper.make_tensor_value_info(new, kind, None))


def _compared(model: onnx.ModelProto, asked: Answers, origin: Origin) -> Sequence[Array]:
    """What the graph answers, where that is what the framework does; converters do not tell its shape."""
    table, expected = asked.table, asked.expected
    try:
        session = optimised_session(model.SerializeToString())
        names = {one.name for one in session.get_inputs()}
        feeds = {
            name: array.astype(object) if array.dtype.kind == "U" else array
            for name, array in table.inputs.items()
            if name in names
        }
        answers = session.run(None, feeds)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises many types, all of which mean this
        raise InputError(
            f"{origin.file} became a graph that onnxruntime cannot run ({first_line(error)})."
        ) from None
    rows = len(next(iter(table.inputs.values())))
    sure = _sure(expected.get(PROBABILITIES), rows)
    for (name, wanted), answer in zip(expected.items(), answers, strict=True):
        differ, worst = _differences(wanted.reshape(rows, -1), answer.reshape(rows, -1))
        if name == LABEL:  # of two classes that are equally probable, either is right
            differ &= sure
        if differ.any():
            figure = f" by up to {worst:.2g}" if worst is not None else ""
            raise InputError(
                f"{origin.file} as ONNX answers otherwise than {origin.framework} on {differ.sum()} of "
                f"{rows} calibration samples ('{name}' differs{figure}), so it is not pressed: values next "
                "to a tree's split may be on its other side in float32, so train it on float32; else the "
                "converter gets a step wrong."
            )
    return [np.asarray(answer) for answer in answers]


def _sure(probabilities: Array | None, rows: int) -> Array:
    if probabilities is None or probabilities.shape[-1] < 2:
        return np.ones(rows, bool)
    best = np.sort(probabilities, axis=1)
    return np.asarray(best[:, -1] - best[:, -2] > _TOLERANCE)


def _differences(wanted: Array, answer: Array) -> tuple[Array, float | None]:
    """Which rows differ, and by how much the worst one does, if these are numbers."""
    if wanted.shape != answer.shape:
        return np.ones(len(wanted), bool), None
    if wanted.dtype.kind not in "fiub" or answer.dtype.kind not in "fiub":
        return np.asarray((wanted.astype(str) != answer.astype(str)).any(axis=1)), None
    left, right = wanted.astype(np.float64), answer.astype(np.float64)
    largest = np.abs(left[np.isfinite(left)]).max(initial=0.0)
    same = np.isclose(left, right, rtol=_TOLERANCE, atol=_TOLERANCE * largest, equal_nan=True)
    apart = np.abs(left - right)[~same]
    return np.asarray(~same.all(axis=1)), float(apart.max(initial=0.0))


def two_classes(scores: Array) -> Array:
    """Probabilities of both classes, where a framework gives that of the second only."""
    return np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores
