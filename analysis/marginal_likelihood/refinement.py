"""The best normal for each row, by natural gradient steps on the row's own ELBO."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    LowRankMultivariateNormal,
    MultivariateNormal,
)

from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.marginal_likelihood.triangular import lower_triangular, times
from pyro_vae.guides.pushforward import noise_points
from pyro_vae.vae import VAE


def fit_normal(
    vae: VAE,
    rows: Tensor,
    *,
    steps: int = 50,
    lr: float = 0.1,
    num_particles: int = 16,
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

        def slope(z: Tensor) -> Tensor:
            return slope_of_log_joint(vae, prior, rows, z)

        loc, scale_tril = moments(posterior_of(vae, rows))
        ascent = ascend(slope, loc, scale_tril, [lr] * steps, num_particles)
        return ascent.loc, ascent.scale_tril


class Ascent(NamedTuple):
    """Where gradient steps lead: the normals N(m, L Lᵀ), and how far they are from the optimum.

    Attributes:
        loc: m, (rows, latent_dim).
        scale_tril: L, (rows, latent_dim, latent_dim).
        distance: |E[g]| at the last step, (rows,): zero at the maximum of the ELBO, and elsewhere
            about the distance to it, in standard deviations.
    """

    loc: Tensor
    scale_tril: Tensor
    distance: Tensor


def ascend(
    slope: Callable[[Tensor], Tensor],
    loc: Tensor,
    scale_tril: Tensor,
    rates: Iterable[float],
    num_particles: int,
) -> Ascent:
    """The steps of `fit_normal` from any normals N(m, L Lᵀ), one for each of `rates`.

    Arguments:
        slope: from z (num_particles, rows, latent_dim) to ∂ log p(x, z) / ∂z.
        loc: m to start from, (rows, latent_dim).
        scale_tril: L to start from, (rows, latent_dim, latent_dim).
        rates: ρ of each step.
        num_particles: draws in each step, even.

    Returns:
        The `Ascent`; rows whose steps don't end in finite numbers stay where they started.
    """
    m = loc
    tril = scale_tril
    distance = loc.new_zeros(len(loc))
    for step, rate in enumerate(rates):
        points = noise_points(num_particles, loc.shape[-1], step).to(loc)
        noise = points.unsqueeze(1).expand(-1, len(loc), -1)
        g = times(tril.mT, slope(m + times(tril, noise))) + noise
        mean_g = g.mean(0)
        # T: the lower triangle of E[g εᵀ] with half its diagonal
        twist = torch.einsum("kni,knj->nij", g, noise).tril() / num_particles
        twist.diagonal(dim1=-2, dim2=-1).mul_(0.5)
        # about twice the nats by which a full step would change the normal
        of_loc = mean_g.square().sum(-1)
        of_scale = 2 * twist.square().sum((-2, -1))
        length = (rate**2 * (of_loc + of_scale)).clamp_min(1.0)
        rho = rate * length.rsqrt()
        direction = times(tril, mean_g.unsqueeze(0)).squeeze(0)
        m = m + rho[:, None] * direction
        tril = tril @ lower_triangular(rho[:, None, None] * twist)
        distance = mean_g.norm(dim=-1)
    finite_m = m.isfinite().all(-1)
    finite_tril = tril.isfinite().flatten(1).all(-1)
    finite = finite_m & finite_tril
    return Ascent(
        torch.where(finite[:, None], m, loc),
        torch.where(finite[:, None, None], tril, scale_tril),
        torch.where(finite, distance, torch.inf),
    )


def moments(q: Distribution) -> tuple[Tensor, Tensor]:
    """The mean of a guide and a Cholesky factor of its covariance.

    The factor is diagonal where the guide does not give correlations.

    Raises:
        ValueError: it has no finite mean and standard deviation, or z is bounded.
    """
    try:
        mean = q.mean
        tril = _scale_tril(q)
        is_finite = bool(mean.isfinite().all() and tril.isfinite().all())
        fits = is_finite and _is_unbounded(q, mean)
    except NotImplementedError:
        fits = False
    if not fits:
        raise ValueError(
            "proposal: expected a guide over all real vectors with finite mean and standard "
            f"deviation, got {type(q).__name__}; take proposal 'guide' or 'defensive', or your own "
            "function of (vae, rows)"
        )
    return mean, tril


def _scale_tril(q: Distribution) -> Tensor:
    if isinstance(q, MultivariateNormal | LowRankMultivariateNormal):
        return q.scale_tril
    return torch.diag_embed(q.stddev)


def _is_unbounded(q: Distribution, mean: Tensor) -> bool:
    """Whether the support reaches far to both sides in every dimension."""
    if q.support is None:
        return False
    both_sides = mean.new_tensor([-1e6, 1e6]).reshape(2, *(1,) * mean.ndim)
    return bool(q.support.check(both_sides.expand(2, *mean.shape)).all())


def slope_of_log_joint(
    vae: VAE,
    prior: Distribution,
    rows: Tensor,
    z: Tensor,
) -> Tensor:
    """∂ log p(x, z) / ∂z, (draws, rows, latent_dim); 0 where it is not finite."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        # the gradient of the sum is that of each draw: no density depends on another draw
        log_p = log_joint(vae, rows, z, prior)
        (slope,) = torch.autograd.grad(log_p.sum(), z)
    return slope.nan_to_num(0.0, 0.0, 0.0)
