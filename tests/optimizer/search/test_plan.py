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


def test_plans_of_another_float_graph_are_others_and_say_so():
    form = Plan(base="student-1")
    assert form.name == "student-1"
    assert form.title(0) == "student-1: float"
    treated = Plan(base="student-1", layers={"a": "static"})
    assert treated.name != Plan(layers={"a": "static"}).name
    assert treated.title(2) == "student-1: static int8 1, float 1"
