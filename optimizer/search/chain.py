"""From layers' costs and errors to a chain of plans, from the cheapest to the most exact."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

from optimizer.search.plan import Treatment

Layers = dict[str, Treatment]
Choice = Treatment | None  # None: float
Options = Mapping[Choice, tuple[float, float]]
"""What each choice for one layer costs, and by how much it changes the answers."""


class Link:
    """A plan of the chain, with the sums over its layers."""

    def __init__(self, layers: Layers, cost: float, error: float) -> None:
        self.layers = layers
        self.cost = cost
        self.error = error


def chain(options: Mapping[str, Options]) -> list[Link]:
    """Nested plans: each gives one layer more exactness than the one before.

    Every layer starts with its cheapest choice, and the steps that remain are taken by the error that they
    save for what they cost. A choice that another beats in both never occurs, nor one above the convex hull:
    so this is the greedy solution of the multiple-choice knapsack problem, which is optimal for every budget
    that it meets exactly (Sinha and Zoltners 1979).
    """
    hulls = {layer: _hull(choices) for layer, choices in options.items()}
    steps = sorted(
        (
            (-_slope(one, other), place, layer)
            for layer, hull in hulls.items()
            for place, (one, other) in enumerate(itertools.pairwise(hull), 1)
        ),
        key=lambda step: (step[0], step[2], step[1]),
    )
    at = {layer: hull[0] for layer, hull in hulls.items()}
    links = [_link(at)]
    for _, place, layer in steps:
        at[layer] = hulls[layer][place]
        links.append(_link(at))
    return links


Corner = tuple[float, float, Choice]


def _hull(choices: Options) -> list[Corner]:
    """The lower convex hull of (cost, error), cheapest first."""
    corners: list[Corner] = []
    for corner in sorted(
        ((cost, error, choice) for choice, (cost, error) in choices.items()), key=lambda c: c[:2]
    ):
        if corners and corner[1] >= corners[-1][1]:
            continue
        while len(corners) > 1 and _slope(corners[-2], corners[-1]) <= _slope(corners[-1], corner):
            corners.pop()
        corners.append(corner)
    return corners


def _slope(one: Corner, other: Corner) -> float:
    """Error saved for each unit of cost."""
    return (one[1] - other[1]) / max(other[0] - one[0], 1e-12)


def _link(at: Mapping[str, Corner]) -> Link:
    return Link(
        {layer: choice for layer, (_, _, choice) in at.items() if choice is not None},
        math.fsum(cost for cost, _, _ in at.values()),
        math.fsum(error for _, error, _ in at.values()),
    )


def cheapest_within(
    links: Sequence[Link], bound: float, drop_of: Callable[[Link], float | None], tolerance: float
) -> None:
    """Measure links until the cheapest one within the bound is known, up to ``tolerance`` of cost.

    ``drop_of`` measures one link; None means that there is no time for more. The last link is
    exact, and taken to be within. Drops grow with the predicted error, so the next link is where a straight
    line through what was measured meets the bound, and in the middle where that leads nowhere.
    """
    outside, within = -1, len(links) - 1
    measured: dict[int, float] = {}
    while within - outside > 1:
        if outside >= 0 and links[within].cost - links[outside].cost <= tolerance:
            return
        at = _next(links, bound, measured, outside, within)
        drop = drop_of(links[at])
        if drop is None:
            return
        measured[at] = drop
        if drop <= bound:
            within = at
        else:
            outside = at


def _next(
    links: Sequence[Link], bound: float, measured: Mapping[int, float], outside: int, within: int
) -> int:
    """The link whose error is predicted to cost just the bound; first of all the cheapest link."""
    if not measured:
        return 0
    nearest = outside if outside >= 0 else within
    if len(measured) % 3 == 0 or not measured[nearest] > 0:
        return (outside + within) // 2
    wanted = links[nearest].error * bound / measured[nearest]
    at = next((place for place, link in enumerate(links) if link.error <= wanted), within)
    return min(max(at, outside + 1), within - 1)
