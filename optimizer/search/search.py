"""The search: what each layer costs and gains, a chain of plans out of it, and the best link of the chain."""

import time
from collections.abc import Mapping

import msgspec
import onnx

from optimizer.candidates import Candidates
from optimizer.choose import Objective
from optimizer.job import Job
from optimizer.measure import representative
from optimizer.quantize.ranges import Range
from optimizer.search.base import Base
from optimizer.search.build import Builder
from optimizer.search.chain import Choice, Link, chain, cheapest_within
from optimizer.search.changes import choose_changes
from optimizer.search.plan import CLEAN, ORIGINAL, Change, Plan, Treatment
from optimizer.search.profile import layer_times
from optimizer.search.sensitivity import Sensitivity

_PROFILED_SIZES = 3
_RANGES_SHARE, _SENSITIVITY_SHARE = 0.1, 0.25  # of the time that is left
_TOLERANCE = 0.01
_ALWAYS_TRIED = 3
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


class Ranges(msgspec.Struct, frozen=True):
    """The ranges of activations that were picked. Kept in the work folder."""

    by_value: dict[str, Range]


class LayerTable(msgspec.Struct, frozen=True):
    """What was measured layer by layer, in the order of the graph. Kept in the work folder."""

    rows: list[LayerFigures]


def search(job: Job, builder: Builder, candidates: Candidates) -> None:
    """Measure the candidates that may be the best one."""
    candidates.measure(ORIGINAL)
    candidates.measure(CLEAN)
    if job.seconds_left <= 0:
        return
    changes = choose_changes(job, builder)
    base = builder.base(changes)
    if not base.treatable:
        return
    base.ranges = _ranges(job, base)
    table = job.work.load("layers.result", LayerTable)
    if table is None:
        job.tell(f"trying: the {len(base.treatable)} layers one by one")
        table = measure_layers(job, builder, changes)
        job.work.save("layers.result", table)
    links = chain(_options(table, job.options.objective, job.model.source.size))
    bound = job.options.max_drop
    tried: list[Link] = []

    def drop_of(link: Link) -> float | None:
        # On a slow machine the layers alone may take all of the time; they must not have been for nothing.
        if job.seconds_left <= 0 and len(tried) >= _ALWAYS_TRIED:
            job.tell("the time budget is spent: the rest is not tried")
            return None
        tried.append(link)
        measured = candidates.measure(Plan(changes=changes, layers=link.layers))
        return float("inf") if measured is None else measured.upper_drop

    cheapest_within(links, bound, drop_of, _TOLERANCE)


def _ranges(job: Job, base: Base) -> dict[str, Range]:
    known = job.work.load("ranges.result", Ranges)
    if known is None:
        job.tell("trying: ranges of activations")
        until = time.monotonic() + max(_RANGES_SHARE * job.seconds_left, 1.0)
        known = Ranges(base.pick_ranges(job.outputs, until))
        job.work.save("ranges.result", known)
    return known.by_value


def measure_layers(job: Job, builder: Builder, changes: tuple[Change, ...]) -> LayerTable:
    """Time, size and error of every layer under every treatment that it can have."""
    base = builder.base(changes)
    treatable = base.treatable
    feeds = representative([sample.feeds for sample in job.tuning], _PROFILED_SIZES)
    graph = onnx.load_model_from_string(base.data).graph
    known = {output for node in graph.node for output in node.output}
    times: dict[Choice, dict[str, float]] = {None: layer_times(base.data, treatable, known, feeds)}
    treated: dict[Treatment, bytes] = {}
    for treatment in dict.fromkeys(one for choices in treatable.values() for one in choices):
        everywhere = {layer: treatment for layer, choices in treatable.items() if treatment in choices}
        try:
            built = builder.build(Plan(changes=changes, layers=everywhere))
            if built is not None:
                times[treatment] = layer_times(built[0], treatable, known, feeds)
                treated[treatment] = built[0]
        except (OSError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - onnxruntime raises many types: it lacks what the treatment needs
            job.tell(f"{treatment} is left out ({type(error).__name__}: {error})")
    errors = Sensitivity(base.data, treated, treatable, job.outputs).errors(
        [sample.feeds for sample in job.tuning],
        until=time.monotonic() + max(_SENSITIVITY_SHARE * job.seconds_left, 1.0),
    )
    sizes = _weight_bytes(graph, treatable)
    rows = []
    operators = {name: node.op_type for node in graph.node for name in node.output if name in treatable}
    for layer, operator in operators.items():
        plain = times[None].get(layer, 0.0)
        rows.append(
            LayerFigures(
                layer=layer,
                operator=operator,
                treatment=None,
                ms=plain,
                size_bytes=sizes[layer],
                error=0.0,
            )
        )
        rows.extend(
            LayerFigures(
                layer=layer,
                operator=operator,
                treatment=treatment,
                ms=times[treatment].get(layer, plain),
                size_bytes=sizes[layer] / (8 if treatment == "embedding4" else 4),
                error=error,
            )
            for treatment, error in errors.get(layer, {}).items()
        )
    return LayerTable(rows)


def _weight_bytes(graph: onnx.GraphProto, layers: Mapping[str, object]) -> dict[str, int]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    return {
        node.output[0]: max(
            (4 * int(_elements(constants[name])) for name in node.input if name in constants), default=0
        )
        for node in graph.node
        if node.output and node.output[0] in layers
    }


def _elements(tensor: onnx.TensorProto) -> int:
    total = 1
    for length in tensor.dims:
        total *= length
    return total


def _options(
    table: LayerTable, objective: Objective, original_bytes: int
) -> dict[str, dict[Choice, tuple[float, float]]]:
    """(cost, error) of each choice for each layer; costs are shares of the original's."""
    for_ms, for_bytes = _WEIGHTS[objective]
    all_ms = sum(row.ms for row in table.rows if row.treatment is None) or 1.0
    options: dict[str, dict[Choice, tuple[float, float]]] = {}
    for row in table.rows:
        cost = for_ms * row.ms / all_ms + for_bytes * row.size_bytes / original_bytes
        options.setdefault(row.layer, {})[row.treatment] = (cost, row.error)
    return options
