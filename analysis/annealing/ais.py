"""Annealed importance sampling: log p(x) of each row by chains from q₀(z) to the posterior."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch import Tensor

from pyro_vae.analysis.annealing.chains import (
    AnnealingOptions,
    require_moves,
    run_forward,
    seeds_of,
)
from pyro_vae.analysis.annealing.geometric_path import GeometricPath
from pyro_vae.analysis.annealing.temperatures import ACCEPTANCE, tuned
from pyro_vae.analysis.fitted import (
    Columns,
    as_numpy,
    concatenated,
    evaluation,
    label_of,
)
from pyro_vae.analysis.marginal_likelihood.labels import annealed_over_labels
from pyro_vae.analysis.mean_weight import log_mean
from pyro_vae.analysis.results.answer import (
    Answer,
    HasLogMarginal,
    Total,
    mean_and_se,
    monte_carlo_se,
)
from pyro_vae.arguments import public
from pyro_vae.data.given_rows import CandidateRows
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import contexts_of_rows, of_rows
from pyro_vae.inputs import model_rows, rows_of
from pyro_vae.rng import row_hash
from pyro_vae.vae import VAE


@dataclass(frozen=True, repr=False)
class Annealed(HasLogMarginal, Answer):
    """log p(x) of each row by annealed importance sampling, in nats; an array has a number a row.

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
        row_hashes: uint64, equal for equal rows, which have the same random numbers.
        num_chains: C.
        temperatures: T.
        row_labels: names of the rows, where the data have some, else None.
    """

    log_marginal: np.ndarray
    se: np.ndarray
    ess: np.ndarray
    acceptance: np.ndarray
    step_size: np.ndarray
    row_hashes: np.ndarray
    num_chains: int
    temperatures: int
    row_labels: tuple[Any, ...] | None = None

    reading = (
        "log p(x) is on average a low estimate; where the chains miss a mode it is too low, and no "
        "number shows it; ± is one standard error over rows"
    )

    def __repr__(self) -> str:
        mean = f"{self.mean_log_marginal:.3f} ± {self.mean_log_marginal_se:.3f} nats per row"
        return f"Annealed(rows={len(self.log_marginal)}, log p(x) {mean})"

    @property
    def monte_carlo_se(self) -> float:
        """The part of that error which more chains would remove; equal rows have equal errors."""
        return monte_carlo_se(self.se, self.row_hashes)

    @property
    def median_ess(self) -> float:
        """Median over rows of the effective number of chains."""
        return float(np.median(self.ess))

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of `to_dataframe`: the arrays above, by their names."""
        names = ("log_marginal", "se", "ess", "acceptance", "step_size")
        return {name: getattr(self, name) for name in names}

    def labels(self) -> Sequence[Any] | None:
        """The names of the rows, where they are known."""
        return self.row_labels

    def totals(self) -> list[Total]:
        """Mean log p(x), the part of its error that is Monte Carlo, and how the chains moved."""
        mean, se = mean_and_se(self.log_marginal)
        chains = f"{self.num_chains} chains, {self.temperatures} temperatures"
        how = f"annealed importance sampling, {chains}, {len(self.log_marginal)} rows"
        few = "in the median row; near 1, log p(x) is likely too low: take more temperatures"
        acceptance = float(self.acceptance.mean())
        return [
            Total("log p(x)", mean, se, "nats per row", how),
            Total(
                "Monte Carlo",
                self.monte_carlo_se,
                unit="nats of that error",
                note="what more chains would remove",
            ),
            Total("ess", self.median_ess, unit="chains", note=few, digits=1),
            Total(
                "acceptance",
                acceptance,
                note=f"the steps were tuned to {ACCEPTANCE}",
                digits=2,
            ),
        ]


@public
def annealed(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_chains: int = 16,
    temperatures: int = 1000,
    leapfrog_steps: int = 3,
    start: Literal["prior", "guide"] = "prior",
    seed: int = 0,
    chunk_size: int = 1000,
    progress: bool | None = None,
) -> Annealed:
    """Estimate log p(x) of each row by annealed importance sampling with Hamiltonian Monte Carlo.

    log fₜ(z) = log q₀(z) + bₜ U(z),   U(z) = log p(x, z) - log q₀(z),   0 = b₀ < b₁ < ... < b_T = 1

    log w = Σₜ (bₜ - bₜ₋₁) U(zₜ₋₁),   t = 1, ..., T

    where z₀ ~ q₀ and zₜ is zₜ₋₁ after a transition that leaves fₜ invariant. The mean weight is
    unbiased for p(x) however well the chains mix; with more temperatures each weight is closer to
    it. A schedule that adapts to its own chains would add a small bias: here 16 pilot chains on
    T / 10 temperatures (at least 20) tune temperatures and step sizes of each row (`tuned`), which
    are then frozen.

    The guide is closer to the posterior, so that a fifth of the temperatures do as well; from the
    prior the estimate uses the guide for nothing but the scale of its steps.

    It fails where the posterior has modes that no chain finds in time: log p(x) is then low, and
    neither `se` nor `ess` need show it. Run it from both starts, and `bidirectional` on rows of the
    model. The numbers of a row depend on `seed` and on the row alone, up to rounding: where
    rounding changes an acceptance, the chain continues differently. With a context c it is
    log p(x | c), and with a label y log p(x, y) where that is known and log Σ_y p(x, y) elsewhere.

    References:
        Annealed Importance Sampling (Neal, 2001).
        On the Quantitative Analysis of Decoder-Based Generative Models (Wu, Burda, Salakhutdinov,
        Grosse, 2017).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        num_chains: C, for each row.
        temperatures: T; 1 is importance sampling from q₀.
        leapfrog_steps: of each move. A chain takes T leapfrog_steps gradients, and the pilot 1.6
            times what one takes.
        start: q₀, "prior" or "guide". The density of a guide "flow" with transform
            "autoregressive" is slow.
        seed: of the chains.
        chunk_size: pairs of a row and a chain that move at once.
        progress: whether to show bars; None shows them on a terminal or in a notebook.

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
    if label_of(vae) is not None and not isinstance(x, CandidateRows):
        return annealed_over_labels(annealed, **locals())
    options = AnnealingOptions(
        num_chains, temperatures, leapfrog_steps, start, seed, chunk_size, progress
    )
    require_moves(vae)
    whole = model_rows(vae, x, context=context)
    rows = rows_of(vae, whole, "x", batch_size=options.rows_together, progress=progress)
    with evaluation(vae):
        seen = of_rows(vae, contexts_of_rows(whole))
        parts = [
            _estimate(seen, some, options)
            for batch in rows
            for some in batch.split(options.rows_together)
        ]
    return Annealed(
        **concatenated(parts),
        num_chains=num_chains,
        temperatures=temperatures,
        row_labels=row_labels(x, vae.spec.table),
    )


def _estimate(vae: VAE, x: Tensor, options: AnnealingOptions) -> Columns:
    """The columns of `Annealed` for some rows."""
    path = GeometricPath.of(vae, x, options.start)
    schedule = tuned(path, seeds_of(x, f"pilot {options.seed}"), options)
    chains = run_forward(path, schedule, seeds_of(x, f"upward {options.seed}"), options)
    estimate = log_mean(chains.log_weight)
    return {
        "log_marginal": as_numpy(estimate.value),
        "se": as_numpy(estimate.se),
        "ess": as_numpy(estimate.ess),
        "acceptance": as_numpy(chains.acceptance),
        "step_size": as_numpy(schedule.step_size[-1]),
        "row_hashes": np.array([row_hash(row) for row in x], np.uint64),
    }
