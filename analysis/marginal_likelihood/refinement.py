"""The best normal for each row: the guide's moments, improved by gradient steps on the row's own
ELBO.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution, LowRankMultivariateNormal, MultivariateNormal

from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.guides.pushforward import noise_points
from pyro_vae.vae import VAE


def fit_normal(
    vae: VAE, rows: Tensor, *, steps: int = 50, lr: float = 0.1, num_particles: int = 16
) -> tuple[Tensor, Tensor]:
    """Ascend the ELBO of each row from the guide's moments to a full-rank normal N(m, L Lᵀ).

    For z = m + L ε, ε ~ N(0, I), and g = Lᵀ ∂log w/∂z = Lᵀ ∂log p(x, z)/∂z + ε, with w = p(x, z) /
    N(z | m, L Lᵀ):

    m ← m + ρ L E[g]   and   L ← L (I + ρ T),  T the lower triangle of E[g εᵀ] with half its
    diagonal

    are natural gradient steps, of ρ = lr or less: one that would change the normal by more than
    about half a nat is shortened. Where the posterior is that normal, all g are zero. The
    expectations are means over draws with fixed noise, so the fit is a function of the row alone.
    It finds one mode of a posterior that has several.

    References:
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators (Roeder, Wu, Duvenaud,
        2017), for g.

    Arguments:
        vae: the model, in evaluation mode.
        rows: (n, *data_shape), on the model's device and in its type.
        steps: gradient steps.
        lr: their length; 1 is Newton's step.
        num_particles: draws in each step, even: they are antithetic pairs.

    Returns:
        m, (n, latent_dim), and L, (n, latent_dim, latent_dim), lower triangular with a positive
        diagonal.

    Raises:
        ValueError: a guide without a mean and a standard deviation.

    Example:
        >>> loc, scale_tril = fit_normal(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4))
        >>> loc.shape, scale_tril.shape
        (torch.Size([3, 2]), torch.Size([3, 2, 2]))
    """
    with torch.no_grad():
        prior = vae.prior()
        rates = [lr] * steps
        start = moments(posterior_of(vae, rows))
        ascent = ascend(
            lambda z: slope_of_log_joint(vae, prior, rows, z), *start, rates, num_particles
        )
        return ascent.loc, ascent.scale_tril


class Ascent(NamedTuple):
    """Where steps from a normal lead: N(m, L Lᵀ), and the length |E[g]| of the last step's
    direction, (rows,).

    Where the ELBO is the largest that length is zero, and elsewhere about the way to go, in
    standard deviations.
    """

    loc: Tensor
    scale_tril: Tensor
    to_go: Tensor


def ascend(
    slope: Callable[[Tensor], Tensor],
    loc: Tensor,
    tril: Tensor,
    rates: Iterable[float],
    num_particles: int,
) -> Ascent:
    """The steps of `fit_normal` from any normals N(m, L Lᵀ), one for each of `rates`.

    Arguments:
        slope: from z (num_particles, rows, latent_dim) to ∂ log p(x, z) / ∂z.
        loc, tril: m and L to start from.
        rates: ρ of each step.
        num_particles: draws in each step, even.

    Returns:
        The `Ascent`; rows whose steps don't end in finite numbers stay where they started.
    """
    start, to_go = (loc, tril), loc.new_zeros(len(loc))
    for step, rate in enumerate(rates):
        noise = noise_points(num_particles, loc.shape[-1], step).to(loc).unsqueeze(1)
        g = _times(tril.mT, slope(loc + _times(tril, noise))) + noise
        shift = g.mean(0)
        twist = torch.einsum("kni,knj->nij", g, noise.expand_as(g)).tril() / num_particles
        twist.diagonal(dim1=-2, dim2=-1).mul_(0.5)
        change = rate**2 * (shift.square().sum(-1) + 2 * twist.square().sum((-2, -1)))
        shortened = rate * change.clamp_min(1.0).rsqrt()
        loc = loc + shortened[:, None] * _times(tril, shift)
        tril = tril @ _unit_plus(shortened[:, None, None] * twist)
        to_go = shift.norm(dim=-1)
    finite = loc.isfinite().all(-1) & tril.isfinite().flatten(1).all(-1)
    loc = torch.where(finite[:, None], loc, start[0])
    tril = torch.where(finite[:, None, None], tril, start[1])
    return Ascent(loc, tril, torch.where(finite, to_go, torch.inf))


def moments(q: Distribution) -> tuple[Tensor, Tensor]:
    """The mean of a guide and a Cholesky factor of its covariance, without correlations where it
    doesn't tell them.

    Raises:
        ValueError: it has no finite mean and standard deviation, or z is bounded.
    """
    try:
        mean, tril, support = q.mean, _scale_tril(q), q.support
        far = mean.new_tensor([-1e6, 1e6]).reshape(2, *(1,) * mean.ndim).expand(2, *mean.shape)
        fits = bool(
            mean.isfinite().all()
            and tril.isfinite().all()
            and support is not None
            and support.check(far).all()
        )
    except NotImplementedError:
        fits = False
    if not fits:
        raise ValueError(
            "proposal: expected a guide over all real vectors with finite mean and standard "
            "deviation, "
            f"got {type(q).__name__}; take proposal 'guide' or 'defensive', or your own function "
            "of (vae, rows)"
        )
    return mean, tril


def _scale_tril(q: Distribution) -> Tensor:
    if isinstance(q, MultivariateNormal | LowRankMultivariateNormal):
        return q.scale_tril
    return torch.diag_embed(q.stddev)


def slope_of_log_joint(vae: VAE, prior: Distribution, rows: Tensor, z: Tensor) -> Tensor:
    """∂ log p(x, z) / ∂z; 0 where it is not finite."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        log_joint = prior.log_prob(z) + vae.likelihood(z).log_prob(rows)
        (slope,) = torch.autograd.grad(log_joint.sum(), z)
    return slope.nan_to_num(0.0, 0.0, 0.0)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """A v for the matrix A (rows, n, n) of each row and vectors v (..., rows, n)."""
    if vector.ndim == 2:
        return (matrix @ vector.unsqueeze(-1)).squeeze(-1)
    return (matrix @ vector.expand(-1, len(matrix), -1).permute(1, 2, 0)).permute(2, 0, 1)


def _unit_plus(lower: Tensor) -> Tensor:
    """I + T for a lower triangular T, to first order, with a diagonal that stays positive."""
    return lower.tril(-1) + torch.diag_embed(lower.diagonal(dim1=-2, dim2=-1).exp())
