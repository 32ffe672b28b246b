import numpy as np
import pytest

from optimizer.quantize import QuantizeEmbeddings

TEXT = "g (int64[a, b] ids) => (float[a, b, 96] y) { y = Gather (table, ids) }"


def test_a_table_becomes_int8_by_row(make, apply, answers, rng):
    table = (rng.normal(size=(1000, 96)) * rng.uniform(0.01, 10, (1000, 1))).astype(np.float32)
    model = make(TEXT, table=table)
    applied = apply(QuantizeEmbeddings(), model)
    assert applied.operators == ["Gather", "Gather", "Cast", "Mul"]
    ids = np.array([[0, 999, 5], [7, 7, 500]])
    before, after = (answers(one, {"ids": ids})[0] for one in (model, applied.model))
    largest = np.abs(before).max(axis=-1, keepdims=True)
    assert (np.abs(after - before) <= largest / 127 * 0.501).all()


def test_a_small_table_stays(make, apply):
    assert not apply(QuantizeEmbeddings(), make(TEXT, table=np.ones((10, 96), np.float32))).modified


def test_a_gather_along_another_axis_stays(make, apply):
    text = "g (int64[a] ids) => (float[1000, a] y) { y = Gather <axis = 1> (table, ids) }"
    assert not apply(QuantizeEmbeddings(), make(text, table=np.ones((1000, 96), np.float32))).modified


def test_only_the_named_layers_are_quantised(make, apply, rng):
    text = "g (int64[n] i) => (float[n, 256] y, float[n, 256] z) { y = Gather (t, i) z = Gather (u, i) }"
    tables = {name: rng.normal(size=(300, 256)).astype(np.float32) for name in ("t", "u")}
    operators = apply(QuantizeEmbeddings(layers={"z"}), make(text, **tables)).operators
    assert operators == ["Gather", "Gather", "Gather", "Cast", "Mul"]


@pytest.mark.parametrize(("width", "block"), [(384, 128), (96, 32), (48, 16)])
def test_a_table_becomes_int4_by_block(make, apply, answers, rng, width, block):  # noqa: PLR0917 - fixtures
    table = (rng.normal(size=(2000, width)) * rng.uniform(0.01, 10, (2000, 1))).astype(np.float32)
    table[5] = 0
    model = make(
        f"g (int64[a, b] ids) => (float[a, b, {width}] y) {{ y = Gather (table, ids) }}", table=table
    )
    applied = apply(QuantizeEmbeddings(bits=4), model)
    assert applied.operators == ["GatherBlockQuantized"]
    stored = {tuple(array.dims) for array in applied.model.graph.initializer}
    assert {(2000, width // 2), (2000, width // block)} <= stored
    ids = np.array([[0, 1999, 5], [7, 7, 500]])
    before, after = (answers(one, {"ids": ids})[0] for one in (model, applied.model))
    assert not after[0, 2].any()
    assert np.linalg.norm(after - before) < 0.12 * np.linalg.norm(before)


def test_a_width_without_blocks_stays_in_int4(make, apply, rng):
    table = rng.normal(size=(2000, 100)).astype(np.float32)
    text = "g (int64[a] ids) => (float[a, 100] y) { y = Gather (table, ids) }"
    assert not apply(QuantizeEmbeddings(bits=4), make(text, table=table)).modified
