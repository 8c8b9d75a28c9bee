"""What the proposal of a row is fitted from: the guide, and where needed other starting points."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.annealing.geometric_path import scale_of_quartiles
from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.analysis.marginal_likelihood.job import PARTICLES
from pyro_vae.analysis.marginal_likelihood.quasi_newton import (
    PAIRS,
    Rates,
    quasi_newton,
)
from pyro_vae.analysis.marginal_likelihood.refinement import Ascent, moments
from pyro_vae.analysis.marginal_likelihood.student_t import RowStudentT
from pyro_vae.analysis.marginal_likelihood.triangular import log_det
from pyro_vae.guides.pushforward import noise_points, standard_normal
from pyro_vae.priors.mixture import Marginal
from pyro_vae.vae import VAE

LogJoint = Callable[[Tensor, Tensor], Tensor]
"""From rows (n, *data_shape) and z (draws, n, latent_dim) to log p(x, z), (draws, n)."""
Slope = Callable[[Tensor, Tensor], Tensor]
"""From rows (n, *data_shape) and z (draws, n, latent_dim) to ∂ log p(x, z) / ∂z."""

STEPS_FOR_LOC = 3
"""Besides those that see the curvature of each direction once: the slopes change as m moves."""
FEWEST_STEPS = 8
MOST_STEPS = 28
TIMES_LONGER = 3
"""Steps from another start, as a multiple: it is narrow, and far from a mode."""
OTHER_STARTS = 3
"""Fits besides the one from the guide."""
NARROW = 0.1
"""Spread of another start, relative to the candidates: a wide one would leave its mode."""
LEAST_WEIGHT = 0.05
"""Of a fit in the mixture of several: a fit of lower ELBO may be the better proposal."""
EXACT = 1e-3
"""Nats by which log weights at fixed points may differ where the guide is the posterior."""
NEAR = 0.25
"""Standard deviations per dimension from the optimum: beyond, the steps have not converged."""


class Fits(NamedTuple):
    """What the proposals of some rows are made of.

    Attributes:
        each: Student t's of each row.
        weights: of the Student t's, (rows, fits); they sum to one.
        converged: whether the steps have led to the maximum of the ELBO, at a z that the prior may
            draw too, (rows,).
    """

    each: Sequence[RowStudentT]
    weights: Tensor
    converged: Tensor


def fit_from_guide(
    vae: VAE,
    x: Tensor,
    slope: Slope,
    lowest_log_prior: float,
) -> Fits:
    """One fit from the guide's moments; none for a guide without moments over real vectors.

    Arguments:
        vae: the model.
        x: rows, (n, *data_shape).
        slope: of log p(x, z).
        lowest_log_prior: of many draws from the prior: a fit below it may have diverged.
    """
    try:
        loc, scale_tril = moments(posterior_of(vae, x))
    except ValueError:
        return _no_fits(x)
    ascent = _ascend(slope, x, loc, scale_tril, steps_of(loc.shape[-1]))
    is_near = ascent.distance <= NEAR * math.sqrt(loc.shape[-1])
    is_usual = vae.prior().log_prob(ascent.loc) >= lowest_log_prior
    fit = RowStudentT(ascent.loc, ascent.scale_tril)
    weights = torch.ones(len(x), 1, device=x.device)
    return Fits((fit,), weights, is_near & is_usual)


def _no_fits(x: Tensor) -> Fits:
    weights = torch.ones(len(x), 0, device=x.device)
    return Fits((), weights, _each(x, True))


def _each(x: Tensor, value: bool) -> Tensor:
    """The same value for each row."""
    return torch.full((len(x),), value, device=x.device)


def steps_of(latent_dim: int) -> int:
    """Steps of the fit from the guide: each sees `PAIRS` directions, and all are seen once.

    Example:
        >>> [steps_of(latent_dim) for latent_dim in (2, 50, 1000)]
        [8, 10, 28]
    """
    sweep = math.ceil(latent_dim / PAIRS)
    return min(max(FEWEST_STEPS, STEPS_FOR_LOC + sweep), MOST_STEPS)


def _ascend(
    slope: Slope,
    x: Tensor,
    loc: Tensor,
    scale_tril: Tensor,
    steps: int,
) -> Ascent:
    """Large steps at first, and smaller ones to average the noise of few draws."""
    of_loc = np.linspace(1.0, 0.4, steps).tolist()
    of_scale = np.linspace(1.0, 0.7, steps).tolist()
    rates = [Rates(*both) for both in zip(of_loc, of_scale, strict=True)]
    return quasi_newton(lambda z: slope(x, z), loc, scale_tril, rates)


def fit_from_several(
    vae: VAE,
    x: Tensor,
    slope: Slope,
    log_joint: LogJoint,
    candidates: Tensor,
) -> Fits:
    """Fits from the guide and then from the candidate that the fits so far miss the most.

    That is where p(x, z) / (½ t(z) + ½ p(z)) is the largest, for the mean t of the fits so far:
    about p(x) where they are, and p(x | z) elsewhere. The weight of a fit follows from its ELBO,
    and none is below 0.05.

    Arguments:
        vae: the model.
        x: rows, (n, *data_shape).
        slope: of log p(x, z).
        log_joint: log p(x, z).
        candidates: draws from the prior, (many, latent_dim).
    """
    try:
        loc, scale_tril = moments(posterior_of(vae, x))
    except ValueError:
        return _no_fits(x)
    candidates = torch.cat([candidates, *_modes(vae.prior())])
    scored = _Candidates(vae, x, candidates)
    spread = scale_of_quartiles(candidates).clamp_min(1e-6)
    narrow = torch.diag_embed(NARROW * spread).expand(len(x), -1, -1)
    steps = TIMES_LONGER * steps_of(loc.shape[-1])
    fits: list[RowStudentT] = []
    for number in range(1 + OTHER_STARTS):
        if number > 0:
            loc = scored.most_missed(fits)
            scale_tril = narrow
        ascent = _ascend(slope, x, loc, scale_tril, steps)
        fits.append(RowStudentT(ascent.loc, ascent.scale_tril))
    elbos = [_elbo(fit, x, log_joint) for fit in fits]
    weights = _weights(torch.stack(elbos, 1))
    return Fits(fits, weights, _each(x, True))


def _weights(elbos: Tensor) -> Tensor:
    """The softmax of the ELBOs (rows, fits), mixed with equal weights."""
    count = elbos.shape[1]
    finite = elbos.nan_to_num(-torch.inf, -torch.inf, -torch.inf)
    shares = finite.softmax(1).nan_to_num(1 / count)
    return (1 - LEAST_WEIGHT * count) * shares + LEAST_WEIGHT


class _Candidates:
    """log p(z) and log p(x, z) at candidates (many, latent_dim), the latter for each row."""

    def __init__(self, vae: VAE, x: Tensor, z: Tensor) -> None:
        likelihood = vae.likelihood(z)
        columns = []
        for row in x:
            repeated = row.expand(len(z), *row.shape)
            columns.append(likelihood.log_prob(repeated))
        self.z = z
        self.log_prior = vae.prior().log_prob(z).unsqueeze(1)
        self.log_joint = self.log_prior + torch.stack(columns, 1)

    def most_missed(self, fits: Sequence[RowStudentT]) -> Tensor:
        """The candidate of each row with the largest p(x, z) / (½ t(z) + ½ p(z)).

        Its shape is (rows, latent_dim).
        """
        num_rows = self.log_joint.shape[1]
        z = self.z.unsqueeze(1).expand(-1, num_rows, -1)
        log_fits = torch.stack([fit.log_prob(z) for fit in fits])
        log_mean_fit = log_fits.logsumexp(0) - math.log(len(fits))
        log_prior = self.log_prior.double()
        log_weight = self.log_joint - torch.logaddexp(log_mean_fit, log_prior)
        best = log_weight.nan_to_num(-torch.inf).argmax(0)
        return self.z[best]


def exact_guide(vae: VAE, x: Tensor, log_joint: LogJoint) -> Tensor:
    """Whether q(z | x) is the posterior of each row: log p(x, z) - log q(z | x) is constant.

    It is looked at in fixed points and not in draws, so that what is drawn afterwards is as if the
    proposal had been known before. Two points tell most rows, and all of them the others.
    """
    q: Any = posterior_of(vae, x)
    points = noise_points(PARTICLES, q.event_shape[0]).to(x)
    try:
        loc, scale_tril = moments(q)
    except ValueError:
        return _each(x, False)

    def is_constant(rows: Tensor, points: Tensor) -> Tensor:
        tril = scale_tril[rows]
        log_p = log_joint(x[rows], _at_points(loc[rows], tril, points))
        log_noise = standard_normal(points).unsqueeze(1)
        log_weights = log_p - log_noise + log_det(tril)
        return log_weights.amax(0) - log_weights.amin(0) <= EXACT

    every = torch.arange(len(x), device=x.device)
    found = is_constant(every, points[:2])
    rows = every[found]
    if len(rows):
        found[rows] = is_constant(rows, points)
    return found


def _at_points(loc: Tensor, scale_tril: Tensor, points: Tensor) -> Tensor:
    """z = m + L ε for fixed points ε (many, latent_dim): (many, rows, latent_dim)."""
    columns = points.unsqueeze(-1).unsqueeze(1)
    return loc + (scale_tril @ columns).squeeze(-1)


def _modes(prior: Distribution) -> list[Tensor]:
    """The means of the components of a mixture or VampPrior."""
    return [prior.components.mean] if isinstance(prior, Marginal) else []


def _elbo(fit: RowStudentT, x: Tensor, log_joint: LogJoint) -> Tensor:
    """E[log p(x, z)] over fixed points of N(m, L Lᵀ), plus its entropy up to a constant."""
    points = noise_points(PARTICLES, fit.loc.shape[-1]).to(fit.loc)
    z = _at_points(fit.loc, fit.scale_tril, points)
    return log_joint(x, z).mean(0) + log_det(fit.scale_tril)
