"""What each column adds to log p(x), for likelihoods that are a product over columns."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from pyro_vae.analysis.fitted import evaluation
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.marginal_likelihood.proposals import Proposal, proposal_of
from pyro_vae.given import contexts_of_rows, density_of_x, of_rows, with_context
from pyro_vae.hooks import HasColumnDensities
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.likelihoods.mixed import ColumnGroups
from pyro_vae.likelihoods.observed_cells import ObservedCells
from pyro_vae.likelihoods.size_factor import SizedCounts, TotalCounts
from pyro_vae.rng import own_seed, row_seed
from pyro_vae.vae import VAE

NUMBERS = 2**24
"""Numbers that are worked on at once: rows times draws times columns."""
WHY = (
    "p(x | z) is not a product over columns (the counts of a multinomial share their total), so no "
    "column has a part of log p(x) that is its own; leave shares out, or take a likelihood such as "
    "'poisson'"
)
"""Why a model has no shares, in messages."""


@dataclass(frozen=True)
class Shares:
    """What each column adds to log p(x) of a row in nats, for p(x | z) = ∏ᵢ p(xᵢ | z).

    log p(x) = Σᵢ E[log p(xᵢ | z)] - KL(p(z | x) ‖ p(z))   with E over p(z | x)

    Attributes:
        value: E[log p(xᵢ | z)], (rows, columns).
        se: its Monte Carlo standard error, (rows, columns).
    """

    value: np.ndarray
    se: np.ndarray


def column_log_prob(p: Distribution, x: Tensor) -> Tensor | None:
    """log p(xᵢ | z) for each number of a row, (..., *event_shape), with sum log p(x | z).

    A distribution may have the hook `pyro_vae_column_log_prob(x)`. A size factor, on which its
    row is conditioned, adds nothing.

    Arguments:
        p: of batch shape (...), over rows.
        x: rows (..., *event_shape).

    Returns:
        The terms, or None where the distribution is no product over the numbers of a row.

    Example:
        >>> import pyro.distributions as dist
        >>> column_log_prob(dist.Normal(torch.zeros(3), 1.0).to_event(1), torch.zeros(3)).shape
        torch.Size([3])
    """
    terms = _terms(p, x)
    if terms is None:
        return None
    whole = p.log_prob(x)
    total = terms.flatten(-len(p.event_shape)).sum(-1) if p.event_shape else terms
    agrees = torch.allclose(total, whole, rtol=1e-4, atol=1e-3, equal_nan=True)
    return terms if agrees else None


def _terms(p: Any, x: Tensor) -> Tensor | None:
    """log p(xᵢ | z) as far as it is known; `column_log_prob` checks the sum."""
    if isinstance(p, HasColumnDensities):
        return torch.as_tensor(p.pyro_vae_column_log_prob(x))
    if isinstance(p, ObservedCells):
        filled, observed = p.filled(x)
        terms = _terms(p.base_dist, filled)
        if terms is None:
            return None
        return torch.where(observed, terms, 0.0) + p.mask_log_prob(x)
    if isinstance(p, SizedCounts):  # the size factor is the last column
        counts = p.counts(x[..., -1:]).log_prob(x[..., :-1])
        return torch.cat([counts, torch.zeros_like(counts[..., :1])], -1)
    if isinstance(p, TotalCounts):  # a product for the size that the row has
        return torch.as_tensor(p.of_size(x).log_prob(x))
    if isinstance(p, ColumnGroups):
        return _terms_of_groups(p, x)
    is_scalar = not p.event_shape
    while isinstance(p, Independent):
        p = p.base_dist
    return p.log_prob(x) if is_scalar or not p.event_shape else None


def _terms_of_groups(p: ColumnGroups, x: Tensor) -> Tensor | None:
    """The terms of groups of columns side by side, in the order of the columns."""
    sizes = [part.event_shape[0] for part in p.parts]
    groups = x.index_select(-1, p.listed).split(sizes, -1)
    terms: list[Tensor] = []
    for part, group in zip(p.parts, groups, strict=True):
        term = _terms(part, group)
        if term is None:
            return None
        terms.append(term)
    return torch.cat(terms, -1).index_select(-1, p.order)


def factorises(vae: VAE, x: Tensor) -> bool:
    """Whether p(x | z) is a product over columns, by its value for one row."""
    row = x[:1]
    with evaluation(vae):
        z = torch.zeros((1, vae.spec.latent_dim), dtype=row.dtype, device=row.device)
        return column_log_prob(*density_of_x(of_rows(vae), z, row)) is not None


def column_shares(
    vae: VAE,
    x: Any,
    *,
    num_samples: int = 500,
    seed: int = 0,
    progress: bool | None = None,
) -> Shares:
    """Estimate what each column adds to log p(x), by self-normalised importance sampling.

    E[f(z)] ≈ Σₖ wₖ f(zₖ) / Σₖ wₖ   with wₖ = p(x, zₖ) / q(zₖ) and zₖ ~ q, k = 1, ..., K

    q is the proposal "refined", or the guide where that has no mean and width to start from. The
    standard error is that of a ratio, √Σₖ wₖ² (f(zₖ) - E[f])² / Σₖ wₖ.

    References:
        Monte Carlo Theory, Methods and Examples (Owen, 2013), chapter 9.2.

    Arguments:
        vae: a model whose guide and prior have densities, and whose likelihood is a product over
            columns.
        x: rows shaped (n, *data_shape), for a model with a context with their contexts.
        num_samples: K.
        seed: of the draws. The numbers of a row depend on it and on the row alone.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        `Shares`, with the numbers of a row flattened to columns.

    Raises:
        ValueError: a likelihood that is no product over columns; rows that don't fit the model.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> column_shares(vae, torch.zeros(3, 4), num_samples=10).value.shape
        (3, 4)
    """
    columns = math.prod(vae.spec.data_shape)
    together = max(1, NUMBERS // (num_samples * columns))
    values: list[np.ndarray] = []
    errors: list[np.ndarray] = []
    with evaluation(vae), own_seed(seed, placement_of(vae).device) as restart:
        x = with_context(vae, x)
        seen = of_rows(vae, contexts_of_rows(x))
        for batch in rows_of(
            vae, x, "x", batch_size=max(together, 64), progress=progress
        ):
            for rows in batch.split(together):
                z, log_q = _draws(seen, rows, num_samples, seed, restart)
                mean, error = _weighted(seen, rows, z, log_q, columns)
                values.append(mean)
                errors.append(error)
    return Shares(np.concatenate(values), np.concatenate(errors))


def _draws(
    vae: VAE, rows: Tensor, num_samples: int, seed: int, restart: Any
) -> tuple[Tensor, Tensor]:
    """Draws (num_samples, rows, latent_dim) and their log densities (num_samples, rows)."""
    draws: list[Tensor] = []
    log_q: list[Tensor] = []
    for row, q in zip(rows.split(1), _proposals(vae, rows), strict=True):
        restart(row_seed(row, f"{seed} shares"))
        z = q.sample(torch.Size([num_samples]))
        draws.append(z)
        log_q.append(q.log_prob(z))
    return torch.cat(draws, 1), torch.cat(log_q, 1)


def _proposals(vae: VAE, rows: Tensor) -> list[Distribution]:
    refined: Proposal = proposal_of("refined")
    try:
        return refined.each(vae, rows)
    except ValueError:  # a guide without a mean and a standard deviation
        return proposal_of("guide").each(vae, rows)


def _weighted(
    vae: VAE, rows: Tensor, z: Tensor, log_q: Tensor, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """The means of the terms of some rows and their standard errors, (rows, columns)."""
    weights = (log_joint(vae, rows, z) - log_q).double().softmax(0)
    terms = _terms(*density_of_x(vae, z, rows))
    if terms is None:
        raise ValueError(f"shares: {WHY}")
    terms = terms.double().reshape(*z.shape[:2], columns)
    mean = torch.einsum("kr,krc->rc", weights, terms)
    variance = torch.einsum("kr,krc->rc", weights.square(), (terms - mean).square())
    return mean.cpu().numpy(), variance.sqrt().cpu().numpy()


def names_of(columns: Any, data_shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the numbers of a row: those that are given, or "x[3]", "x[1,2]" by position.

    Raises:
        ValueError: another number of names than a row has numbers, or a name that occurs twice.

    Example:
        >>> names_of(None, (2, 2))
        ('x[0,0]', 'x[0,1]', 'x[1,0]', 'x[1,1]')
    """
    count = math.prod(data_shape)
    if columns is None:
        indices = np.ndindex(*data_shape)
        return tuple(f"x[{','.join(map(str, index))}]" for index in indices)
    names = tuple(map(str, columns))
    different = len(set(names))
    if len(names) != count or different != count:
        raise ValueError(
            f"columns: expected {count} different names, one for each number of a row, got "
            f"{len(names)} ({different} different); pass one name for each column, in their order"
        )
    return names
