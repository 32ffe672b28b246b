"""What each layer costs and gains in each form that it can have."""

import math
import time
from collections.abc import Mapping, Sequence

import msgspec
import onnx

from optimizer.choose import Objective
from optimizer.job import Job
from optimizer.measure import representative
from optimizer.search.build import Builder
from optimizer.search.chain import Choice
from optimizer.search.plan import Change, Plan, Treatment
from optimizer.search.profile import layer_times
from optimizer.search.sensitivity import Sensitivity

_PROFILED_SIZES = 3
_SENSITIVITY_SHARE = 0.25  # of the time that is left
# ONNX Runtime's profile counts whole microseconds: times that differ by less than these are the same.
_SAME_MS, _SAME_SHARE = 0.003, 0.1
# How many times smaller than float weights; all others are four times.
_SMALLER: Mapping[Treatment, int] = {"embedding4": 8, "nbits4": 8, "clustered": 8, "half": 2}
# Small in the file, but not in memory, where a run has to read them.
_STORED: tuple[Treatment, ...] = ("storage", "half")
# It gains nothing but bytes in the file, and takes time to load.
_FOR_SIZE: Treatment = "clustered"
# What a share of the original's time and of its bytes counts, by objective.
_WEIGHTS: Mapping[Objective, tuple[float, float]] = {
    "latency": (1.0, 0.1),
    "size": (0.1, 1.0),
    "cold-start": (0.5, 0.5),
}


class LayerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One layer under one treatment (None: float): ms a run, bytes of weights, and the error it makes."""

    layer: str
    operator: str
    treatment: Treatment | None
    ms: float
    size_bytes: float
    error: float


class LayerTable(msgspec.Struct, frozen=True):
    """What was measured layer by layer, in the order of the graph. Kept in the work folder."""

    rows: list[LayerFigures]


def layers_file(base: str, objective: Objective) -> str:
    """Where the table of a float graph is kept."""
    return f"{base}.size.layers" if objective == "size" else f"{base}.layers"


def measure_layers(job: Job, builder: Builder, changes: tuple[Change, ...]) -> LayerTable:
    """Time, size and error of every layer under every treatment that it can have."""
    base = builder.base(changes)
    treatable = {
        layer: [one for one in choices if one != _FOR_SIZE or job.options.objective == "size"]
        for layer, choices in base.treatable.items()
    }
    feeds = representative([sample.feeds for sample in job.tuning], _PROFILED_SIZES)
    graph = onnx.load_model_from_string(base.data).graph
    known = {output for node in graph.node for output in node.output}

    def timed(data: bytes) -> dict[str, float]:
        return layer_times(data, treatable, known, feeds)

    times: dict[Choice, dict[str, float]] = {None: timed(base.data)}
    treated: dict[Treatment, bytes] = {}
    for treatment in dict.fromkeys(one for choices in treatable.values() for one in choices):
        everywhere = {layer: treatment for layer, choices in treatable.items() if treatment in choices}
        try:
            built = builder.build(Plan(base=builder.name, changes=changes, layers=everywhere))
            if built is not None:
                times[treatment] = timed(built[0])
                treated[treatment] = built[0]
        except (OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - onnxruntime raises many types: it lacks what the treatment needs
            job.tell(f"{treatment} is left out ({type(error).__name__}: {error})")
    errors = Sensitivity(base.data, treated, treatable, job.outputs).errors(
        [sample.feeds for sample in job.tuning],
        until=time.monotonic() + max(_SENSITIVITY_SHARE * job.seconds_left, 1.0),
    )
    return LayerTable(_rows(graph, treatable, times, errors))


def _rows(
    graph: onnx.GraphProto,
    treatable: Mapping[str, Sequence[Treatment]],
    times: Mapping[Choice, Mapping[str, float]],
    errors: Mapping[str, Mapping[Treatment, float]],
) -> list[LayerFigures]:
    """Each layer as it is, and under every treatment whose error is known."""
    sizes = _weight_bytes(graph, treatable)
    rows = []
    operators = {name: node.op_type for node in graph.node for name in node.output if name in treatable}
    for layer, operator in operators.items():
        plain = LayerFigures(
            layer=layer,
            operator=operator,
            treatment=None,
            ms=times[None].get(layer, 0.0),
            size_bytes=sizes[layer],
            error=0.0,
        )
        rows.append(plain)
        rows += [
            msgspec.structs.replace(
                plain,
                treatment=treatment,
                ms=times[treatment].get(layer, plain.ms),
                size_bytes=sizes[layer] / _SMALLER.get(treatment, 4),
                error=error,
            )
            for treatment, error in errors.get(layer, {}).items()
        ]
    return rows


def layer_options(
    table: LayerTable, objective: Objective, original_bytes: int
) -> dict[str, dict[Choice, tuple[float, float]]]:
    """(cost, error) of each choice for each layer; costs are shares of the original's."""
    for_ms, for_bytes = _WEIGHTS[objective]
    all_ms = sum(row.ms for row in table.rows if row.treatment is None) or 1.0
    floats = {row.layer: row.size_bytes for row in table.rows if row.treatment is None}
    options: dict[str, dict[Choice, tuple[float, float]]] = {}
    for row in even(table.rows):
        size = row.size_bytes
        if objective != "size" and row.treatment in _STORED:
            size = (size + floats[row.layer]) / 2
        cost = for_ms * row.ms / all_ms + for_bytes * size / original_bytes
        options.setdefault(row.layer, {})[row.treatment] = (cost, row.error)
    return options


def even(rows: Sequence[LayerFigures]) -> list[LayerFigures]:
    """The rows, those of a layer whose times cannot be told apart with the same time: that of the fastest.

    So bytes and errors decide among them, which are the same in every run.
    """
    times: dict[tuple[str, Choice], float] = {}
    by_layer: dict[str, list[LayerFigures]] = {}
    for row in rows:
        by_layer.setdefault(row.layer, []).append(row)
    for of_layer in by_layer.values():
        fastest = -math.inf
        for row in sorted(of_layer, key=lambda one: one.ms):
            if row.ms > max(fastest + _SAME_MS, fastest * (1 + _SAME_SHARE)):
                fastest = row.ms
            times[row.layer, row.treatment] = fastest
    return [msgspec.structs.replace(row, ms=times[row.layer, row.treatment]) for row in rows]


def _weight_bytes(graph: onnx.GraphProto, layers: Mapping[str, object]) -> dict[str, int]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    return {
        node.output[0]: max(
            (4 * math.prod(constants[name].dims) for name in node.input if name in constants), default=0
        )
        for node in graph.node
        if node.output and node.output[0] in layers
    }
