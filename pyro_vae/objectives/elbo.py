"""The evidence lower bound."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from pyro.distributions.util import scale_and_mask
from torch import Tensor
from torch.distributions import Independent

from pyro_vae.distributed.collectives import batch_mean
from pyro_vae.objectives.base import (
    OBJECTIVES,
    Program,
    Site,
    Terms,
    analytic_kl,
    each_row,
    latent_sites,
    log_prob,
    log_prob_without_score,
    observed_sites,
    require_density,
    require_one_site,
    require_rsample,
    set_particles,
    shared_rate,
    traces,
    type_name,
)

KL = Literal["auto", "analytic", "monte_carlo"]


@OBJECTIVES.register("elbo")
@dataclass(frozen=True, kw_only=True)
class ELBO:
    """The evidence lower bound of a Pyro model and guide, written as its two terms.

    ELBO(x) = E_q[log p(x | z)] - KL(q(z | x) ‖ p(z)) ≤ log p(x). The loss is distortion + β · rate,
    -ELBO for β = 1.

    With kl="monte_carlo" it is the estimator of Pyro's `Trace_ELBO`, with kl="analytic" that of
    `TraceMeanField_ELBO` (which would sample, silently, where no closed form is registered: this
    one raises). "auto" takes the closed form where there is one, site by site; `Terms.kl` says what
    was done. gradient="stl" leaves out the score of q, which has mean zero: the gradient then has
    no noise where q is the posterior; its KL is Monte Carlo. free_bits=λ replaces the mean rate of
    each latent dimension by λ where it is smaller, so that a rate below λ lowers no loss.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014).
        Sticking the Landing: Simple, Lower-Variance Gradient Estimators (Roeder, Wu, Duvenaud,
        2017).
        Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016), for
        free bits.

    Arguments:
        kl: how KL(q ‖ p) is computed.
        num_particles: draws of z for each row.
        gradient: "plain" or "stl".
        free_bits: λ, in nats for each latent dimension.

    Raises:
        ValueError: no closed form where one is asked for; a latent variable that can't be
            reparameterised, or that only one of model and guide has; a site with more or fewer log
            densities than rows; options that exclude another.

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> ELBO()(vae.model, vae.guide, torch.zeros(3, 4)).kl
        {'z': 'analytic'}
    """

    kl: KL = "auto"
    num_particles: PositiveInt = 1
    gradient: Literal["plain", "stl"] = "plain"
    free_bits: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        set_particles(self)
        if self.gradient == "stl" and (self.kl == "analytic" or self.free_bits):
            raise ValueError(
                "gradient 'stl' needs log q at the draws: take kl='monte_carlo' or 'auto', and no "
                "free_bits"
            )

    def __call__(
        self,
        model: Program,
        guide: Program,
        x: Tensor,
        beta: float = 1.0,
    ) -> Terms:
        p, q = traces(model, guide, x, self.num_particles)
        names = latent_sites(p, q)
        require_rsample(q, names)
        if self.gradient == "stl":
            require_density(q, names, "gradient 'stl'")
            require_one_site(names, "gradient 'stl'")
        distortions = {name: -log_prob(p.nodes[name]) for name in observed_sites(p)}
        rates: dict[str, Tensor] = {}
        kl: dict[str, str] = {}
        for name in names:
            rates[name], kl[name] = self._rate(name, q.nodes[name], p.nodes[name])
        shared, of_shared = shared_rate(p, q)
        rate = self._mean(rates, len(x)) + shared
        distortion = self._mean(distortions, len(x))
        # the reported rate is the plain one; only the loss has free bits
        penalty = rate
        if self.free_bits:
            for name in names:
                penalty = penalty + self._free(name, q.nodes[name], p.nodes[name])
        return Terms(rate, distortion, kl | of_shared, distortion + beta * penalty)

    def _mean(self, terms: Mapping[str, Tensor], rows: int) -> Tensor:
        """The mean over draws, one number for each row."""
        each = each_row(terms, self.num_particles, rows)
        return each.squeeze(0) if self.num_particles == 1 else each.mean(0)

    def _rate(self, name: str, q: Site, p: Site) -> tuple[Tensor, str]:
        """KL(q ‖ p) at a site, and how it was computed."""
        if self.gradient == "stl":
            return log_prob_without_score(q) - log_prob(p), "monte_carlo"
        if self.kl != "monte_carlo":
            closed_form = analytic_kl(q["fn"], p["fn"])
            if closed_form is not None:
                return scale_and_mask(closed_form, q["scale"], q["mask"]), "analytic"
        if self.kl == "analytic":
            pair = f"{type_name(q['fn'])} against {type_name(p['fn'])}"
            raise ValueError(
                f"site {name!r}: no closed-form KL is registered for {pair}; "
                "take kl='auto' or 'monte_carlo', or register one with "
                "torch.distributions.register_kl"
            )
        return log_prob(q) - log_prob(p), "monte_carlo"

    def _free(self, name: str, q: Site, p: Site) -> Tensor:
        """What λ adds to the mean rate: Σᵢ max(0, λ - mean KL of dimension i)."""
        q_fn = _independent(name, q["fn"])
        p_fn = _independent(name, p["fn"])
        each_dimension = analytic_kl(q_fn.base_dist, p_fn.base_dist)
        if each_dimension is None:
            raise ValueError(
                f"site {name!r}: free_bits needs a closed-form KL, and none is registered for "
                f"{type_name(q_fn)} against {type_name(p_fn)}; take another prior, or no free_bits"
            )
        mean = batch_mean(each_dimension.flatten(0, -2).mean(0))
        return torch.relu(self.free_bits - mean).sum()


def _independent(name: str, fn: Any) -> "Independent[Any]":
    if not isinstance(fn, Independent):
        raise ValueError(
            f"site {name!r}: free_bits counts the KL of each latent dimension, and {type_name(fn)} "
            "has none for each; take guide 'mean_field' with a prior of independent dimensions"
        )
    return fn
