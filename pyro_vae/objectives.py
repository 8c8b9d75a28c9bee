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
Site = Mapping[str, Any]
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
        ValueError: no closed form where one is asked for; a latent variable that can't be reparameterised, or that only
            one of model and guide has; a site with more or fewer log densities than rows.

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
        distortions = {name: -log_prob(p.nodes[name]) for name in sites(p) if p.nodes[name]["is_observed"]}
        rates = {name: self._rate(name, q.nodes[name], p.nodes[name]) for name in latent_sites(p, q)}
        rate = self._each_row({name: rate for name, (rate, _) in rates.items()}, len(x))
        return Terms(rate, self._each_row(distortions, len(x)), {name: how for name, (_, how) in rates.items()})

    def _rate(self, name: str, q: Site, p: Site) -> tuple[Tensor, str]:
        if not q["fn"].has_rsample:
            raise ValueError(
                f"site {name!r}: {_name(q['fn'])} can't be reparameterised, so its gradient would be lost; "
                "use a guide with rsample, or Pyro's SVI with Trace_ELBO"
            )
        closed_form = None if self.kl == "monte_carlo" else analytic_kl(q["fn"], p["fn"])
        if closed_form is not None:
            return scale_and_mask(closed_form, q["scale"], q["mask"]), "analytic"
        if self.kl == "analytic":
            raise ValueError(
                f"site {name!r}: no closed-form KL is registered for {_name(q['fn'])} against {_name(p['fn'])}; "
                "take kl='auto' or 'monte_carlo', or register one with torch.distributions.register_kl"
            )
        return log_prob(q) - log_prob(p), "monte_carlo"

    def _each_row(self, terms: Mapping[str, Tensor], rows: int) -> Tensor:
        """The terms of all sites together, one number a row: their mean over the particles."""
        expected = (self.num_particles, rows) if self.num_particles > 1 else (rows,)
        for name, term in terms.items():
            if term.shape != expected:
                raise ValueError(
                    f"site {name!r}: expected one log density a row, shape {expected}, got {tuple(term.shape)}; "
                    "put it in the plate over rows and declare its other dimensions with .to_event(k)"
                )
        total = sum(terms.values(), torch.zeros(())).expand(expected)
        return total.mean(0) if self.num_particles > 1 else total


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


def sites(trace: Trace) -> list[str]:
    """The names of the random variables; plates and deterministic values are sites of a trace too, and are left out."""
    return [
        name
        for name, site in trace.nodes.items()
        if site["type"] == "sample"
        and not poutine.util.site_is_subsample(site)
        and not (site["infer"] or {}).get("_deterministic")
    ]


def latent_sites(model: Trace, guide: Trace) -> list[str]:
    """The names of the latent variables.

    Raises:
        ValueError: the guide draws others than the model has.
    """
    expected = [name for name in sites(model) if not model.nodes[name]["is_observed"]]
    got = sites(guide)
    if set(expected) != set(got):
        raise ValueError(
            f"guide: expected the latent sites of the model, {expected}, got {got}; name them alike in both"
        )
    return got


def log_prob(site: Site) -> Tensor:
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
