"""Move a model to a newer opset."""

import onnx
import onnx_ir as ir
from onnx import version_converter
from onnx.version_converter import ConvertError

OPSET = 17
_IR_VERSION = 8  # the IR version that came with opset 17


class RaiseOpset(ir.passes.InPlacePass):
    """Raise the standard opset to 17 where it is older.

    1. A model at opset 17 or newer is left alone.
    2. The conversion is onnx's own; a model that it cannot convert is left alone.
    3. The IR version is raised with it, so that initializers need not be inputs.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Convert the graph, and put the result in the old one's place."""
        if model.opset_imports.get("", OPSET) >= OPSET:
            return ir.passes.PassResult(model, modified=False)
        try:
            converted = version_converter.convert_version(ir.to_proto(model), OPSET)
        except (ConvertError, RuntimeError, ValueError, onnx.checker.ValidationError):
            return ir.passes.PassResult(model, modified=False)
        raised = ir.from_proto(converted)
        model.graph = raised.graph
        model.ir_version = max(model.ir_version, _IR_VERSION)
        return ir.passes.PassResult(model, modified=True)
