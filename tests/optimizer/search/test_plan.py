from optimizer.search.plan import CLEAN, ORIGINAL, Plan


def test_equal_plans_have_equal_names():
    one = Plan(layers={"a": "static", "b": "dynamic"})
    other = Plan(layers={"b": "dynamic", "a": "static"})
    assert one.name == other.name
    assert one.name != Plan(layers={"a": "static"}).name
    assert (ORIGINAL.name, CLEAN.name) == ("original", "clean")


def test_the_title_counts_layers():
    plan = Plan(layers={"a": "static", "b": "dynamic", "c": "static"})
    assert plan.title(5) == "static int8 2, dynamic int8 1, float 2"
    assert plan.title(3) == "static int8 2, dynamic int8 1"
