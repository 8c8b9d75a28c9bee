"""What the encoder gives for each row, and the guide's draws resampled by their weights."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.bridge.arviz_objects import Array
from pyro_vae.analysis.fitted import as_numpy, label_of
from pyro_vae.analysis.marginal_likelihood.measure import measure_of
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.objectives import analytic_kl
from pyro_vae.rng import row_hash
from pyro_vae.vae import VAE

BY_ROW = ("elbo", "log_marginal", "se", "pareto_k", "ess")
"""The numbers of `Evidence` that the group holds."""


def importance(log_weight: Tensor, dtype: torch.dtype) -> dict[str, Array]:
    """The ELBO, log p(x), its standard error, k-hat and ESS of each row.

    Arguments:
        log_weight: log p(x, z) - log q(z | x), (draws, rows).
        dtype: that the densities were computed in.
    """
    draws, rows = log_weight.shape
    weights = Weights.empty(rows, draws, dtype)
    weights.add(log_weight)
    columns = weights.columns()
    return {name: columns[name] for name in BY_ROW}


def numbers_of(found: Evidence, vae: VAE, x: Tensor) -> dict[str, Array]:
    """The same numbers out of evidence of the same rows.

    Raises:
        ValueError: evidence of other rows, or of some columns only; a model with a label.
    """
    if label_of(vae) is not None:
        raise ValueError(
            "evidence: expected None for a model with a label, whose draws are given it, got "
            f"Evidence of {found.measure}; leave it out"
        )
    measure = measure_of(vae)
    if found.measure != measure:
        raise ValueError(
            f"evidence: expected log p of the whole rows, {measure}, got {found.measure}; pass "
            "evidence(vae, x) without columns= and given="
        )
    hashes = [row_hash(row) for row in x.split(1)]
    if len(found.row_hashes) != len(hashes) or (found.row_hashes != hashes).any():
        raise ValueError(
            f"evidence: expected numbers of the same {len(hashes)} rows in the same order, got "
            f"those of {len(found.row_hashes)} rows; pass evidence(vae, x) of the same x"
        )
    return {name: getattr(found, name) for name in BY_ROW}


def encoded(q: Distribution, p: Distribution, log_ratio: Tensor) -> dict[str, Array]:
    """Mean and scale of q(z | x), (rows, latent), and its KL from the prior, (rows,).

    Arguments:
        q: of all rows.
        p: the prior.
        log_ratio: log q(z | x) - log p(z) of draws, (draws, rows): its mean is the rate where there
            is no closed form.
    """
    kl = analytic_kl(q, p.expand(q.batch_shape))
    found = {"rate": as_numpy(log_ratio.mean(0) if kl is None else kl)}
    for name, attribute in (("loc", "mean"), ("scale", "stddev")):
        value = _moment(q, attribute)
        if value is not None:
            found[name] = as_numpy(value)
    scale_tril = getattr(q, "scale_tril", None)
    if scale_tril is not None:
        found["scale_tril"] = as_numpy(scale_tril)
    return found


def _moment(q: Distribution, attribute: str) -> Tensor | None:
    """A moment; None where a distribution doesn't know it."""
    try:
        found: Tensor = getattr(q, attribute)
    except NotImplementedError:
        return None
    return found


def resampled(z: Tensor, log_weight: Tensor) -> Tensor:
    """Draws of q(z | x) with the shares of their weights: draws of p(z | x) where k-hat is low.

    The number of copies of a draw is its share of S, rounded down or up (systematic resampling), so
    draws of equal weight are kept once each. Their order is random. A row whose weights are all
    zero or not known is nan.

    References:
        Improved Particle Filter for Nonlinear Problems (Carpenter, Clifford, Fearnhead, 1999); Yes,
        but Did It Work?: Evaluating Variational Inference (Yao, Vehtari, Simpson, Gelman, 2018)

    Arguments:
        z: (S, rows, latent).
        log_weight: log p(x, z) - log q(z | x), (S, rows).

    Example:
        >>> z = torch.arange(4.0)[:, None, None]
        >>> log_weight = torch.tensor([[3.0], [1.0], [0.0], [0.0]]).log()
        >>> resampled(z, log_weight).flatten().sort().values
        tensor([0., 0., 0., 1.])
    """
    draws, rows = log_weight.shape
    share = log_weight.double().softmax(0).T.contiguous()
    bounds = share.cumsum(1)
    offset = torch.rand(rows, 1, dtype=share.dtype, device=z.device)
    points = (torch.arange(draws, device=z.device) + offset) / draws * bounds[:, -1:]
    index = torch.searchsorted(bounds, points, right=True).clamp_max(draws - 1)
    order = torch.rand(rows, draws, device=z.device).argsort(1)
    chosen = index.gather(1, order).T
    found = z.gather(0, chosen[..., None].expand_as(z))
    is_known = share.isfinite().all(1)
    return torch.where(is_known[:, None], found, torch.nan)
