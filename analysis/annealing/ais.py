"""Annealed importance sampling: log p(x) of each row by a slow walk from a simple density to the
posterior.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from pyro_vae.analysis.annealing.chains import Plan, log_mean, require_moves, seeds_of, upward
from pyro_vae.analysis.annealing.geometric_path import Path
from pyro_vae.analysis.annealing.temperatures import ACCEPTANCE, tuned
from pyro_vae.analysis.fitted import evaluation
from pyro_vae.arguments import public
from pyro_vae.inputs import rows_of
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Annealed:
    """log p(x) of each row by annealed importance sampling; every array has one number a row, log
    p(x) in nats.

    Attributes:
        log_marginal: log of the mean weight over chains: unbiased for p(x), so on average below log
            p(x).
        se: its standard error by the delta method, sd(w) / (√C mean(w)) over C chains: itself rough
            with few chains, and too small where one chain holds most of the weight; nan for a
            single chain.
        ess: effective number of chains, (Σ w)² / Σ w², from 1 to C.
        acceptance: mean probability with which a proposal was accepted; nan for a single
            temperature.
        step_size: of the leapfrog at the posterior, in standard deviations of q(z | x).
        num_chains: C.
        temperatures: T.
    """

    log_marginal: np.ndarray
    se: np.ndarray
    ess: np.ndarray
    acceptance: np.ndarray
    step_size: np.ndarray
    num_chains: int
    temperatures: int

    def summary(self) -> str:
        """The means over rows, and how to read them."""
        rows = len(self.log_marginal)
        error = self.log_marginal.std(ddof=1) / math.sqrt(rows) if rows > 1 else math.nan
        return "\n".join(
            [
                (
                    f"log p(x)      {self.log_marginal.mean():10.3f} ± {error:.3f} nats per row   "
                    "(annealed importance "
                    f"sampling, {self.num_chains} chains, {self.temperatures} temperatures, {rows} "
                    "rows)"
                ),
                f"Monte Carlo   {math.sqrt(np.square(self.se).sum()) / rows:10.3f} of that error   "
                "(what more chains would remove; on average the estimate is below log p(x))",
                f"ess           {np.median(self.ess):10.1f} chains in the median row   (near 1: "
                "log p(x) is likely too low; take more temperatures)",
                (
                    f"acceptance    {self.acceptance.mean():10.2f}   (the steps were tuned to "
                    f"{ACCEPTANCE})"
                ),
            ]
        )


@public
def annealed(
    vae: VAE,
    x: Any,
    *,
    num_chains: int = 16,
    temperatures: int = 1000,
    leapfrog_steps: int = 3,
    start: Literal["prior", "guide"] = "prior",
    seed: int = 0,
    chunk_size: int = 1000,
    progress: bool | None = False,
) -> Annealed:
    """Estimate log p(x) of each row by annealed importance sampling with Hamiltonian Monte Carlo.

    log fₜ(z) = log q₀(z) + bₜ U(z),   U(z) = log p(x, z) - log q₀(z),   0 = b₀ < b₁ < ... < b_T = 1

    log w = Σₜ (bₜ - bₜ₋₁) U(zₜ₋₁),   t = 1, ..., T

    where z₀ ~ q₀ and zₜ is zₜ₋₁ after a move that leaves fₜ as it is. The mean weight is unbiased
    for p(x) however well the chains mix; the slower the walk, the nearer is each weight. A ladder
    that adapts to the chains on it would bias it a little: here a pilot walk of T / 10 temperatures
    (at least 20) and 16 chains tunes temperatures and steps of each row (`tuned`), and then they
    are frozen.

    From the guide the way is shorter, so that a fifth of the temperatures do as well; from the
    prior the answer leans on the guide for nothing but the scale of its steps.

    It fails where the posterior has modes that no chain finds in time: log p(x) is then low, and
    neither `se` nor `ess` need show it. Run it from both starts, and `bidirectional` on rows of the
    model. A row's numbers depend on `seed` and on the row alone, up to rounding: where rounding
    tips an acceptance, a chain goes another way.

    References:
        Annealed Importance Sampling (Neal, 2001).
        On the Quantitative Analysis of Decoder-Based Generative Models (Wu, Burda, Salakhutdinov,
        Grosse, 2017).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        num_chains: C, for each row.
        temperatures: T; 1 is importance sampling from q₀.
        leapfrog_steps: of each move. A chain takes T leapfrog_steps gradients, and the pilot 1.6
            times what one takes.
        start: q₀, "prior" or "guide". The density of a guide of kind "flow" with transform "iaf" is
            slow.
        seed: of the chains.
        chunk_size: pairs of a row and a chain that move at once.
        progress: show bars; None on a terminal only.

    Returns:
        `Annealed`, an array for each quantity.

    Raises:
        ValueError: no rows, chains, temperatures or steps; rows that don't fit the model; an
            autoencoder; a discrete z.

    Example:
        >>> import torch
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> annealed(vae, torch.zeros(3, 4), num_chains=4, temperatures=5).log_marginal.shape
        (3,)
    """
    plan = Plan(num_chains, temperatures, leapfrog_steps, start, seed, chunk_size, progress)
    require_moves(vae)
    rows = rows_of(vae, x, "x", batch_size=plan.rows_together, progress=progress)
    with evaluation(vae):
        parts = [
            _estimate(vae, some, plan) for batch in rows for some in batch.split(plan.rows_together)
        ]
    log_marginal, se, ess, acceptance, step_size = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Annealed(log_marginal, se, ess, acceptance, step_size, num_chains, temperatures)


def _estimate(vae: VAE, x: Tensor, plan: Plan) -> tuple[np.ndarray, ...]:
    """log_marginal, se, ess, acceptance and step_size of some rows."""
    path = Path.of(vae, x, plan.start)
    ladder = tuned(path, seeds_of(x, f"pilot {plan.seed}"), plan)
    walk = upward(path, ladder, seeds_of(x, f"upward {plan.seed}"), plan)
    columns = (*log_mean(walk.log_weight), walk.acceptance, ladder.step[-1])
    return tuple(column.cpu().numpy() for column in columns)
