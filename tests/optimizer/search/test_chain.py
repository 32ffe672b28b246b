import numpy as np
import pytest

from optimizer.search.chain import chain, cheapest_within

OPTIONS = {
    "sensitive": {None: (4.0, 0.0), "static": (2.0, 1.0)},
    "robust": {None: (4.0, 0.0), "static": (1.0, 0.01)},
    "either": {None: (4.0, 0.0), "static": (1.0, 0.5), "dynamic": (2.0, 0.1)},
    "useless": {None: (1.0, 0.0), "static": (1.5, 0.2)},
}


def test_it_leads_from_the_cheapest_to_the_most_exact():
    links = chain(OPTIONS)
    assert [link.layers for link in links] == [
        {"sensitive": "static", "robust": "static", "either": "static"},
        {"robust": "static", "either": "static"},
        {"robust": "static", "either": "dynamic"},
        {"robust": "static"},
        {},
    ]
    assert [link.cost for link in links] == [5, 7, 8, 10, 13]
    assert [link.error for link in links] == pytest.approx([1.51, 0.51, 0.11, 0.01, 0])


def test_a_choice_that_costs_more_and_errs_more_never_occurs():
    assert not any("useless" in link.layers for link in chain(OPTIONS))


def test_a_choice_above_the_hull_never_occurs():
    options = {"a": {None: (4.0, 0.0), "static": (1.0, 0.3), "dynamic": (2.0, 0.29)}}
    assert [link.layers for link in chain(options)] == [{"a": "static"}, {}]


@pytest.mark.parametrize("bound", [0.0, 0.001, 0.02, 0.3, 1.0, 5.0])
def test_the_cheapest_link_within_the_bound_is_found_in_few_measurements(bound):
    rng = np.random.default_rng(0)
    options = {str(n): {None: (2.0, 0.0), "static": (1.0, float(rng.lognormal(-4, 2)))} for n in range(60)}
    links = chain(options)
    drops = [link.error**0.8 for link in links]  # not linear, as drops never are
    tried = []

    def drop_of(link):
        tried.append(links.index(link))
        return drops[tried[-1]]

    cheapest_within(links, bound, drop_of, tolerance=0)
    best = next(place for place, drop in enumerate(drops) if drop <= bound)
    assert best in [*tried, len(links) - 1]
    assert len(tried) == len(set(tried)) <= 10


def test_it_stops_where_no_more_than_the_tolerance_is_to_gain():
    links = chain({str(n): {None: (2.0, 0.0), "static": (1.0, 0.01)} for n in range(64)})
    tried = []
    cheapest_within(links, 0.2, lambda link: tried.append(link) or link.error, tolerance=16)
    costs = [link.cost for link in tried if link.error <= 0.2]
    assert min(costs) - (64 + 64 - 20) <= 16
    assert len(tried) <= 4


def test_it_stops_when_there_is_no_time():
    assert cheapest_within(chain(OPTIONS), 0.5, lambda _: None, tolerance=0) is None
