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
    traces,
)

Gradient = Literal["plain", "stl", "dreg"]


def _terms(
    model: Trace, log_q: Mapping[str, Tensor], particles: int, rows: int
) -> tuple[Tensor, Tensor]:
    """log q - log p(z) and -log p(x | z) of each draw and row, (particles, rows); their sum is
    minus the log weight.
    """
    rates = {name: density - log_prob(model.nodes[name]) for name, density in log_q.items()}
    distortions = {name: -log_prob(model.nodes[name]) for name in observed_sites(model)}
    return each_row(rates, particles, rows), each_row(distortions, particles, rows)


def _scale_gradient(weights: Tensor) -> Callable[[Tensor], Tensor]:
    """A hook that multiplies the gradient of the draws, in its own type, by the weight of each draw
    and row.
    """

    def scaled(gradient: Tensor) -> Tensor:
        each = weights.reshape(*weights.shape, *(1,) * (gradient.ndim - weights.ndim))
        return gradient * each.to(gradient.dtype)

    return scaled


@OBJECTIVES.register("renyi")
@dataclass(frozen=True, kw_only=True)
class Renyi:
    """Rényi's bound, which goes from log p(x) estimated with K draws (α = 0) to the ELBO (α → 1).

    L_α(x) = 1/(1 - α) · log (1/K) Σₖ wₖ^(1 - α) with wₖ = p(x, zₖ) / q(zₖ | x); for α = 0 the bound
    of the IWAE.

    Weights are those of a row: rows have nothing to do with each other. gradient="stl" leaves out
    the score of q, which biases this bound; "dreg" (α = 0 only) replaces it by the doubly
    reparameterised term: no bias, less noise.

    References:
        Rényi Divergence Variational Inference (Li, Turner, 2016).
        Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker, Lawson, Gu,
        Maddison, 2019).

    Arguments:
        alpha: α, at least 0 and not 1.
        num_particles: K, draws of z for each row.
        gradient: "plain", "stl" or "dreg".

    Raises:
        ValueError: α = 1 (that is the ELBO), "dreg" with α above 0, a weight β of the rate.

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

    def __call__(self, model: Program, guide: Program, x: Tensor, beta: float = 1.0) -> Terms:
        if beta != 1:
            raise ValueError(
                f"beta: importance weights have no β, got {beta:g}; train without "
                "KL warm-up and with beta = 1, or take objective 'elbo'"
            )
        p, q = traces(model, guide, x, self.num_particles)
        names = latent_sites(p, q)
        require_rsample(q, names)
        require_density(q, names, "an importance weight")
        if self.gradient != "plain":
            require_one_site(names, f"gradient {self.gradient!r}")
        density = log_prob if self.gradient == "plain" else log_prob_without_score
        log_q = {name: density(q.nodes[name]) for name in names}
        rate, distortion = _terms(p, log_q, self.num_particles, len(x))
        log_weights = -(rate + distortion)
        kl = dict.fromkeys(names, "monte_carlo")
        if self.gradient == "dreg":
            normalised = log_weights.softmax(0).detach()
            for name in names:
                z: Any = q.nodes[name]["value"]
                if z.requires_grad:
                    z.register_hook(
                        _scale_gradient(
                            normalised.squeeze(0) if self.num_particles == 1 else normalised
                        )
                    )
        return Terms(rate.mean(0), distortion.mean(0), kl, -self._bound(log_weights))

    def _bound(self, log_weights: Tensor) -> Tensor:
        power = 1 - self.alpha
        return (torch.logsumexp(power * log_weights, 0) - math.log(self.num_particles)) / power


@OBJECTIVES.register("iwae")
def IWAE(*, num_particles: PositiveInt = 5, gradient: Gradient = "dreg") -> Renyi:
    """The importance weighted bound: E log (1/K) Σₖ p(x, zₖ) / q(zₖ | x), between the ELBO (K = 1)
    and log p(x).

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
