"""Annealed importance sampling from the proposals of rows that importance sampling can't do."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.annealing.chains import (
    AnnealingOptions,
    ChainsResult,
    TemperatureSchedule,
    run_forward,
    run_reverse,
    seeds_of,
)
from pyro_vae.analysis.annealing.geometric_path import GeometricPath
from pyro_vae.analysis.annealing.temperatures import tuned
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.row_proposals import RowProposals
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.analysis.mean_weight import log_mean
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

NUM_CHAINS = 64
TEMPERATURES = 100
LEAPFROG_STEPS = 2
CHUNK_SIZE = 1024

Columns = dict[str, np.ndarray]
Sampler = Callable[[list[int], int], Tensor]
"""From a seed for each row and a number of chains to draws, (chains, rows, latent_dim)."""


def anneal(
    vae: VAE,
    x: Tensor,
    proposals: RowProposals,
    sampler: Sampler,
    seed: int,
) -> Columns:
    """log p(x) of each row by annealed importance sampling from its proposal, and from above.

    The reverse chains start where the forward chains end, drawn by their weights. Were these draws
    of the posterior, `upper` would be above log p(x) on average (`bidirectional`); as they are only
    nearly, the distance of the two estimates shows roughly how far log p(x) may be off.

    Returns:
        log_marginal, se, ess, pareto_k, num_particles and upper, each (rows,).
    """
    forward = forward_chains(vae, x, proposals, sampler, seed, NUM_CHAINS)
    weights = Weights.empty(len(x), NUM_CHAINS, x.dtype)
    weights.add(forward.chains.log_weight)
    upper = _from_above(forward, seeds_of(x, f"downward {seed}"))
    return {**weights.columns(), "upper": upper}


class Forward(NamedTuple):
    """Chains from the proposal of each row to its posterior, and what they went along.

    Attributes:
        chains: the ends of the chains, which with their weights are draws of the posterior.
        path, schedule, options: of the annealing.
    """

    chains: ChainsResult
    path: GeometricPath
    schedule: TemperatureSchedule
    options: AnnealingOptions


def forward_chains(
    vae: VAE,
    x: Tensor,
    proposals: RowProposals,
    sampler: Sampler,
    seed: int,
    num_chains: int,
) -> Forward:
    """Annealed importance sampling of the posteriors of rows, from their proposals."""
    spread = proposals.stddev
    path = GeometricPath(
        x, proposals.prior, vae.likelihood, proposals, [], (spread, spread), sampler
    )
    options = AnnealingOptions(
        num_chains,
        TEMPERATURES,
        LEAPFROG_STEPS,
        "guide",
        seed,
        CHUNK_SIZE,
        progress=False,
    )
    schedule = tuned(path, seeds_of(x, f"pilot {seed}"), options)
    chains = run_forward(path, schedule, seeds_of(x, f"upward {seed}"), options)
    return Forward(chains, path, schedule, options)


def _from_above(forward: Forward, seeds: list[int]) -> np.ndarray:
    """-log of the mean of 1 / w over reverse chains from the ends of the forward ones, (rows,)."""
    chains, path, schedule, options = forward
    shares = chains.log_weight.softmax(0).nan_to_num(1.0)
    starts = []
    for row, seed in enumerate(seeds):
        with own_seed(seed, chains.end.device):
            chosen = torch.multinomial(shares[:, row], len(shares), replacement=True)
        starts.append(chains.end[chosen, row])
    reverse = run_reverse(path, torch.stack(starts, 1), schedule, seeds, options)
    minus_upper = log_mean(-reverse.log_weight).value
    return -minus_upper.cpu().numpy()


def merged(before: Columns, annealed: Columns) -> Columns:
    """The annealed columns where they are trusted; elsewhere the larger of two low estimates.

    A low estimate is above log p(x) + c with probability below exp(-c), so the larger of two is
    above it with probability below 2 exp(-c).
    """
    trusted = annealed["pareto_k"] <= khat_limit(annealed["num_particles"])
    is_lower = annealed["log_marginal"] <= before["log_marginal"]
    takes_annealed = trusted | ~is_lower
    names = ("log_marginal", "se", "ess", "pareto_k", "num_particles")
    columns = {
        name: np.where(takes_annealed, annealed[name], before[name]) for name in names
    }
    columns["method"] = np.where(takes_annealed, "annealed", before["method"])
    upper = np.maximum(annealed["upper"], columns["log_marginal"])
    columns["upper"] = np.where(trusted, np.nan, upper)
    return columns
