"""The geometric path of densities between a simple one, q₀(z), and p(x, z), with their slopes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.annealing.hmc import HmcNoise, transition
from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE


class Density(Protocol):
    """Anything that has a log density at z (chains, rows, latent_dim)."""

    def log_prob(self, value: Tensor, /) -> Tensor: ...


class PathState(NamedTuple):
    """Chains under log f(z) = log q₀(z) + b U(z), where U(z) = log p(x, z) - log q₀(z).

    Attributes:
        z: positions, (chains, rows, latent_dim).
        log_start: log q₀(z), (chains, rows).
        gain: U(z), (chains, rows); -inf outside the support of the prior.
        log_start_slope: ∂ log q₀ / ∂z, (chains, rows, latent_dim).
        gain_slope: ∂U / ∂z, (chains, rows, latent_dim).
        b: the inverse temperature of each row, (rows,).
    """

    z: Tensor
    log_start: Tensor
    gain: Tensor
    log_start_slope: Tensor
    gain_slope: Tensor
    b: Tensor

    @property
    def log_density(self) -> Tensor:
        """log f(z), (chains, rows)."""
        return self.log_start + self.b * self.gain

    @property
    def slope(self) -> Tensor:
        """∂ log f / ∂z, (chains, rows, latent_dim)."""
        return self.log_start_slope + self.b.unsqueeze(-1) * self.gain_slope

    def where(self, moved: Tensor, end: "PathState") -> "PathState":
        """`end` for the chains that moved, (chains, rows), and this state for the others."""
        moved_z = moved.unsqueeze(-1)
        return PathState(
            torch.where(moved_z, end.z, self.z),
            torch.where(moved, end.log_start, self.log_start),
            torch.where(moved, end.gain, self.gain),
            torch.where(moved_z, end.log_start_slope, self.log_start_slope),
            torch.where(moved_z, end.gain_slope, self.gain_slope),
            self.b,
        )


@dataclass(frozen=True)
class GeometricPath:
    """The densities log f(z) = (1 - b) log q₀(z) + b log p(x, z) for some rows x.

    Attributes:
        x: the rows, (n, *data_shape).
        prior: p(z).
        likelihood: from z to p(x | z).
        start: q₀ for all rows, with batch shape () or (n,).
        starts: q₀ of each row by itself, for draws that do not depend on the other rows.
        spread: standard deviations at both ends, of q₀ and of q(z | x), which stands in for the
            posterior.
        sampler: from a seed for each row and a number of chains to draws of q₀, where `starts` is
            empty.
    """

    x: Tensor
    prior: Distribution
    likelihood: Any
    start: Density
    starts: list[Distribution]
    spread: tuple[Tensor, Tensor]
    sampler: Callable[[list[int], int], Tensor] | None = None

    @classmethod
    def of(
        cls,
        vae: VAE,
        x: Tensor,
        start: Literal["prior", "guide"],
    ) -> "GeometricPath":
        """The path for rows x."""
        prior = vae.prior()
        q = posterior_of(vae, x)
        if start == "guide":
            starts = [posterior_of(vae, row) for row in x.split(1)]
            return cls(x, prior, vae.likelihood, q, starts, (q.stddev, q.stddev))
        spread = (robust_scale(prior, x.device), q.stddev)
        return cls(x, prior, vae.likelihood, prior, [prior] * len(x), spread)

    def ends(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log q₀(z) and U(z), each (chains, rows)."""
        log_start = self.start.log_prob(z)
        gain = self.likelihood(z).log_prob(self.x)
        if self.start is not self.prior:
            gain = gain + self.prior.log_prob(z) - log_start
        support: Any = self.prior.support
        return log_start, torch.where(support.check(z), gain, -torch.inf)

    def at(self, z: Tensor, b: Tensor) -> PathState:
        """The state of chains at z, with inverse temperatures b (rows,)."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            log_start, gain = self.ends(z)
            log_start_slope = _slope(log_start, z)
            gain_slope = _slope(gain, z)
        return PathState(
            z.detach(),
            log_start.detach(),
            gain.detach(),
            log_start_slope,
            gain_slope,
            b,
        )

    def draw(self, seeds: list[int], chains: int) -> Tensor:
        """z ~ q₀, (chains, rows, latent_dim)."""
        if self.sampler is not None:
            return self.sampler(seeds, chains)
        columns = []
        for q, seed in zip(self.starts, seeds, strict=True):
            with own_seed(seed, self.x.device):
                z = q.sample(torch.Size([chains]))
            columns.append(z.reshape(chains, 1, -1))
        return torch.cat(columns, 1)

    def move(
        self,
        state: PathState,
        step_size: Tensor,
        noise: HmcNoise,
        leapfrog_steps: int,
    ) -> tuple[PathState, Tensor]:
        """A transition that leaves f invariant, and the acceptance of its proposals (chains, rows).

        Step sizes (chains, rows) are in standard deviations of f, were both ends normal.
        """

        def state_at(z: Tensor) -> PathState:
            return self.at(z, state.b)

        first, last = self.spread
        b = state.b.unsqueeze(-1)
        scale = ((1 - b) / first.square() + b / last.square()).rsqrt()
        step = step_size.unsqueeze(-1) * scale
        end, accepted, acceptance = transition(
            state_at, state, noise, step, leapfrog_steps
        )
        return state.where(accepted, end), acceptance


def _slope(values: Tensor, z: Tensor) -> Tensor:
    """∂ values / ∂z; zero where they don't depend on z, as inside a uniform prior."""
    if not values.requires_grad:
        return torch.zeros_like(z)
    (slope,) = torch.autograd.grad(
        values.sum(), z, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return slope


def robust_scale(p: Distribution, device: torch.device) -> Tensor:
    """The standard deviation of a normal with p's quartiles, (latent_dim,).

    It exists where p has no variance, or no formula for it.
    """
    with own_seed(0, device):
        draws = p.sample(torch.Size([1000]))
    return scale_of_quartiles(draws)


def scale_of_quartiles(draws: Tensor) -> Tensor:
    """The standard deviations of normals with the quartiles of draws (many, latent_dim)."""
    low, high = draws.quantile(torch.tensor([0.25, 0.75]).to(draws), 0)
    # of N(0, 1) the quartiles are ±0.6745
    return (high - low) / 1.349
