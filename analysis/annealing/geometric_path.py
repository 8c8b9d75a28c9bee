"""The densities between a simple one, q₀(z), and p(x, z), with their slopes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.annealing.hmc import Kick, move
from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE


class Density(Protocol):
    """Anything that has a log density at z (chains, rows, latent_dim)."""

    def log_prob(self, value: Tensor, /) -> Tensor: ...


class Between(NamedTuple):
    """Chains between both ends: log f(z) = log q₀(z) + b U(z) for U(z) = log p(x, z) - log q₀(z).

    Attributes:
        z: positions, (chains, rows, latent_dim).
        log_start, gain: log q₀(z) and U(z), (chains, rows); U is -inf outside the support of the
            prior.
        log_start_slope, gain_slope: what they change by along z, (chains, rows, latent_dim).
        b: of each row, (rows,).
    """

    z: Tensor
    log_start: Tensor
    gain: Tensor
    log_start_slope: Tensor
    gain_slope: Tensor
    b: Tensor

    @property
    def log_density(self) -> Tensor:
        return self.log_start + self.b * self.gain

    @property
    def slope(self) -> Tensor:
        return self.log_start_slope + self.b.unsqueeze(-1) * self.gain_slope

    def where(self, moved: Tensor, end: "Between") -> "Between":
        """`end` for the chains that moved."""
        each = moved.unsqueeze(-1)
        return Between(
            torch.where(each, end.z, self.z),
            torch.where(moved, end.log_start, self.log_start),
            torch.where(moved, end.gain, self.gain),
            torch.where(each, end.log_start_slope, self.log_start_slope),
            torch.where(each, end.gain_slope, self.gain_slope),
            self.b,
        )


@dataclass(frozen=True)
class Path:
    """The densities between q₀(z) and p(x, z) for some rows: log f(z) = (1 - b) log q₀(z) + b log
    p(x, z).

    Attributes:
        x: the rows, (n, *data_shape).
        prior: p(z).
        likelihood: from z to p(x | z).
        start: q₀ for all rows, with batch shape () or (n,).
        starts: q₀ of each row by itself, for draws that do not depend on the rows beside it.
        spread: standard deviations at both ends, of q₀ and of q(z | x), which stands in for the
            posterior.
        drawn: from a seed for each row and a number of chains to draws of q₀, where `starts` is
            empty.
    """

    x: Tensor
    prior: Distribution
    likelihood: Any
    start: Density
    starts: list[Distribution]
    spread: tuple[Tensor, Tensor]
    drawn: Callable[[list[int], int], Tensor] | None = None

    @classmethod
    def of(cls, vae: VAE, x: Tensor, start: Literal["prior", "guide"]) -> "Path":
        """The path for rows x."""
        prior, q = vae.prior(), posterior_of(vae, x)
        if start == "guide":
            starts = [posterior_of(vae, row) for row in x.split(1)]
            return cls(x, prior, vae.likelihood, q, starts, (q.stddev, q.stddev))
        return cls(
            x,
            prior,
            vae.likelihood,
            prior,
            [prior] * len(x),
            (robust_scale(prior, x.device), q.stddev),
        )

    def ends(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log q₀(z) and U(z), each (chains, rows)."""
        log_start, gain = self.start.log_prob(z), self.likelihood(z).log_prob(self.x)
        if self.start is not self.prior:
            gain = gain + self.prior.log_prob(z) - log_start
        support: Any = self.prior.support
        return log_start, torch.where(support.check(z), gain, -torch.inf)

    def at(self, z: Tensor, b: Tensor) -> Between:
        """The place of chains at z."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            log_start, gain = self.ends(z)
            slopes = _slope(log_start, z), _slope(gain, z)
        return Between(z.detach(), log_start.detach(), gain.detach(), *slopes, b)

    def draw(self, seeds: list[int], chains: int) -> Tensor:
        """z ~ q₀, (chains, rows, latent_dim)."""
        if self.drawn is not None:
            return self.drawn(seeds, chains)
        drawn = []
        for q, seed in zip(self.starts, seeds, strict=True):
            with own_seed(seed, self.x.device):
                drawn.append(q.sample(torch.Size([chains])).reshape(chains, 1, -1))
        return torch.cat(drawn, 1)

    def move(
        self, here: Between, step: Tensor, kick: Kick, leapfrog_steps: int
    ) -> tuple[Between, Tensor]:
        """A move that leaves f as it is, and the acceptance of its proposals (chains, rows).

        The steps (chains, rows) are in standard deviations of f, were both ends normal.
        """
        first, last = self.spread
        b = here.b.unsqueeze(-1)
        scale = ((1 - b) / first.square() + b / last.square()).rsqrt()
        moved = move(
            lambda z: self.at(z, here.b), here, kick, step.unsqueeze(-1) * scale, leapfrog_steps
        )
        return here.where(moved.accepted, moved.end), moved.acceptance


def _slope(values: Tensor, z: Tensor) -> Tensor:
    """∂ values / ∂z; zero where they don't depend on z, as inside a uniform prior."""
    if not values.requires_grad:
        return torch.zeros_like(z)
    found = torch.autograd.grad(
        values.sum(), z, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return found[0]


def robust_scale(p: Distribution, device: torch.device) -> Tensor:
    """The standard deviation of a normal with p's quartiles: there is one where p has no variance,
    or no formula.
    """
    with own_seed(0, device):
        draws = p.sample(torch.Size([1000]))
    low, high = draws.quantile(torch.tensor([0.25, 0.75]).to(draws), 0)
    return (high - low) / 1.349
