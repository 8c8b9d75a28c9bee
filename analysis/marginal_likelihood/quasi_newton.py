"""The best normal for each row, by quasi-Newton steps that see a few directions each."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.refinement import Ascent
from pyro_vae.guides.pushforward import noise_points

PAIRS = 8
"""Antithetic pairs of draws in a step, and so the directions whose curvature it sees."""
LEAST_CURVATURE = 0.05
"""Relative to the normal before: a step widens by 4.5 times at most."""
MOST_CURVATURE = 1e4
"""And none below a hundredth."""


class Rates(NamedTuple):
    """ρ and σ of a step: 1 is Newton's step, 0 is none."""

    of_loc: float
    of_scale: float


class Directions(NamedTuple):
    """What a step looks at.

    Attributes:
        basis: U, an orthonormal basis of the directions, (latent_dim, some).
        noise: half of the antithetic points ε in its span, (PAIRS, latent_dim): the covariance of
            all is U Uᵀ latent_dim / some.
    """

    basis: Tensor
    noise: Tensor


class _Seen(NamedTuple):
    """What the slopes of a step tell of each row.

    Attributes:
        mean: E[g], (rows, latent_dim).
        off: U - H U, (rows, latent_dim, some).
    """

    mean: Tensor
    off: Tensor


def quasi_newton(
    slope: Callable[[Tensor], Tensor],
    loc: Tensor,
    scale_tril: Tensor,
    rates: Sequence[Rates],
) -> Ascent:
    """Ascend the ELBO of each row from any normal, to a full-rank normal N(m, A Aᵀ).

    At the maximum g = Aᵀ ∂log p(x, z)/∂z + ε, with z = m + A ε, has mean zero, and H = I - E[g εᵀ],
    the mean curvature of -log p(x, z) in ε, is I. With U some orthonormal directions, Y = H U from
    the slopes at ±ε in their span, W = UᵀY and Z = Y W⁻¹, a step is

    A ← A F = A (I + U (W^(-1/2) Uᵀ - Zᵀ))   and   m ← m + ρ A F Fᵀ E[g]   with the A before,

    the block BFGS formula in factors: the new A Aᵀ has the curvature that was seen along U, stays
    positive definite, and changes least elsewhere. Steps take orthogonal directions until all
    latent variables have been seen, then other ones: of a quadratic log p(x, z) the covariance is
    exact once all have been seen with σ = 1. With σ below 1 Y is (1 - σ) U + σ H U.

    References:
        Randomized Quasi-Newton Updates Are Linearly Convergent Matrix Inversion Algorithms (Gower,
        Richtárik, 2017).

    Arguments:
        slope: from z (2 PAIRS, rows, latent_dim) to ∂ log p(x, z) / ∂z.
        loc: m to start from, (rows, latent_dim).
        scale_tril: A to start from, (rows, latent_dim, latent_dim).
        rates: of each step; one that would move m beyond the draws, by more than √latent_dim
            standard deviations, is shortened.

    Returns:
        The `Ascent`; rows whose steps don't end in finite numbers stay where they started.

    Example:
        >>> start = torch.zeros(2, 3), torch.eye(3).expand(2, 3, 3)
        >>> rates = [Rates(1.0, 1.0)] * 2
        >>> ascent = quasi_newton(lambda z: -(z - 5) / 4, *start, rates)
        >>> ascent.scale_tril[0].diagonal().round(decimals=3)
        tensor([2., 2., 2.])
    """
    m = loc
    factor = scale_tril
    distance = loc.new_zeros(len(loc))
    reach = math.sqrt(loc.shape[-1])
    for step, rate in enumerate(rates):
        directions = directions_of(loc.shape[-1], step)
        basis, noise = (part.to(loc) for part in directions)
        seen = _look(slope, m, factor, Directions(basis, noise))
        distance = seen.mean.norm(dim=-1)
        change = _change(basis, rate.of_scale * seen.off)
        # Newton's step by the curvature that was just seen, in coordinates of the normal before
        mean = seen.mean.unsqueeze(-1)
        newton = mean + change.mT @ (basis.T @ mean)
        newton = newton + basis @ (change @ newton)
        length = newton.norm(dim=1, keepdim=True)
        rho = rate.of_loc / (rate.of_loc * length / reach).clamp_min(1)
        m = m + (factor @ (rho * newton)).squeeze(-1)
        factor = factor + (factor @ basis) @ change
    return _ended(Ascent(m, factor, distance), loc, scale_tril)


@lru_cache(maxsize=256)
def directions_of(latent_dim: int, step: int) -> Directions:
    """Those of a step: all where few latent variables are, and others than in the steps before.

    Example:
        >>> first, second = directions_of(20, step=0), directions_of(20, step=1)
        >>> first.basis.shape, bool((first.basis.T @ second.basis).abs().max() < 1e-6)
        (torch.Size([20, 8]), True)
    """
    if latent_dim <= PAIRS:
        noise = noise_points(2 * PAIRS, latent_dim, step)[:PAIRS]
        return Directions(torch.eye(latent_dim), noise)
    sweep, number = divmod(step, math.ceil(latent_dim / PAIRS))
    generator = torch.Generator().manual_seed(sweep)
    every = torch.linalg.qr(torch.randn(latent_dim, latent_dim, generator=generator)).Q
    # the last of a sweep are filled up with the first
    columns = (PAIRS * number + torch.arange(PAIRS)) % latent_dim
    basis = every[:, columns]
    return Directions(basis, math.sqrt(latent_dim) * basis.T)


def _look(
    slope: Callable[[Tensor], Tensor],
    m: Tensor,
    factor: Tensor,
    directions: Directions,
) -> _Seen:
    basis, noise = directions
    moves = (factor @ noise.T).permute(2, 0, 1)
    slopes = slope(torch.cat([m + moves, m - moves]))
    above, below = slopes.chunk(2)
    columns = [(above - below) / 2, slopes.mean(0, keepdim=True)]
    along_noise = factor.mT @ torch.cat(columns).permute(1, 2, 0)
    g = along_noise[..., :-1] + noise.T
    share = basis.shape[1] / basis.shape[0]
    off = g @ (share / PAIRS * noise @ basis)
    return _Seen(along_noise[..., -1], off)


def _change(basis: Tensor, off: Tensor) -> Tensor:
    """W^(-1/2) Uᵀ - Zᵀ of each row, from U - Y."""
    inside = basis.T @ off
    curvature = torch.eye(basis.shape[1]).to(off) - (inside + inside.mT) / 2
    # the solver refuses what is not finite
    curvature = curvature.nan_to_num(1.0, 1.0, 1.0)
    values, vectors = torch.linalg.eigh(curvature)
    values = values.clamp(LEAST_CURVATURE, MOST_CURVATURE).unsqueeze(1)
    outside = off - basis @ inside
    inverse = (vectors / values) @ vectors.mT
    root = (vectors / values.sqrt()) @ vectors.mT
    # Z = U - outside W⁻¹, where outside is what U - Y has outside of U
    change = (root - torch.eye(basis.shape[1]).to(off)) @ basis.T
    return change + (outside @ inverse).mT


def _ended(ascent: Ascent, loc: Tensor, scale_tril: Tensor) -> Ascent:
    """With lower triangular factors, and rows without finite numbers as they started."""
    m, factor, distance = ascent
    tril, failed = torch.linalg.cholesky_ex(factor @ factor.mT)
    finite = m.isfinite().all(-1) & tril.isfinite().flatten(1).all(-1) & (failed == 0)
    return Ascent(
        torch.where(finite[:, None], m, loc),
        torch.where(finite[:, None, None], tril, scale_tril),
        torch.where(finite, distance, torch.inf),
    )
