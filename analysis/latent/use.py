"""How much of the latent space is used: active units, rates and mutual information."""

import math
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
)

from pyro_vae.analysis.fitted import as_numpy, evaluation, has_density, posterior_of
from pyro_vae.analysis.latent.codes import rate
from pyro_vae.analysis.latent.results import LatentUse
from pyro_vae.arguments import public
from pyro_vae.given import of_rows, with_context
from pyro_vae.inputs import placement_of, rows_of
from pyro_vae.objectives import analytic_kl
from pyro_vae.progress_bar import progress_bar
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE

PAIRS = 2**18
"""Pairs of a draw and a row whose density is computed at once."""
PRIOR_DRAWS = 20_000
"""Draws for the moments of a prior that has none in closed form."""
MARGINAL_DRAWS = 64
"""Draws for the rate of a dimension where there is no closed form."""
Bounds = tuple[np.ndarray, np.ndarray]


@public
def latent_use(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_particles: int = 4,
    threshold: float = 0.01,
    seed: int = 0,
    progress: bool | None = None,
) -> LatentUse:
    """Measure how much z says about x, and how far the aggregate posterior is from the prior.

    E KL(q(z | x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ p(z)),   I(x; z) = E log q(z | x) / q(z)

    The aggregate posterior q(z) is a mean over the rows. With the row itself in it the estimate of
    I is low on average and at most log n, since n rows can't be told apart further; without it,
    high. More rows bring the two bounds together; more draws don't. Their standard errors are over
    rows, as if q(z) were known. The cost is num_particles n² densities: of all draws under all
    rows. With a context whose prior is N(μ(c), diag σ(c)²) all numbers are those of
    u = (z - μ(c)) / σ(c) ~ N(0, I), and q(u) is a mean over rows with their contexts.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016), for active units.
        ELBO surgery: yet another way to carve up the variational evidence lower bound (Hoffman,
        Johnson, 2016). On Variational Bounds of Mutual Information (Poole, Ozair, van den Oord,
        Alemi, Tucker, 2019), for the bounds.

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape), at least 2.
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        num_particles: draws of z for each row.
        threshold: variance above which a unit is active.
        seed: of the draws.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        `LatentUse`; print it.

    Raises:
        ValueError: fewer than 2 rows, no draws, rows that don't fit the model, an autoencoder.

    Example:
        >>> latent_use(VAE(data_shape=(4,), latent_dim=2), torch.randn(30, 4)).variance.shape
        (2,)
    """
    if num_particles < 1:
        raise ValueError(f"num_particles: expected at least 1, got {num_particles}")
    _require_density(vae)
    rows = with_context(vae, x, context)
    rates = rate(vae, rows, num_particles=max(num_particles, 16), seed=seed)
    if len(rates) < 2:
        raise ValueError(
            "x: expected at least 2 rows, got 1; I(x; z) needs rows to tell apart"
        )
    with evaluation(vae):
        seen = of_rows(vae)
        guides = [posterior_of(seen, batch) for batch in rows_of(vae, rows, "x")]
        loc = as_numpy(torch.cat([q.mean for q in guides]))
        deviation = as_numpy(torch.cat([q.stddev for q in guides]))
        with own_seed(seed, placement_of(vae).device):
            draws = [q.sample(torch.Size([num_particles])) for q in guides]
            prior_mean, prior_scale = _moments(seen.prior())
            per_dim = torch.cat([_rate_per_dim(q, seen.prior()) for q in guides])
        lower, upper = _information(guides, draws, progress)
    # Var_q(z)[z_d] is the mean over rows of the second moments about the mean of q(z)
    second_moments = deviation**2 + (loc - loc.mean(0)) ** 2
    scale = np.sqrt(second_moments.mean(0))
    return LatentUse(
        variance=loc.var(0),
        threshold=threshold,
        rate=float(rates.mean()),
        rate_se=float(_standard_error(rates)),
        rate_per_dim=as_numpy(per_dim.mean(0)),
        information=float(lower.mean()),
        information_se=float(_standard_error(lower)),
        information_upper=float(upper.mean()),
        information_upper_se=float(_standard_error(upper)),
        marginal_kl_se=(
            float(_standard_error(rates - upper)),
            float(_standard_error(rates - lower)),
        ),
        num_rows=len(rates),
        mean=loc.mean(0),
        mean_se=_standard_error(loc),
        scale=scale,
        scale_se=_standard_error(second_moments) / (2 * scale),
        prior_mean=as_numpy(prior_mean),
        prior_scale=as_numpy(prior_scale),
    )


def _require_density(vae: VAE) -> None:
    if has_density(vae):
        return
    guide = vae.spec.guide.kind
    prior = vae.spec.prior.kind
    raise ValueError(
        f"latent_use: guide {guide!r} with prior {prior!r} is an autoencoder: a point has no rate "
        "and no finite I(x; z); encode(vae, x).active_units() counts its active units"
    )


def _information(
    guides: list[Distribution], draws: list[Tensor], progress: bool | None
) -> Bounds:
    """The mean over draws of log q(z | x) / q(z), with the row itself in q(z) and without it."""
    rows = sum(z.shape[1] for z in draws)
    lower: list[np.ndarray] = []
    upper: list[np.ndarray] = []
    first = 0
    with progress_bar(progress, total=rows, desc="I(x; z)", unit="row") as bar:
        for z in draws:
            together = max(1, PAIRS // (rows * len(z)))
            for some in z.split(together, 1):
                own = first + torch.arange(some.shape[1], device=z.device)
                low, high = _log_ratios(guides, some, own)
                lower.append(low)
                upper.append(high)
                first += len(own)
                bar.update(len(own))
    return np.concatenate(lower), np.concatenate(upper)


def _log_ratios(guides: list[Distribution], z: Tensor, own: Tensor) -> Bounds:
    """Both ratios for draws z (draws, some rows, latent_dim) from the rows with indices `own`."""
    each = z.unsqueeze(-2)
    parts = [q.log_prob(each.expand(*z.shape[:-1], *q.batch_shape, -1)) for q in guides]
    log_q = torch.cat(parts, -1).double()
    rows = log_q.shape[-1]
    index = own.expand(len(z), -1).unsqueeze(-1)
    # q(z) with the row itself bounds I(x; z) from below, q(z) without it from above
    log_q_own = log_q.gather(-1, index).squeeze(-1)
    log_mean = log_q.logsumexp(-1) - math.log(rows)
    others = log_q.scatter(-1, index, -torch.inf)
    log_mean_others = others.logsumexp(-1) - math.log(rows - 1)
    lower = (log_q_own - log_mean).mean(0)
    upper = (log_q_own - log_mean_others).mean(0)
    return as_numpy(lower), as_numpy(upper)


def _rate_per_dim(q: Distribution, p: Distribution) -> Tensor:
    """KL(q(z_d | x) ‖ p(z_d)) of each row and dimension; nan where there are no marginals."""
    q_d = _marginals(q)
    p_d = _marginals(p)
    if q_d is None or p_d is None:
        return torch.full((*q.batch_shape, *q.event_shape), torch.nan)
    closed_form = analytic_kl(q_d, p_d.expand(q_d.batch_shape))
    if closed_form is not None:
        return closed_form
    z = q_d.sample(torch.Size([MARGINAL_DRAWS]))
    return (q_d.log_prob(z) - p_d.log_prob(z)).mean(0)


def _marginals(p: Any) -> Distribution | None:
    """The marginals of the dimensions, each a batch element; None without a closed form."""
    if isinstance(p, Independent) and p.reinterpreted_batch_ndims == 1:
        base: Distribution = p.base_dist
        return base
    if isinstance(p, MultivariateNormal | LowRankMultivariateNormal):
        marginals: Distribution = dist.Normal(p.mean, p.stddev)
        return marginals
    return None


def _moments(p: Distribution) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, from draws where there is no closed form."""
    try:
        return p.mean, p.stddev
    except NotImplementedError:
        z = p.sample(torch.Size([PRIOR_DRAWS]))
        return z.mean(0), z.std(0)


def _standard_error(values: np.ndarray) -> Any:
    return values.std(0, ddof=1) / math.sqrt(len(values))
