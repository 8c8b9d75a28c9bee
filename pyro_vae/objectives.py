"""Objectives: (model, guide, x) -> a loss in nats per row, which goes down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import pyro
import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

Program = Callable[..., Any]
KL = Literal["auto", "analytic", "monte_carlo"]


class Terms(NamedTuple):
    """The two terms of the ELBO, one number a row, in nats: elbo = -(distortion + rate).

    Attributes:
        rate: KL(q(z | x) ‖ p(z)), in closed form or estimated from the draws.
        distortion: -E_q log p(x | z), estimated from the draws.
        kl: for each latent site whether its KL was "analytic" or "monte_carlo".
    """

    rate: Tensor
    distortion: Tensor
    kl: Mapping[str, str]

    @property
    def elbo(self) -> Tensor:
        return -(self.distortion + self.rate)


class Objective(Protocol):
    """What `fit` minimises: any callable that gives the terms of each row."""

    def __call__(self, model: Program, guide: Program, x: Tensor) -> Terms: ...


@dataclass(frozen=True)
class ELBO:
    """The evidence lower bound of a Pyro model and guide, written as its two terms.

    ELBO(x) = E_q[log p(x | z)] - KL(q(z | x) ‖ p(z)) ≤ log p(x), and the loss is -ELBO = distortion + rate.

    With kl="monte_carlo" it is the estimator of Pyro's `Trace_ELBO`, with kl="analytic" that of `TraceMeanField_ELBO`
    (which would sample, silently, where no closed form is registered: this one raises). "auto" takes the closed form
    where there is one, site by site; `Terms.kl` says what was done.

    References:
        Auto-Encoding Variational Bayes (Kingma, Welling, 2014).

    Arguments:
        kl: how KL(q ‖ p) is computed.
        num_particles: draws of z for each row.

    Raises:
        ValueError: no closed form where one is asked for; a latent variable that can't be reparameterised.

    Example:
        >>> from pyro_vae import VAE
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> ELBO()(vae.model, vae.guide, torch.zeros(3, 4)).kl
        {'z': 'analytic'}
    """

    kl: KL = "auto"
    num_particles: int = 1

    def __post_init__(self) -> None:
        if self.num_particles < 1:
            raise ValueError(f"num_particles: expected at least 1, got {self.num_particles}")

    def __call__(self, model: Program, guide: Program, x: Tensor) -> Terms:
        p, q = traces(model, guide, x, self.num_particles)
        observed = [site for site in p.nodes.values() if site["type"] == "sample" and site["is_observed"]]
        distortion = -sum((log_prob(site) for site in observed), torch.zeros(()))
        rates = {name: self._rate(name, q.nodes[name], p.nodes[name]) for name in latent_sites(q)}
        rate = sum((rate for rate, _ in rates.values()), torch.zeros(()))
        return Terms(
            self._each_row(rate, len(x)), self._each_row(distortion, len(x)), {name: how for name, (_, how) in rates.items()}
        )

    def _rate(self, name: str, q: dict[str, Any], p: dict[str, Any]) -> tuple[Tensor, str]:
        closed_form = None if self.kl == "monte_carlo" else analytic_kl(q["fn"], p["fn"])
        if closed_form is not None:
            return scale_and_mask(closed_form, q["scale"], q["mask"]), "analytic"
        if self.kl == "analytic":
            raise ValueError(
                f"site {name!r}: no closed-form KL is registered for {_name(q['fn'])} against {_name(p['fn'])}; "
                "take kl='auto' or 'monte_carlo', or register one with torch.distributions.register_kl"
            )
        if not q["fn"].has_rsample:
            raise ValueError(
                f"site {name!r}: {_name(q['fn'])} can't be reparameterised, so its gradient would be lost; "
                "use a guide with rsample, or Pyro's SVI with Trace_ELBO"
            )
        return log_prob(q) - log_prob(p), "monte_carlo"

    def _each_row(self, term: Tensor, rows: int) -> Tensor:
        return term.mean(0) if term.ndim == 2 else term.expand(rows)


def traces(model: Program, guide: Program, x: Tensor, num_particles: int) -> tuple[Trace, Trace]:
    """The guide's trace, and the model's replayed on its draws; several particles are a plate on the left.

    Parameters stay in their modules: Pyro's global parameter store is neither read nor written.
    """
    with pyro.settings.context(module_local_params=True):
        if num_particles > 1:
            particles = pyro.plate("particles", num_particles, dim=-2)
            model, guide = particles(model), particles(guide)
        q = poutine.trace(guide).get_trace(x)
        p = poutine.trace(poutine.replay(model, q)).get_trace(x)
    return p, q


def latent_sites(q: Trace) -> list[str]:
    """The names of a guide's random variables (plates are sites too, and are left out)."""
    return [
        name for name, site in q.nodes.items() if site["type"] == "sample" and not poutine.util.site_is_subsample(site)
    ]


def log_prob(site: dict[str, Any]) -> Tensor:
    """The log density at a site, one number for each element of its batch."""
    density: Tensor = scale_and_mask(site["fn"].log_prob(site["value"]), site["scale"], site["mask"])
    return density


def analytic_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) where torch knows its closed form, else None."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def _name(fn: Distribution) -> str:
    base = getattr(fn, "base_dist", None)
    return f"{type(fn).__name__}({type(base).__name__})" if base is not None else type(fn).__name__
