"""Pictures of what z tells of a context, and of random effects."""

import numpy as np

from pyro_vae.analysis import Independence, LevelEffects
from pyro_vae.analysis.figures.context_forests import (
    effects_forest,
    information_forest,
)
from pyro_vae.plotting.layout import Layout, Panel, layout_of

MOST = 40
"""Lines of a panel."""


@layout_of.register
def independence_layout(found: Independence) -> Layout:
    """A lower bound of what z tells of each column, with 3 standard errors: the largest."""
    most = sorted(found.columns_told, key=lambda one: -one.information)[:MOST]
    names = [one.name for one in most]
    information = [one.information for one in most]
    errors = [one.se for one in most]
    columns = (names, information, errors)
    height = 1.2 + 0.28 * len(most)
    return Layout([Panel(lambda axes: information_forest(axes, *columns), 5.0, height)])


@layout_of.register
def level_effects_layout(found: LevelEffects) -> Layout:
    """The effects of the levels of each column, first component, with 90 % intervals."""
    return Layout([effects_panel(found, name) for name in found.scales])


def effects_panel(found: LevelEffects, name: str) -> Panel:
    """The first component of the effects of one column, the largest where there are many."""
    own = np.flatnonzero((found.column == name) & (found.component == 0))
    low, high = found.interval(0.9)
    levels = [str(level) for level in found.level[own]]
    columns = (levels, found.mean[own], (low[own], high[own]))
    height = 1.2 + 0.22 * min(MOST, len(own))
    return Panel(
        lambda axes: effects_forest(axes, *columns, name=name, most=MOST), 4.4, height
    )
