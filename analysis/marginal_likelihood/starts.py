"""Where a row's proposal is fitted from: the guide, and for a row that needs more the best of many
other places.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.analysis.marginal_likelihood.refinement import ascend, moments
from pyro_vae.analysis.marginal_likelihood.row_draws import PARTICLES
from pyro_vae.analysis.marginal_likelihood.student_t import RowStudentT
from pyro_vae.guides.pushforward import noise_points, standard_normal
from pyro_vae.priors.mixture import Marginal
from pyro_vae.vae import VAE

LogJoint = Callable[[Tensor, Tensor], Tensor]
"""From rows (n, *data_shape) and z (draws, n, latent_dim) to log p(x, z), (draws, n)."""
Slope = Callable[[Tensor, Tensor], Tensor]
"""From rows (n, *data_shape) and z (draws, n, latent_dim) to ∂ log p(x, z) / ∂z."""

FIRST_RATES = tuple(np.linspace(0.25, 0.1, 28))
"""Of natural gradient steps: large ones to get near, smaller ones to average the noise of few
draws.
"""
SECOND_RATES = (*np.full(30, 0.3), *np.linspace(0.3, 0.03, 50))
OTHERS = 3
"""Starts besides the guide."""
NARROW = 0.1
"""Spread of a start at another place, in that of the places: a wide one would leave the mode that
it is at.
"""
LEAST_WEIGHT = 0.05
"""Of a fit in the mixture of several: an ELBO is a bound, and a fit may be the better one for all
that.
"""
EXACT = 1e-3
"""Nats by which log weights at fixed points may differ where the guide is the posterior."""


NEAR = 0.25
"""Standard deviations in each dimension that a fit may have to go: beyond, its steps have not led
it there.
"""


class Fits(NamedTuple):
    """What proposals of some rows are made of.

    Attributes:
        each: Student t's of each row.
        weights: theirs, (rows, fits), which sum to one.
        arrived: whether the steps have led to the largest ELBO, and to where the prior draws too,
            (rows,).
    """

    each: Sequence[RowStudentT]
    weights: Tensor
    arrived: Tensor


def fit_from_guide(vae: VAE, x: Tensor, slope: Slope, lowest_log_prior: float) -> Fits:
    """One fit from the guide's moments; none for a guide without mean and standard deviation over
    real vectors.

    Arguments:
        vae: the model.
        x: rows, (n, *data_shape).
        slope: of log p(x, z).
        lowest_log_prior: of many draws from the prior: a fit below may have gone astray.
    """
    try:
        loc, tril = moments(posterior_of(vae, x))
    except ValueError:
        return _no_fits(x)
    ascent = ascend(lambda z: slope(x, z), loc, tril, FIRST_RATES, PARTICLES)
    near = ascent.to_go <= NEAR * math.sqrt(loc.shape[-1])
    usual = vae.prior().log_prob(ascent.loc) >= lowest_log_prior
    fitted = RowStudentT(ascent.loc, ascent.scale_tril)
    return Fits((fitted,), torch.ones(len(x), 1, device=x.device), near & usual)


def _no_fits(x: Tensor) -> Fits:
    return Fits(
        (),
        torch.ones(len(x), 0, device=x.device),
        torch.ones(len(x), dtype=torch.bool, device=x.device),
    )


def fit_from_several(
    vae: VAE, x: Tensor, slope: Slope, log_joint: LogJoint, places: Tensor
) -> Fits:
    """Fits from the guide and then, one after another, from the place that the fits before miss the
    most.

    That is where p(x, z) / (½ t(z) + ½ p(z)) is the largest, for the mean t of the fits so far:
    about p(x) where they are, and p(x | z) elsewhere. Each fit weighs as its ELBO says, and none
    less than 0.05 of all.
    """
    try:
        loc, tril = moments(posterior_of(vae, x))
    except ValueError:
        return _no_fits(x)
    places = torch.cat([places, *_modes(vae.prior())])
    at_places = _AtPlaces(vae, x, places)
    narrow = torch.diag_embed(NARROW * _robust_scale(places)).expand(len(x), -1, -1)
    fits: list[RowStudentT] = []
    for number in range(1 + OTHERS):
        if number:
            loc, tril = at_places.most_missed(fits), narrow
        ascent = ascend(lambda z: slope(x, z), loc, tril, SECOND_RATES, PARTICLES)
        fits.append(RowStudentT(ascent.loc, ascent.scale_tril))
    elbos = torch.stack([_elbo(fit, x, log_joint) for fit in fits], 1)
    shares = (
        elbos.nan_to_num(-torch.inf, -torch.inf, -torch.inf).softmax(1).nan_to_num(1 / len(fits))
    )
    weights = (1 - LEAST_WEIGHT * len(fits)) * shares + LEAST_WEIGHT
    return Fits(fits, weights, torch.ones(len(x), dtype=torch.bool, device=x.device))


class _AtPlaces:
    """log p(z) and log p(x, z) at places (many, latent_dim), the latter of each row."""

    def __init__(self, vae: VAE, x: Tensor, places: Tensor) -> None:
        likelihood = vae.likelihood(places)
        rows = [likelihood.log_prob(row.expand(len(places), *row.shape)) for row in x]
        self.places, self.log_prior = places, vae.prior().log_prob(places).unsqueeze(1)
        self.log_joint = self.log_prior + torch.stack(rows, 1)

    def most_missed(self, fits: Sequence[RowStudentT]) -> Tensor:
        """The place of each row where p(x, z) / (½ t(z) + ½ p(z)) is the largest, (rows,
        latent_dim).
        """
        rows = self.log_joint.shape[1]
        z = self.places.unsqueeze(1).expand(-1, rows, -1)
        log_fits = torch.stack([fit.log_prob(z) for fit in fits]).logsumexp(0) - math.log(len(fits))
        weight = self.log_joint - torch.logaddexp(log_fits, self.log_prior.double())
        return self.places[weight.nan_to_num(-torch.inf).argmax(0)]


def exact_guide(vae: VAE, x: Tensor, log_joint: LogJoint) -> Tensor:
    """Whether q(z | x) is the posterior of each row: log p(x, z) - log q(z | x) is one number at
    fixed points.

    The points are no draws, so that what is drawn afterwards is as if the proposal had been known
    before.
    """
    q: Any = posterior_of(vae, x)
    points = noise_points(PARTICLES, q.event_shape[0]).to(x)
    try:
        loc, tril = moments(q)
    except ValueError:
        return torch.zeros(len(x), dtype=torch.bool, device=x.device)
    z = loc + (tril @ points.unsqueeze(-1).unsqueeze(1)).squeeze(-1)
    log_det = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_weights = log_joint(x, z) - standard_normal(points).unsqueeze(1) + log_det
    return log_weights.amax(0) - log_weights.amin(0) <= EXACT


def _modes(prior: Distribution) -> list[Tensor]:
    """The means of the components of a mixture or VampPrior."""
    return [prior.components.mean] if isinstance(prior, Marginal) else []


def _robust_scale(places: Tensor) -> Tensor:
    """The standard deviations of normals with the quartiles of the places."""
    low, high = places.quantile(torch.tensor([0.25, 0.75]).to(places), 0)
    return ((high - low) / 1.349).clamp_min(1e-6)


def _elbo(fit: RowStudentT, x: Tensor, log_joint: LogJoint) -> Tensor:
    """E[log p(x, z)] over fixed points of N(m, L Lᵀ), plus its entropy up to a constant, (rows,)."""
    points = noise_points(PARTICLES, fit.loc.shape[-1]).to(fit.loc)
    z = fit.loc + (fit.scale_tril @ points.unsqueeze(-1).unsqueeze(1)).squeeze(-1)
    entropy = fit.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return log_joint(x, z).mean(0) + entropy
