"""Bidirectional Monte Carlo: log p(x) from below and from above, on rows whose posterior can be
drawn from exactly.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.annealing.chains import (
    Plan,
    downward,
    log_mean,
    require_moves,
    seeds_of,
    upward,
)
from pyro_vae.analysis.annealing.geometric_path import Path
from pyro_vae.analysis.annealing.temperatures import tuned
from pyro_vae.analysis.fitted import as_numpy, evaluation
from pyro_vae.arguments import public
from pyro_vae.inputs import placement_of
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Bracket:
    """log p(x) of rows drawn from the model, from below and from above; arrays have one number a
    row, in nats.

    Attributes:
        x: the rows, (n, *data_shape).
        lower: by annealing from q₀ to the posterior: above log p(x) + c with probability below
            exp(-c).
        upper: by annealing from the posterior to q₀: below log p(x) - c with probability below
            exp(-c).
        lower_se: standard error of `lower` over its chains, by the delta method.
        upper_se: of `upper`, for the one posterior draw that all its chains start from: what
            another draw would change is not in it.
        num_chains: C, each way.
        temperatures: T.
    """

    x: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lower_se: np.ndarray
    upper_se: np.ndarray
    num_chains: int
    temperatures: int

    @property
    def gap(self) -> np.ndarray:
        """upper - lower of each row: on average at least what either of them errs."""
        return self.upper - self.lower

    @property
    def se(self) -> np.ndarray:
        """Standard error of the gap of each row."""
        return np.hypot(self.lower_se, self.upper_se)

    def summary(self) -> str:
        """The means over rows, and how to read them."""
        rows = len(self.lower)

        def line(name: str, values: np.ndarray, note: str) -> str:
            error = values.std(ddof=1) / math.sqrt(rows) if rows > 1 else math.nan
            return f"{name:<13} {values.mean():10.3f} ± {error:.3f} nats per row   ({note})"

        how = f"{self.num_chains} chains, {self.temperatures} temperatures, {rows} rows drawn from the model"
        return "\n".join(
            [
                line("lower", self.lower, how),
                line("upper", self.upper, "the mean log p(x) of these rows lies between"),
                line("gap", self.gap, f"largest {self.gap.max():.3f}"),
                (
                    "Where your rows resemble these, `annealed` with these options errs on them by "
                    "about the gap at most."
                ),
            ]
        )


@public
def bidirectional(
    vae: VAE,
    *,
    num_rows: int = 100,
    num_chains: int = 16,
    temperatures: int = 1000,
    leapfrog_steps: int = 3,
    start: Literal["prior", "guide"] = "prior",
    seed: int = 0,
    chunk_size: int = 1000,
    progress: bool | None = False,
) -> Bracket:
    """Bracket log p(x) of rows drawn from the model, to see how far `annealed` is off.

    z* ~ p(z), x ~ p(x | z*), so that z* is an exact draw from p(z | x);

    lower = log (1/C) Σ w of chains from q₀ to p(x, z),   upper = -log (1/C) Σ 1 / w of chains from
    z* to q₀

    Both have the same temperatures and the same frozen steps, so that E[exp(lower)] = p(x) and
    E[exp(-upper)] = 1 / p(x): on average the truth lies between. It says nothing of rows that the
    model would not draw, and a model that was fitted badly draws others than yours.

    References:
        Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse, Ghahramani,
        Adams, 2015). On the Quantitative Analysis of Decoder-Based Generative Models (Wu, Burda,
        Salakhutdinov, Grosse, 2017).

    Arguments:
        vae: a model whose guide and prior have densities.
        num_rows: to draw from the model.
        num_chains: C, for each row and each way.
        temperatures, leapfrog_steps, start, seed, chunk_size, progress: as for `annealed`.

    Returns:
        `Bracket`, an array for each quantity.

    Raises:
        ValueError: no rows, chains, temperatures or steps; an autoencoder; a discrete z.

    Example:
        >>> bracket = bidirectional(VAE(data_shape=(4,), latent_dim=2), num_rows=3, num_chains=4, temperatures=20)
        >>> bracket.lower.shape, bracket.upper.shape
        ((3,), (3,))
    """
    if num_rows < 1:
        raise ValueError(f"num_rows: expected at least 1, got {num_rows}")
    plan = Plan(num_chains, temperatures, leapfrog_steps, start, seed, chunk_size, progress)
    require_moves(vae)
    with evaluation(vae):
        with own_seed(seed, placement_of(vae).device):
            z = vae.prior().sample(torch.Size([num_rows]))
            x = vae.likelihood(z).sample()
        parts = [
            _bracket(vae, *some, plan)
            for some in zip(x.split(plan.rows_together), z.split(plan.rows_together), strict=True)
        ]
    lower, upper, lower_se, upper_se = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Bracket(as_numpy(x), lower, upper, lower_se, upper_se, num_chains, temperatures)


def _bracket(vae: VAE, x: Tensor, z: Tensor, plan: Plan) -> tuple[np.ndarray, ...]:
    """lower, upper, lower_se and upper_se of some rows x with their exact posterior draws z."""
    path = Path.of(vae, x, plan.start)
    pair = torch.cat([x.flatten(1).to(z), z], 1)  # rows of a few bits come twice, their z do not
    ladder = tuned(path, seeds_of(pair, f"pilot {plan.seed}"), plan)
    up = upward(path, ladder, seeds_of(pair, f"upward {plan.seed}"), plan)
    down = downward(
        path, z.repeat(plan.num_chains, 1, 1), ladder, seeds_of(pair, f"downward {plan.seed}"), plan
    )
    lower, lower_se, _ = log_mean(up.log_weight)
    minus_upper, upper_se, _ = log_mean(-down.log_weight)
    return tuple(as_numpy(column) for column in (lower, -minus_upper, lower_se, upper_se))
