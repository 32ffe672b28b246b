import numpy as np
import onnx
import pytest
from onnx import helper

from optimizer.passes.drop_hit_rates import DropHitRates


@pytest.fixture
def trees(make):
    """One tree of one split; ``more`` of its attributes."""

    def build(**more):
        x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 2])
        y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 1])
        node = helper.make_node(
            "TreeEnsembleRegressor",
            ["x"],
            ["y"],
            domain="ai.onnx.ml",
            n_targets=1,
            nodes_treeids=[0, 0, 0],
            nodes_nodeids=[0, 1, 2],
            nodes_featureids=[1, 0, 0],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
            nodes_values=[0.5, 0.0, 0.0],
            nodes_truenodeids=[1, 0, 0],
            nodes_falsenodeids=[2, 0, 0],
            target_treeids=[0, 0],
            target_nodeids=[1, 2],
            target_ids=[0, 0],
            target_weights=[3.0, 4.0],
            **more,
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
        return helper.make_model(helper.make_graph([node], "t", [x], [y]), opset_imports=opsets, ir_version=8)

    return build


def attributes(applied):
    return {one.name for one in applied.model.graph.node[0].attribute}


def test_what_nobody_reads_goes(apply, trees):
    x = np.array([[0, 0], [0, 1], [0, np.nan]], np.float32)
    model = trees(nodes_hitrates=[1.0, 1.0, 1.0], nodes_missing_value_tracks_true=[0, 0, 0])
    applied = apply(DropHitRates(), model, x=x)
    assert applied.modified
    assert not attributes(applied) & {"nodes_hitrates", "nodes_missing_value_tracks_true"}


def test_where_missing_values_go_stays(apply, trees):
    x = np.array([[0, 0], [0, 1], [0, np.nan]], np.float32)
    applied = apply(DropHitRates(), trees(nodes_missing_value_tracks_true=[1, 0, 0]), x=x)
    assert not applied.modified
    assert "nodes_missing_value_tracks_true" in attributes(applied)
