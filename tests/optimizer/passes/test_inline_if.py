import numpy as np
import onnx
import onnx_ir as ir
import pytest

from optimizer.passes import InlineIf

X = np.arange(-3, 3, dtype=np.float32)
HEAD = "g (float[6] x) => (float[6] y) { "
BRANCHES = """<then_branch = t () => (float[6] a) { h = Neg (x) a = Exp (h) },
    else_branch = e () => (float[6] b) { h = Abs (x) b = Add (h, x) }> (c) """


@pytest.mark.parametrize(("condition", "operators"), [(True, ["Neg", "Exp"]), (False, ["Abs", "Add"])])
def test_the_branch_that_is_taken(make, apply, condition, operators):
    model = make(HEAD + f"y = If {BRANCHES} }}", c=np.array(condition))
    assert apply(InlineIf(), model, x=X).operators == [*operators, "Identity"]


def test_names_of_two_branches_do_not_meet(make, apply):
    model = make(HEAD + f"u = If {BRANCHES} v = If {BRANCHES} y = Mul (u, v) }}", c=np.array(True))
    assert apply(InlineIf(), model, x=X).operators == ["Neg", "Exp", "Identity"] * 2 + ["Mul"]


def test_initializers_of_the_branch(make, answers):
    model = make(HEAD + f"y = If {BRANCHES} }}", c=np.array(True))
    branch = model.graph.node[0].attribute[0].g
    branch.node[1].CopyFrom(onnx.helper.make_node("Add", ["h", "k"], ["a"]))
    branch.initializer.append(onnx.numpy_helper.from_array(np.array([3], np.float32), "k"))
    inlined = ir.to_proto(InlineIf()(ir.from_proto(model)).model)
    np.testing.assert_allclose(answers(inlined, {"x": X})[0], 3 - X)


def test_an_if_within_an_if(make, apply):
    text = (
        HEAD
        + f"""y = If <then_branch = o () => (float[6] i) {{ i = If {BRANCHES} }},
        else_branch = p () => (float[6] j) {{ j = Neg (x) }}> (c) }}"""
    )
    assert apply(InlineIf(), make(text, c=np.array(True)), x=X).operators == [
        "Neg",
        "Exp",
        "Identity",
        "Identity",
    ]


def test_an_unknown_condition_stays(make, apply):
    model = make(f"g (float[6] x, bool c) => (float[6] y) {{ y = If {BRANCHES} }}")
    assert not apply(InlineIf(), model, x=X, c=np.array(True)).modified
