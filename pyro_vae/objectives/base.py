"""What every objective is made of: two traces, their sites, and the terms of each row."""

from collections.abc import Callable, Mapping
from functools import reduce
from operator import add
from types import MethodType
from typing import Any, NamedTuple, Protocol

import pyro
import torch
from pyro import poutine
from pyro.distributions import Delta
from pyro.distributions.util import scale_and_mask
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Distribution, kl_divergence

from pyro_vae.arguments import as_int
from pyro_vae.effects import ROWS
from pyro_vae.model_and_guide import Guide, Model
from pyro_vae.registry import Registry

OBJECTIVES = Registry("objective")
Program = Callable[..., Any]
Site = Mapping[str, Any]


class Terms(NamedTuple):
    """What an objective computes for each row, in nats: the loss and the terms of the plain ELBO.

    ELBO = -(distortion + rate)

    Attributes:
        rate: KL(q(z | x) ‖ p(z)), in closed form or estimated from the draws.
        distortion: -E_q log p(x | z), estimated from the draws.
        kl: for each latent site whether its KL was "analytic" or "monte_carlo".
        loss: what is minimised; its mean over the rows has the objective's gradient.
    """

    rate: Tensor
    distortion: Tensor
    kl: Mapping[str, str]
    loss: Tensor

    @property
    def elbo(self) -> Tensor:
        """The plain ELBO, whatever is minimised."""
        return -(self.distortion + self.rate)


class Objective(Protocol):
    """What `fit` minimises: a callable that gives the terms of each row; `beta` weights the KL."""

    def __call__(
        self,
        model: Program,
        guide: Program,
        x: Tensor,
        beta: float = 1.0,
    ) -> Terms: ...


def traces(
    model: Program,
    guide: Program,
    x: Tensor,
    num_particles: int,
) -> tuple[Trace, Trace]:
    """The model's trace on the guide's draws, and the guide's trace.

    Several particles are a plate to the left of that over rows; what all rows share is drawn once
    for all particles too. Parameters stay in their modules: Pyro's global parameter store is
    neither read nor written.
    """
    model = _DrawnOnce()(_without_param_sites(model))
    guide = _DrawnOnce()(_without_param_sites(guide))
    with pyro.settings.context(module_local_params=True):
        if num_particles > 1:
            # of the dimensions from the right, -1 is the plate over rows
            particles = pyro.plate("particles", num_particles, dim=-2)
            model = particles(model)
            guide = particles(guide)
        q = poutine.trace(guide).get_trace(x)
        p = poutine.trace(poutine.replay(model, q)).get_trace(x)
    return p, q


def _without_param_sites(program: Program) -> Program:
    """A program of ours without a `pyro.param` site for each parameter, which nothing reads here.

    It is called as a module of torch, which calls its hooks, and not as a PyroModule.
    """
    if isinstance(program, Model | Guide):
        return MethodType(nn.Module.__call__, program)
    return program


class _DrawnOnce(Messenger):
    """Draws what all rows share before a plate of particles can make it several draws.

    The mean over particles of exp(log p(x, z | u) - log q(z | x, u)) is an estimate of p(x | u)
    for one u. With a u for each particle it would be one of ∫ p(x | u) q(u) du, of which the sum
    over rows, less KL(q(u) ‖ p(u)), is no bound of the evidence.
    """

    def _pyro_sample(self, msg: Any) -> None:
        if is_shared(msg) and not msg["done"]:
            msg["value"] = msg["fn"]()
            msg["done"] = True


def is_shared(site: Any) -> bool:
    """Whether a site is one that all rows share: a random effect."""
    return ROWS in (site["infer"] or {})


def shared_rate(model: Trace, guide: Trace) -> tuple[Tensor | float, dict[str, str]]:
    """KL(q(u) ‖ p(u)) of what all rows share, divided by the number of training rows.

    It is part of the rate of each row, so that over an epoch it counts once, in batches of any
    size. In closed form always.

    Returns:
        Nats for each row, and how the KL of each site was computed.
    """
    total: Tensor | float = 0.0
    names = [name for name in sites(guide) if is_shared(guide.nodes[name])]
    for name in names:
        p: Any = model.nodes[name]
        q: Any = guide.nodes[name]
        kl = kl_divergence(q["fn"], p["fn"])
        total = total + kl / q["infer"][ROWS]
    return total, dict.fromkeys(names, "analytic")


def each_row(
    terms: Mapping[str, Tensor],
    num_particles: int,
    rows: int,
) -> Tensor:
    """The sum of the terms of all sites, shaped (num_particles, rows).

    Raises:
        ValueError: a site has more or fewer log densities.
    """
    expected = (num_particles, rows) if num_particles > 1 else (rows,)
    for name, term in terms.items():
        if term.shape != expected:
            raise ValueError(
                f"site {name!r}: expected one log density a row, shape {expected}, got "
                f"{tuple(term.shape)}; put it in the plate over rows and declare its other "
                "dimensions with .to_event(k)"
            )
    # a program without a latent or an observed site has a sum of no terms
    total = reduce(add, terms.values()) if terms else torch.zeros(expected)
    if num_particles > 1:
        return total
    return total.unsqueeze(0)


def set_particles(objective: Any) -> None:
    """Check the number of draws of a frozen objective, and keep it as Python's integer."""
    count = as_int(objective.num_particles, "num_particles", at_least=1)
    object.__setattr__(objective, "num_particles", count)


def require_rsample(q: Trace, names: list[str]) -> None:
    """Raise ValueError where a draw has no gradient."""
    for name in names:
        fn: Any = q.nodes[name]["fn"]
        if not fn.has_rsample:
            raise ValueError(
                f"site {name!r}: {type_name(fn)} can't be reparameterised, so its gradient would "
                "be lost; use a guide with rsample, or Pyro's SVI with Trace_ELBO"
            )


def require_one_site(names: list[str], purpose: str) -> None:
    """Raise ValueError where there are several latent variables.

    The draw of one may be in the density of another.
    """
    if len(names) != 1:
        raise ValueError(
            f"guide: expected one latent site for {purpose}, got {names}; draw one vector, or take "
            "gradient 'plain'"
        )


def require_density(q: Trace, names: list[str], purpose: str) -> None:
    """Raise ValueError where the guide is a point."""
    for name in names:
        if isinstance(q.nodes[name]["fn"], Delta):
            raise ValueError(
                f"site {name!r}: {purpose} needs log q at the draws, and a point (guide 'delta') "
                "has no density; take objective 'elbo', or another guide"
            )


def observed_sites(model: Trace) -> list[str]:
    """The names of the observed variables."""
    return [name for name in sites(model) if model.nodes[name]["is_observed"]]


def sites(trace: Trace) -> list[str]:
    """The names of the random variables, without plates and deterministic values."""
    return [name for name, site in trace.nodes.items() if _is_random(site)]


def _is_random(site: Any) -> bool:
    if site["type"] != "sample" or poutine.util.site_is_subsample(site):
        return False
    infer = site["infer"] or {}
    return not infer.get("_deterministic")


def latent_sites(model: Trace, guide: Trace) -> list[str]:
    """The names of the latent variables of a row, without those that all rows share.

    Raises:
        ValueError: the guide draws others than the model has.
    """
    expected = [name for name in sites(model) if not model.nodes[name]["is_observed"]]
    got = sites(guide)
    if set(expected) != set(got):
        raise ValueError(
            f"guide: expected the latent sites of the model, {expected}, got {got}; name them "
            "alike in both"
        )
    return [name for name in got if not is_shared(guide.nodes[name])]


def log_prob(site: Site) -> Tensor:
    """The log density at a site, one number for each element of its batch."""
    density = site["fn"].log_prob(site["value"])
    scaled: Tensor = scale_and_mask(density, site["scale"], site["mask"])
    return scaled


def log_prob_without_score(site: Site) -> Tensor:
    """log q(z | x; φ) at a draw z(φ), with the gradient that reaches φ through the draw alone.

    log q(z; φ) - log q(z'; φ) + its value, for z' = z without a gradient: ∂/∂φ log q(z'; φ), the
    score, cancels. One call of the guide serves both, so what is random in it (dropout, noise on
    its inputs) is the same in both.
    """
    density = log_prob(site)
    # of the draw as a constant, with the parameters of q
    score = log_prob({**site, "value": site["value"].detach()})
    return density - (score - score.detach())


def analytic_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p) where torch knows its closed form, else None."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def type_name(fn: Distribution) -> str:
    """The type of a distribution, with that of its base."""
    name = type(fn).__name__
    base = getattr(fn, "base_dist", None)
    if base is None:
        return name
    return f"{name}({type(base).__name__})"
