"""What exporters write of every node of every tree, and nobody reads."""

import onnx_ir as ir

_DOMAIN = "ai.onnx.ml"
_UNREAD = "nodes_hitrates"
_MISSING = "nodes_missing_value_tracks_true"


class DropHitRates(ir.passes.InPlacePass):
    """Remove the hit rates of ensembles of trees, and where missing values go if that is nowhere special.

    1. `nodes_hitrates` is how often a node was passed in training; ONNX Runtime does not look at it.
    2. `nodes_missing_value_tracks_true` of zeros only is what is assumed without it.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Look at every ensemble."""
        modified = False
        for node in model.graph:
            if node.domain != _DOMAIN or not node.op_type.startswith("TreeEnsemble"):
                continue
            modified |= node.attributes.pop(_UNREAD, None) is not None
            if _MISSING in node.attributes and not any(node.attributes.get_ints(_MISSING, ())):
                node.attributes.pop(_MISSING)
                modified = True
        return ir.passes.PassResult(model, modified)
