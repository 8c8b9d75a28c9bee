"""Annealed importance sampling of rows that no proposal suits: from their proposals to the
posterior, and back.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.annealing.chains import (
    Ladder,
    Plan,
    Walk,
    downward,
    log_mean,
    seeds_of,
    upward,
)
from pyro_vae.analysis.annealing.geometric_path import Path
from pyro_vae.analysis.annealing.temperatures import tuned
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.row_proposals import RowProposals
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

CHAINS, TEMPERATURES, LEAPFROG_STEPS = 64, 100, 2
CHUNK = 1024

Columns = dict[str, np.ndarray]
Starts = Callable[[list[int], int], Tensor]
"""From a seed for each row and a number of chains to draws of the proposals, (chains, rows,
latent_dim).
"""


def anneal(vae: VAE, x: Tensor, proposals: RowProposals, starts: Starts, seed: int) -> Columns:
    """log p(x) of each row by annealed importance sampling from its proposal, and from above on the
    way back.

    The way back starts from where the chains end, drawn by their weights. Were these draws of the
    posterior, `upper` would be above log p(x) on average (`bidirectional`); as they are nearly, the
    distance between both tells about how far log p(x) may be off.

    Returns:
        log_marginal, se, ess, pareto_k, num_particles and upper, each (rows,).
    """
    spread = proposals.stddev
    path = Path(x, proposals.prior, vae.likelihood, proposals, [], (spread, spread), starts)
    plan = Plan(CHAINS, TEMPERATURES, LEAPFROG_STEPS, "guide", seed, CHUNK, False)
    ladder = tuned(path, seeds_of(x, f"pilot {seed}"), plan)
    walk = upward(path, ladder, seeds_of(x, f"upward {seed}"), plan)
    weights = Weights.empty(len(x), CHAINS, x.dtype)
    weights.add(walk.log_weight)
    columns = weights.columns()
    columns["upper"] = _from_above(path, walk, ladder, seeds_of(x, f"downward {seed}"), plan)
    return columns


def _from_above(path: Path, walk: Walk, ladder: Ladder, seeds: list[int], plan: Plan) -> np.ndarray:
    """-log of the mean of 1 / w over chains that walk back from the ends of others, (rows,)."""
    share = walk.log_weight.softmax(0).nan_to_num(1.0)
    ends = []
    for row, seed in enumerate(seeds):
        with own_seed(seed, walk.end.device):
            chosen = torch.multinomial(share[:, row], len(share), replacement=True)
        ends.append(walk.end[chosen, row])
    back = downward(path, torch.stack(ends, 1), ladder, seeds, plan)
    minus_upper, *_ = log_mean(-back.log_weight)
    return -minus_upper.cpu().numpy()


def merged(before: Columns, annealed: Columns) -> Columns:
    """The annealed columns where they are to be trusted; elsewhere the larger of two low estimates.

    A low estimate is above log p(x) + c with probability below exp(-c), so the larger of two is
    with twice that.
    """
    trusted = annealed["pareto_k"] <= khat_limit(annealed["num_particles"])
    better = trusted | ~(annealed["log_marginal"] <= before["log_marginal"])
    names = ("log_marginal", "se", "ess", "pareto_k", "num_particles")
    columns = {name: np.where(better, annealed[name], before[name]) for name in names}
    columns["method"] = np.where(better, "annealed", before["method"])
    columns["upper"] = np.where(
        trusted, np.nan, np.maximum(annealed["upper"], columns["log_marginal"])
    )
    return columns
