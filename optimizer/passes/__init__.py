"""Passes that make a graph simpler without changing what it computes: one file, one class, one test each."""

from optimizer.passes.approximate_gelu import ApproximateGelu
from optimizer.passes.compact_trees import CompactTrees
from optimizer.passes.drop_hit_rates import DropHitRates
from optimizer.passes.drop_zero_weights import DropZeroWeights
from optimizer.passes.fold_affine import FoldAffine
from optimizer.passes.fold_batch_normalization import FoldBatchNormalization
from optimizer.passes.fold_constants import FoldConstants
from optimizer.passes.fold_look_ups import FoldLookUps
from optimizer.passes.fold_one_hot import FoldOneHot
from optimizer.passes.fold_repeated_rows import FoldRepeatedRows
from optimizer.passes.fold_reshapes import FoldReshapes
from optimizer.passes.fold_transposes import FoldTransposes
from optimizer.passes.fuse_attention import FuseAttention
from optimizer.passes.fuse_hard_swish import FuseHardSwish
from optimizer.passes.inline_if import InlineIf
from optimizer.passes.merge_matmuls import MergeMatMuls
from optimizer.passes.raise_opset import RaiseOpset
from optimizer.passes.remove_rounding import RemoveRounding
from optimizer.passes.squeeze_operands import SqueezeOperands
from optimizer.passes.write_out_scaler import WriteOutScaler

__all__ = [
    "ApproximateGelu",
    "CompactTrees",
    "DropHitRates",
    "DropZeroWeights",
    "FoldAffine",
    "FoldBatchNormalization",
    "FoldConstants",
    "FoldLookUps",
    "FoldOneHot",
    "FoldRepeatedRows",
    "FoldReshapes",
    "FoldTransposes",
    "FuseAttention",
    "FuseHardSwish",
    "InlineIf",
    "MergeMatMuls",
    "RaiseOpset",
    "RemoveRounding",
    "SqueezeOperands",
    "WriteOutScaler",
]
