"""Importance weighted bounds."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from pyro.poutine import Trace
from torch import Tensor

from pyro_vae.objectives.base import (
    OBJECTIVES,
    Program,
    Terms,
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
)

Gradient = Literal["plain", "stl", "dreg"]


def _terms(
    model: Trace,
    log_q: Mapping[str, Tensor],
    particles: int,
    rows: int,
) -> tuple[Tensor, Tensor]:
    """log q - log p(z) and -log p(x | z), shaped (particles, rows): they sum to -log w."""
    rates = {
        name: density - log_prob(model.nodes[name]) for name, density in log_q.items()
    }
    distortions = {name: -log_prob(model.nodes[name]) for name in observed_sites(model)}
    return each_row(rates, particles, rows), each_row(distortions, particles, rows)


def _scale_gradient(weights: Tensor) -> Callable[[Tensor], Tensor]:
    """A hook that multiplies the gradient of draws by the weight of each draw and row."""

    def scaled(gradient: Tensor) -> Tensor:
        ones = (1,) * (gradient.ndim - weights.ndim)
        each = weights.reshape(*weights.shape, *ones)
        return gradient * each.to(gradient.dtype)

    return scaled


@OBJECTIVES.register("renyi")
@dataclass(frozen=True, kw_only=True)
class Renyi:
    """Rényi's bound, between log p(x) estimated with K draws (α = 0) and the ELBO (α → 1).

    L_α(x) = 1/(1 - α) · log (1/K) Σₖ wₖ^(1 - α) with wₖ = p(x, zₖ) / q(zₖ | x)

    For α = 0 it is the bound of the IWAE, and for α above 1 it is below the ELBO. Each row has its
    own weights. gradient="stl" leaves out the score of q, which biases this bound; "dreg" (α = 0
    only) replaces it by the doubly reparameterised term: no bias, less noise.

    References:
        Rényi Divergence Variational Inference (Li, Turner, 2016).
        Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker, Lawson, Gu,
        Maddison, 2019).

    Arguments:
        alpha: α, at least 0 and not 1.
        num_particles: K, draws of z for each row.
        gradient: "plain", "stl" or "dreg".

    Raises:
        ValueError: α = 1 (that is the ELBO), "dreg" with α above 0, beta other than 1.

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> terms = Renyi(alpha=0.5, num_particles=8)(vae.model, vae.guide, torch.zeros(3, 4))
        >>> bool((-terms.loss >= terms.elbo).all())
        True
    """

    alpha: Annotated[float, Field(ge=0)] = 0.5
    num_particles: PositiveInt = 5
    gradient: Gradient = "plain"

    def __post_init__(self) -> None:
        set_particles(self)
        if self.alpha < 0 or self.alpha == 1:
            raise ValueError(
                "alpha: expected at least 0 and not 1 (which is the ELBO: objective 'elbo'), got "
                f"{self.alpha}"
            )
        if self.gradient == "dreg" and self.alpha:
            raise ValueError(
                f"gradient 'dreg' holds for alpha = 0 (the IWAE), got alpha = {self.alpha}; take "
                "'plain'"
            )

    def __call__(
        self,
        model: Program,
        guide: Program,
        x: Tensor,
        beta: float = 1.0,
    ) -> Terms:
        if beta != 1:
            raise ValueError(
                f"beta: importance weights have no β, got {beta:g}; train without "
                "KL warm-up and with beta = 1, or take objective 'elbo'"
            )
        p, q = traces(model, guide, x, self.num_particles)
        names = latent_sites(p, q)
        require_rsample(q, names)
        require_density(q, names, "an importance weight")
        log_q = self._log_q(q, names)
        rate, distortion = _terms(p, log_q, self.num_particles, len(x))
        log_weights = -(rate + distortion)
        if self.gradient == "dreg":
            self._weight_gradients(q, names, log_weights)
        shared, of_shared = shared_rate(p, q)
        kl = dict.fromkeys(names, "monte_carlo") | of_shared
        loss = shared - self._bound(log_weights)
        return Terms(rate.mean(0) + shared, distortion.mean(0), kl, loss)

    def _log_q(self, q: Trace, names: list[str]) -> dict[str, Tensor]:
        """log q at the draws of each site."""
        if self.gradient == "plain":
            return {name: log_prob(q.nodes[name]) for name in names}
        require_one_site(names, f"gradient {self.gradient!r}")
        return {name: log_prob_without_score(q.nodes[name]) for name in names}

    def _weight_gradients(
        self,
        q: Trace,
        names: list[str],
        log_weights: Tensor,
    ) -> None:
        """Multiply the gradients of the draws by the normalised weights once more."""
        # E[w² ∂log w/∂z]: the gradient of the bound has one factor of w, the hook adds the other
        weights = log_weights.softmax(0).detach()
        if self.num_particles == 1:
            weights = weights.squeeze(0)
        for name in names:
            z: Any = q.nodes[name]["value"]
            if z.requires_grad:
                z.register_hook(_scale_gradient(weights))

    def _bound(self, log_weights: Tensor) -> Tensor:
        power = 1 - self.alpha
        return (
            torch.logsumexp(power * log_weights, 0) - math.log(self.num_particles)
        ) / power


@OBJECTIVES.register("iwae")
def IWAE(*, num_particles: PositiveInt = 5, gradient: Gradient = "dreg") -> Renyi:
    """The importance weighted bound E log (1/K) Σₖ p(x, zₖ) / q(zₖ | x), between ELBO and log p(x).

    With K = 1 it is the ELBO.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016).

    Arguments:
        num_particles: K, draws of z for each row.
        gradient: "plain", "stl" or "dreg".

    Example:
        >>> IWAE(num_particles=5).alpha
        0.0
    """
    return Renyi(alpha=0.0, num_particles=num_particles, gradient=gradient)
