"""Bidirectional Monte Carlo: log p(x) from below and above, on rows with exact posterior draws."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.annealing.chains import (
    AnnealingOptions,
    require_moves,
    run_forward,
    run_reverse,
    seeds_of,
)
from pyro_vae.analysis.annealing.geometric_path import GeometricPath
from pyro_vae.analysis.annealing.temperatures import tuned
from pyro_vae.analysis.fitted import (
    Columns,
    as_numpy,
    concatenated,
    evaluation,
)
from pyro_vae.analysis.mean_weight import log_mean
from pyro_vae.analysis.posterior_checks.simulated import contexts_to_draw, simulated
from pyro_vae.analysis.results.answer import Answer, Total, mean_and_se
from pyro_vae.arguments import public
from pyro_vae.given import of_rows
from pyro_vae.inputs import placement_of
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE


@dataclass(frozen=True, repr=False)
class Bracket(Answer):
    """log p(x) of rows drawn from the model, from below and above, in nats; arrays are per row.

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
        context: of the rows, (n, C); None for a model without.
    """

    x: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    lower_se: np.ndarray
    upper_se: np.ndarray
    num_chains: int
    temperatures: int
    context: np.ndarray | None = None

    reading = (
        "Where your rows resemble these, `annealed` with these options errs on them by about the "
        "gap at most; ± is one standard error over rows."
    )

    def __repr__(self) -> str:
        gap = f"{self.mean_gap:.3f} ± {self.mean_gap_se:.3f} nats per row"
        return f"Bracket(rows={len(self.lower)}, gap {gap})"

    @property
    def gap(self) -> np.ndarray:
        """upper - lower of each row: on average at least what either of them errs."""
        return self.upper - self.lower

    @property
    def se(self) -> np.ndarray:
        """Standard error of the gap of each row."""
        return np.hypot(self.lower_se, self.upper_se)

    @property
    def mean_gap(self) -> float:
        """Mean of the gap over rows, in nats per row."""
        return mean_and_se(self.gap)[0]

    @property
    def mean_gap_se(self) -> float:
        """Standard error of that mean over rows; nan for a single row."""
        return mean_and_se(self.gap)[1]

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of `to_dataframe`: bounds, gap and their standard errors."""
        names = ("lower", "lower_se", "upper", "upper_se", "gap", "se")
        return {name: getattr(self, name) for name in names}

    def totals(self) -> list[Total]:
        """The means over rows of both bounds and of the gap."""
        chains = f"{self.num_chains} chains, {self.temperatures} temperatures"
        notes = {
            "lower": f"{chains}, {len(self.lower)} rows drawn from the model",
            "upper": "the mean log p(x) of these rows lies between",
            "gap": f"largest {self.gap.max():.3f}",
        }
        return [
            Total(name, *mean_and_se(getattr(self, name)), "nats per row", note)
            for name, note in notes.items()
        ]


@public
def bidirectional(
    vae: VAE,
    *,
    context: Any = None,
    num_rows: int = 100,
    num_chains: int = 16,
    temperatures: int = 1000,
    leapfrog_steps: int = 3,
    start: Literal["prior", "guide"] = "prior",
    seed: int = 0,
    chunk_size: int = 1000,
    progress: bool | None = None,
) -> Bracket:
    """Bracket log p(x) of rows drawn from the model, to see how far `annealed` is off.

    z* ~ p(z), x ~ p(x | z*), so that z* is an exact draw from p(z | x);

    lower = log (1/C) Σ w of chains from q₀ to p(x, z),   upper = -log (1/C) Σ 1 / w of chains from
    z* to q₀

    Both have the same temperatures and the same frozen step sizes, so that E[exp(lower)] = p(x) and
    E[exp(-upper)] = 1 / p(x): on average log p(x) lies between. It says nothing about rows that the
    model would not draw, and a badly fitted model draws rows unlike yours.

    References:
        Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse, Ghahramani,
        Adams, 2015). On the Quantitative Analysis of Decoder-Based Generative Models (Wu, Burda,
        Salakhutdinov, Grosse, 2017).

    Arguments:
        vae: a model whose guide and prior have densities.
        context: of a model that has one: contexts that rows are drawn for, one after another and
            over again, (m, C) or a DataFrame; or a dict by name of a value for all rows. An unknown
            label is drawn from p(y); the bounds are of log p(x | c), given the label.
        num_rows: to draw from the model.
        num_chains: C, for each row and each way.
        temperatures, leapfrog_steps, start, seed, chunk_size, progress: as for `annealed`.

    Returns:
        `Bracket`, an array for each quantity.

    Raises:
        ValueError: no rows, chains, temperatures or steps; an autoencoder; a discrete z.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> bracket = bidirectional(vae, num_rows=3, num_chains=4, temperatures=20)
        >>> bracket.lower.shape, bracket.upper.shape
        ((3,), (3,))
    """
    if num_rows < 1:
        raise ValueError(f"num_rows: expected at least 1, got {num_rows}")
    options = AnnealingOptions(
        num_chains, temperatures, leapfrog_steps, start, seed, chunk_size, progress
    )
    require_moves(vae)
    contexts = contexts_to_draw(vae, context, num_rows)
    with evaluation(vae):
        with own_seed(seed, placement_of(vae).device):
            seen = of_rows(vae, contexts)
            z, x = simulated(seen, num_rows, contexts)
        size = options.rows_together
        pairs = zip(x.split(size), z.split(size), strict=True)
        parts = [_bracket(seen, some_x, some_z, options) for some_x, some_z in pairs]
    own, given = vae.model.split(x)
    return Bracket(
        x=as_numpy(own),
        context=None if given is None else as_numpy(given),
        **concatenated(parts),
        num_chains=num_chains,
        temperatures=temperatures,
    )


def _bracket(
    vae: VAE,
    x: Tensor,
    z: Tensor,
    options: AnnealingOptions,
) -> Columns:
    """The bounds of some rows x with their exact posterior draws z."""
    path = GeometricPath.of(vae, x, options.start)
    # seeds from x and z: rows of a few bits come twice, their z do not
    pair = torch.cat([x.flatten(1).to(z), z], 1)
    schedule = tuned(path, seeds_of(pair, f"pilot {options.seed}"), options)
    forward = run_forward(
        path, schedule, seeds_of(pair, f"upward {options.seed}"), options
    )
    starts = z.repeat(options.num_chains, 1, 1)
    reverse_seeds = seeds_of(pair, f"downward {options.seed}")
    reverse = run_reverse(path, starts, schedule, reverse_seeds, options)
    lower = log_mean(forward.log_weight)
    minus_upper = log_mean(-reverse.log_weight)
    return {
        "lower": as_numpy(lower.value),
        "upper": as_numpy(-minus_upper.value),
        "lower_se": as_numpy(lower.se),
        "upper_se": as_numpy(minus_upper.se),
    }
