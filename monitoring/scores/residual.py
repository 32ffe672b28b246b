"""A column given the others: what of it their linear prediction leaves.

In the precision matrix P of standardised columns, (P z)_j / P_jj is the residual of column j after regression
on all others (Lauritzen, "Graphical Models", 1996, section 5.1). A column that is scaled by a tenth hardly
moves in its own distribution but at once against columns that go with it; and its own residual moves most, as
that of another moves by a partial correlation's share. Each residual is ranked on its own, so heavy tails do
no harm.
"""

from monitoring.scores.base import Array, Space

NAME = "given the others"


def scores(space: Space) -> Array:
    """[requests, features]."""
    assert space.precision is not None  # noqa: S101 - the registry asks only where there is one
    return (space.z @ space.precision) / space.precision.diagonal()
