"""Importance sampling: log p(x) of each row, with its standard error."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.fitted import evaluation, has_density, posterior_of, rows_of
from pyro_vae.analysis.pareto import pareto_k, tail_length
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

BLOCK = 250
"""Draws that share one seed: always drawn whole, so that no chunk size changes them."""


@dataclass(frozen=True)
class Summary:
    """Means over rows, each with its standard error over rows, in nats per row.

    Attributes:
        rows, num_particles: how many.
        log_marginal, log_marginal_se: mean log p(x).
        monte_carlo_se: the part of that error which more draws would remove.
        elbo, elbo_se: mean ELBO.
        bits_per_dim: -log p(x) / (D log 2), for D numbers in a row.
        median_ess: median effective number of draws.
        unreliable: share of rows with k-hat above 0.7 or none, whose log p(x) is likely too low by an unknown amount;
            nan where the draws are too few to tell.
    """

    rows: int
    num_particles: int
    log_marginal: float
    log_marginal_se: float
    monte_carlo_se: float
    elbo: float
    elbo_se: float
    bits_per_dim: float
    median_ess: float
    unreliable: float

    def __str__(self) -> str:
        share = f"{self.unreliable:10.1%} of rows   (there log p(x) is not to be trusted)"
        return "\n".join(
            [
                f"log p(x)      {self.log_marginal:10.3f} ± {self.log_marginal_se:.3f} nats per row"
                f"   (importance sampling, {self.num_particles} draws, {self.rows} rows)",
                f"ELBO          {self.elbo:10.3f} ± {self.elbo_se:.3f} nats per row",
                f"bits per dim  {self.bits_per_dim:10.4f}",
                f"k-hat > 0.7   {'   unknown   (too few draws to tell)' if math.isnan(self.unreliable) else share}",
            ]
        )


@dataclass(frozen=True)
class Evidence:
    """log p(x) of each row; every array has one number a row, in nats where it has a unit.

    Attributes:
        log_marginal: log (1/K) Σₖ wₖ with w = p(x, z) / q(z | x): unbiased for p(x), so on average below log p(x).
        se: its standard error by the delta method, sd(w) / (√K mean(w)); trust it where pareto_k is below 0.7.
        elbo: the mean of log w.
        ess: effective number of draws, (Σ w)² / Σ w².
        pareto_k: tail index of the weights; above 0.7 the estimate is unreliable, -inf where the weights are constant,
            nan where the draws are too few to tell.
        num_particles: K.
        data_size: numbers in a row.
    """

    log_marginal: np.ndarray
    se: np.ndarray
    elbo: np.ndarray
    ess: np.ndarray
    pareto_k: np.ndarray
    num_particles: int
    data_size: int

    def summary(self) -> Summary:
        """The means over rows."""
        rows, mean = len(self.log_marginal), float(self.log_marginal.mean())
        reliable = self.pareto_k <= 0.7

        def error(values: np.ndarray) -> float:
            return float(values.std(ddof=1) / math.sqrt(rows)) if rows > 1 else math.nan

        return Summary(
            rows=rows,
            num_particles=self.num_particles,
            log_marginal=mean,
            log_marginal_se=error(self.log_marginal),
            monte_carlo_se=float(np.sqrt(np.square(self.se).sum()) / rows),
            elbo=float(self.elbo.mean()),
            elbo_se=error(self.elbo),
            bits_per_dim=-mean / (self.data_size * math.log(2)),
            median_ess=float(np.median(self.ess)),
            unreliable=math.nan if np.isnan(self.pareto_k).all() else float((~reliable).mean()),
        )


def evidence(
    vae: VAE, x: Any, *, num_particles: int = 1000, seed: int = 0, chunk_size: int = 1000, progress: bool | None = False
) -> Evidence:
    """Estimate log p(x) of each row by importance sampling from the guide.

    log p(x) ≈ log (1/K) Σₖ p(x | zₖ) p(zₖ) / q(zₖ | x) with zₖ ~ q(z | x), k = 1, ..., K

    The sums are kept in float64 while the draws pass, so the memory does not grow with K. The draws of a row depend on
    `seed` and on the row alone: its numbers are the same in any order, batch or chunk, up to rounding.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        num_particles: K, exactly.
        seed: of the draws.
        chunk_size: pairs of a row and a draw that are decoded at once.
        progress: show a bar; None on a terminal only.

    Returns:
        `Evidence`, an array for each quantity.

    Raises:
        ValueError: no rows or draws, rows that don't fit the model, an autoencoder.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> evidence(vae, torch.zeros(3, 4), num_particles=10).log_marginal.shape
        (3,)
    """
    if num_particles < 1 or chunk_size < 1:
        raise ValueError(f"num_particles, chunk_size: expected at least 1, got {num_particles}, {chunk_size}")
    require_density(vae)
    together = max(1, chunk_size // min(num_particles, BLOCK))
    rows = rows_of(vae, x, "x", batch_size=together, progress=progress)
    with evaluation(vae):
        parts = [
            _weights(vae, some, num_particles, seed, chunk_size).result()
            for batch in rows
            for some in batch.split(together)  # a DataLoader has a size of its own
        ]
    log_marginal, se, elbo, ess, k_hat = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Evidence(log_marginal, se, elbo, ess, k_hat, num_particles, math.prod(vae.spec.data_shape))


def require_density(vae: VAE) -> None:
    """Raise ValueError where importance weights don't exist: a point as guide, a prior without a density."""
    if not has_density(vae):
        raise ValueError(
            f"evidence: guide {vae.spec.guide.kind!r} with prior {vae.spec.prior.kind!r} is an autoencoder: it "
            "gives one code a row and no density over z, so log p(x) does not exist for it; take guide "
            "'mean_field' and prior 'standard_normal'"
        )


def _weights(vae: VAE, x: Tensor, num_particles: int, seed: int, chunk_size: int) -> "_Weights":
    """The weights of the draws of some rows, decoded in chunks."""
    weights = _Weights.empty(len(x), tail_length(num_particles) + 1)
    guides = [(posterior_of(vae, row), _seed_of(row, seed)) for row in x.split(1)]
    for block, first in enumerate(range(0, num_particles, BLOCK)):
        size = min(BLOCK, num_particles - first)
        drawn = [_draw(q, own + block, size, x.device) for q, own in guides]
        z, log_q = (torch.cat(part, 1) for part in zip(*drawn, strict=True))
        pairs = max(1, chunk_size // len(x))
        for z_chunk, log_q_chunk in zip(z.split(pairs), log_q.split(pairs), strict=True):
            weights.add(log_joint(vae, x, z_chunk) - log_q_chunk)
    return weights


@dataclass
class _Weights:
    """Running sums over the log weights of some rows; each is shaped (rows,), in float64."""

    log_sum: Tensor
    log_sum_of_squares: Tensor
    sum_of_logs: Tensor
    tail: Tensor
    tail_size: int
    count: int = 0

    @classmethod
    def empty(cls, rows: int, tail_size: int) -> "_Weights":
        nothing = torch.full((rows,), -torch.inf, dtype=torch.float64)
        return cls(nothing, nothing, torch.zeros_like(nothing), nothing.new_empty(rows, 0), tail_size)

    def add(self, log_weights: Tensor) -> None:
        new = log_weights.double().cpu()
        self.log_sum = torch.logaddexp(self.log_sum, new.logsumexp(0))
        self.log_sum_of_squares = torch.logaddexp(self.log_sum_of_squares, (2 * new).logsumexp(0))
        self.sum_of_logs = self.sum_of_logs + new.sum(0)
        self.count += len(new)
        seen = torch.cat([self.tail, new.T], 1)
        self.tail = seen.topk(min(self.tail_size, seen.shape[1]), 1).values

    def result(self) -> Iterator[np.ndarray]:
        """log_marginal, se, elbo, ess, pareto_k."""
        k = self.count
        ess = torch.exp(2 * self.log_sum - self.log_sum_of_squares)
        relative_variance = (k / ess - 1).clamp_min(0) / max(k - 1, 1)
        se = relative_variance.sqrt() if k > 1 else torch.full_like(ess, torch.nan)
        for column in (self.log_sum - math.log(k), se, self.sum_of_logs / k, ess):
            yield column.numpy()
        yield pareto_k(self.tail.numpy(), k)


def log_joint(vae: VAE, x: Tensor, z: Tensor) -> Tensor:
    """log p(x, z) = log p(z) + log p(x | z) for rows x (n, *data_shape) and draws z (draws, n, latent_dim)."""
    density: Tensor = vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x)
    return density


def _seed_of(row: Tensor, seed: int) -> int:
    """A seed that is the row's own, whatever stands beside it."""
    digest = hashlib.blake2b(row.cpu().numpy().tobytes(), key=str(seed).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


def _draw(q: Distribution, seed: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The first `size` draws of a block from one row's q, (size, 1, latent_dim), and their log densities, (size, 1)."""
    with own_seed(seed, device):
        z = q.sample((BLOCK,))[:size]
    return z, q.log_prob(z)
