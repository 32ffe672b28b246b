"""The lossless pipeline: the same function as a simpler graph, proved on samples."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from bundle.manifest import AppliedPass
from optimizer.external import parse
from optimizer.passes import (
    CompactTrees,
    DropHitRates,
    DropZeroWeights,
    FoldAffine,
    FoldBatchNormalization,
    FoldConstants,
    FoldLookUps,
    FoldOneHot,
    FoldRepeatedRows,
    FoldReshapes,
    FoldTransposes,
    FuseHardSwish,
    InlineIf,
    MergeMatMuls,
    RaiseOpset,
    SqueezeOperands,
    WriteOutScaler,
)
from optimizer.runtime import Array

# What onnx-ir has to say of a graph is for its developers, and stderr is for the user.
logging.getLogger("onnx_ir").addHandler(logging.NullHandler())

Outputs = Sequence[dict[str, Array]]
Same = Callable[[bytes], bool]


def pipeline() -> list[ir.passes.PassBase]:
    """The passes in their order: newest form first, then folding, then what became dead."""
    return [
        RaiseOpset(),
        common.RemoveInitializersFromInputsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        FoldConstants(),
        InlineIf(),
        FoldConstants(),
        common.IdentityEliminationPass(),
        WriteOutScaler(),
        DropHitRates(),
        DropZeroWeights(),
        common.ShapeInferencePass(data_prop=False),
        FoldOneHot(),
        FoldLookUps(),
        FoldRepeatedRows(),
        FoldReshapes(),
        FoldTransposes(),
        FuseHardSwish(),
        FoldBatchNormalization(),
        FoldAffine(),
        SqueezeOperands(),
        MergeMatMuls(),
        CompactTrees(),
        *tidy(),
    ]


def tidy() -> list[ir.passes.PassBase]:
    """What every change of a graph may leave behind."""
    return [
        common.CommonSubexpressionEliminationPass(),
        common.DeduplicateInitializersPass(),
        common.RemoveUnusedNodesPass(),
    ]


def normalise(model: bytes, same: Same) -> tuple[bytes, list[AppliedPass]]:
    """Run the pipeline.

    ``same`` runs a model and says whether it answers as the original does. If the whole pipeline's result
    does not, or a pass fails, the pipeline is run again with a check after each pass, and the culprits are
    left out: a pass that does not fit a model must not keep the model from being pressed.

    Returns:
        The model, and the passes that changed it.
    """
    try:
        result, applied = apply_passes(model, pipeline())
        if same(result):
            return result, applied
    except Exception:  # noqa: BLE001, S110 - any pass may trip over a graph nobody has seen; the slow way finds which
        pass
    result, applied = model, []
    for step in pipeline():
        try:
            changed, names = apply_passes(result, [step])
        except Exception:  # noqa: BLE001, S112 - as above
            continue
        if names and same(changed):
            result, applied = changed, applied + names
    return result, applied


def apply_passes(model: bytes, passes: Sequence[ir.passes.PassBase]) -> tuple[bytes, list[AppliedPass]]:
    """Run passes over a serialised model; names those that modified it."""
    graph = parse(model)
    applied = []
    for step in passes:
        result = step(graph)
        graph = result.model
        if result.modified:
            applied.append(AppliedPass(name=type(step).__name__.removesuffix("Pass"), parameters={}))
    return ir.to_proto(graph).SerializeToString(deterministic=True), applied


def equal_outputs(left: Outputs, right: Outputs) -> bool:
    """Whether two models gave the same answers, up to the rounding of reordered float sums."""
    return all(_equal(one[name], other[name]) for one, other in zip(left, right, strict=True) for name in one)


def _equal(left: Array, right: Array) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    if left.dtype.kind != "f":
        return bool(np.array_equal(left, right))
    tolerance = 1e-2 if left.dtype == np.float16 else 1e-3
    finite = np.isfinite(left)
    largest = float(np.abs(left[finite]).max()) if finite.any() else 0.0
    return bool(np.allclose(left, right, rtol=0, atol=tolerance * largest + 1e-6, equal_nan=True))
