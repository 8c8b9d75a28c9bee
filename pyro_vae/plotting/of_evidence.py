"""Pictures of log p(x): of one estimate, of several, and of what lies between bounds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyro_vae.analysis import Annealed, Bracket, Evidence, Gaps
from pyro_vae.analysis.figures.evidence_costs import (
    gap_by_row,
    gap_parts,
    speed_accuracy,
)
from pyro_vae.analysis.figures.log_densities import k_hat_by_row, log_p_histograms
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.plotting.layout import Layout, Panel, layout_of


def _histograms(sets: Mapping[str, np.ndarray]) -> Panel:
    """log p(x) and the like; sets without a number are left out."""
    known = {name: values for name, values in sets.items() if np.isfinite(values).any()}
    return Panel(lambda axes: log_p_histograms(axes, known))


@layout_of.register
def evidence_layout(found: Evidence) -> Layout:
    """Histograms of log p(x) and of the ELBO; k-hat of each row."""
    sets = {"log p(x)": found.log_marginal, "ELBO of the guide": found.elbo}
    limit = khat_limit(found.num_particles)
    panels = [_histograms(sets)]
    if not np.isnan(found.pareto_k).all():
        panels.append(Panel(lambda axes: k_hat_by_row(axes, found.pareto_k, limit)))
    return Layout(panels)


@layout_of.register
def several_layout(found: dict) -> Layout:  # type: ignore[type-arg]
    """Histograms of log p(x) of several estimates; log p(x) over seconds per row."""
    _require_evidence(found)
    sets = {str(name): one.log_marginal for name, one in found.items()}
    panels = [_histograms(sets)]
    each = list(found.values())
    hashes = each[0].row_hashes
    are_alike = all(np.array_equal(one.row_hashes, hashes) for one in each)
    if are_alike and all(one.seconds > 0 for one in each):
        panels.append(_speed(list(sets), each))
    return Layout(panels)


def _require_evidence(found: Mapping[Any, Any]) -> None:
    wrong = [name for name, one in found.items() if not isinstance(one, Evidence)]
    if wrong or not found:
        got = f"another result for {', '.join(map(repr, wrong))}" if wrong else "none"
        raise ValueError(
            f"plot: expected names and their Evidence, got {got}; pass "
            "{'guide': pv.evidence(vae, x, proposal='guide'), ...}"
        )


def _speed(names: Sequence[str], each: Sequence[Evidence]) -> Panel:
    """What each estimate of the same rows costs, and how close it comes."""
    columns = (
        [one.seconds / one.num_rows for one in each],
        [one.mean_log_marginal for one in each],
        [one.monte_carlo_se for one in each],
        [1 - one.unreliable_share for one in each],
    )
    return Panel(lambda axes: speed_accuracy(axes, names, *columns))


@layout_of.register
def annealed_layout(found: Annealed) -> Layout:
    """Histogram of log p(x)."""
    return Layout([_histograms({"log p(x)": found.log_marginal})])


@layout_of.register
def bracket_layout(found: Bracket) -> Layout:
    """The distance of the bounds of each row; histograms of both."""
    sets = {"lower bound": found.lower, "upper bound": found.upper}
    gap = Panel(lambda axes: gap_by_row(axes, found.gap, found.se))
    return Layout([gap, _histograms(sets)])


@layout_of.register
def gaps_layout(found: Gaps) -> Layout:
    """Both parts of the gap of each row; log p(x), the best of the family, and the ELBO."""
    parts = (found.approximation_gap, found.amortization_gap)
    sets = {
        "log p(x)": found.log_marginal,
        "best of the family": found.elbo_best,
        "ELBO": found.elbo,
    }
    return Layout([Panel(lambda axes: gap_parts(axes, *parts)), _histograms(sets)])
