"""Walks of chains between a simple density q₀(z) and p(x, z), with the weights that they gather."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution
from tqdm import tqdm

from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.analysis.hmc import Kick, Moved, move
from pyro_vae.analysis.importance import require_density
from pyro_vae.rng import own_seed, row_seed
from pyro_vae.vae import VAE

ACCEPTANCE = 0.65
"""What the step sizes are tuned to."""
FIRST_STEP = 0.5
PILOTS = 16
"""Chains that tune the steps of a row, at most."""


@dataclass(frozen=True)
class Plan:
    """How to anneal: the options of `annealed`, checked."""

    num_chains: int
    temperatures: int
    leapfrog_steps: int
    start: Literal["prior", "guide"]
    seed: int
    chunk_size: int
    progress: bool | None

    def __post_init__(self) -> None:
        for name in ("num_chains", "temperatures", "leapfrog_steps", "chunk_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.start not in ("prior", "guide"):
            raise ValueError(f"start: expected 'prior' or 'guide', got {self.start!r}")

    @property
    def rows_together(self) -> int:
        return max(1, self.chunk_size // self.num_chains)

    @property
    def pilot_temperatures(self) -> int:
        return max(20, self.temperatures // 10)


@dataclass(frozen=True)
class Path:
    """The densities between q₀(z) and p(x, z) for some rows: log f(z) = (1 - b) log q₀(z) + b log p(x, z).

    Attributes:
        x: the rows, (n, *data_shape).
        prior: p(z).
        likelihood: from z to p(x | z).
        start: q₀ for all rows, with batch shape () or (n,).
        starts: q₀ of each row by itself, for draws that do not depend on the rows beside it.
        spread: standard deviations at both ends, of q₀ and of q(z | x), which stands in for the posterior.
    """

    x: Tensor
    prior: Distribution
    likelihood: Any
    start: Distribution
    starts: list[Distribution]
    spread: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, vae: VAE, x: Tensor, start: Literal["prior", "guide"]) -> "Path":
        """The path for rows x."""
        prior, q = vae.prior(), posterior_of(vae, x)
        if start == "guide":
            starts = [posterior_of(vae, row) for row in x.split(1)]
            return cls(x, prior, vae.likelihood, q, starts, (q.stddev, q.stddev))
        return cls(x, prior, vae.likelihood, prior, [prior] * len(x), (robust_scale(prior, x.device), q.stddev))

    def ends(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log q₀(z) and log p(x, z), each (chains, rows); -inf outside their support."""
        log_prior = self.prior.log_prob(z)
        log_start = log_prior if self.start is self.prior else self.start.log_prob(z)
        log_joint = log_prior + self.likelihood(z).log_prob(self.x)
        support: Any = self.prior.support
        return log_start, torch.where(support.check(z), log_joint, -torch.inf)

    def log_weight(self, z: Tensor) -> Tensor:
        """log p(x, z) - log q₀(z), in float64."""
        log_start, log_joint = self.ends(z)
        return log_joint.double() - log_start.double()

    def draw(self, seeds: list[int], chains: int) -> Tensor:
        """z ~ q₀, (chains, rows, latent_dim)."""
        drawn = []
        for q, seed in zip(self.starts, seeds, strict=True):
            with own_seed(seed, self.x.device):
                drawn.append(q.sample((chains,)).reshape(chains, 1, -1))
        return torch.cat(drawn, 1)

    def move(self, z: Tensor, b: float, step: Tensor, kick: Kick, leapfrog_steps: int) -> Moved:
        """A move that leaves f as it is, by steps (chains, rows) in standard deviations of f, were both ends normal."""

        def log_density(z: Tensor) -> Tensor:
            log_start, log_joint = self.ends(z)
            return (1 - b) * log_start + b * log_joint

        first, last = self.spread
        scale = ((1 - b) / first.square() + b / last.square()).rsqrt()
        return move(log_density, z, kick, step.unsqueeze(-1) * scale, leapfrog_steps)


def require_moves(vae: VAE) -> None:
    """Raise ValueError where Hamiltonian Monte Carlo can't move z: no density, or z on a lattice."""
    require_density(vae)
    if vae.prior().support.is_discrete:
        raise ValueError(
            "annealed: expected a prior over real vectors, got discrete values, along which no gradient leads; "
            "take `evidence`, which only draws"
        )


def robust_scale(p: Distribution, device: torch.device) -> Tensor:
    """The standard deviation of a normal with p's quartiles: there is one where p has no variance, or no formula."""
    with own_seed(0, device):
        draws = p.sample((1000,))
    low, high = draws.quantile(torch.tensor([0.25, 0.75]).to(draws), 0)
    return (high - low) / 1.349


def schedule(temperatures: int) -> list[float]:
    """0 = b₀ < b₁ < ... < b_T = 1 along a sigmoid from -4 to 4: slow at both ends, where the density changes most.

    Example:
        >>> [round(b, 3) for b in schedule(4)]
        [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    sigmoid = torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64).sigmoid()
    b: list[float] = ((sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])).tolist()
    return b


class Walk(NamedTuple):
    """The log weights of chains (chains, rows), in float64, and each row's mean acceptance (rows,)."""

    log_weight: Tensor
    acceptance: Tensor


def upward(path: Path, steps: Tensor, seeds: list[int], plan: Plan) -> Walk:
    """From q₀ to p(x, z): the mean of w is unbiased for p(x).

    log w = Σₜ (bₜ - bₜ₋₁) (log p(x, zₜ₋₁) - log q₀(zₜ₋₁)),   t = 1, ..., T

    where z₀ ~ q₀ and zₜ is zₜ₋₁ after a move at bₜ.
    """
    z, b = path.draw(seeds, plan.num_chains), schedule(plan.temperatures)
    noise, acceptance = Noise(z, seeds), []
    log_weight = (b[1] - b[0]) * path.log_weight(z)
    for t in shown(range(1, plan.temperatures), plan):
        kick, jitter = noise.draw()
        z, accepted = path.move(z, b[t], jitter * steps[t], kick, plan.leapfrog_steps)
        log_weight += (b[t + 1] - b[t]) * path.log_weight(z)
        acceptance.append(accepted.mean(0))
    return Walk(log_weight, torch.stack(acceptance or [torch.full_like(steps[0], torch.nan)]).mean(0))


def downward(path: Path, z: Tensor, steps: Tensor, seeds: list[int], plan: Plan) -> Walk:
    """From draws of p(z | x) (chains, rows, latent_dim) to q₀: the mean of 1 / w is unbiased for 1 / p(x).

    The moves and the weights of `upward`, last to first, after one more move at b = 1.
    """
    b, noise, acceptance = schedule(plan.temperatures), Noise(z, seeds), []
    log_weight = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    for t in shown(range(plan.temperatures, 0, -1), plan):
        kick, jitter = noise.draw()
        z, accepted = path.move(z, b[t], jitter * steps[t], kick, plan.leapfrog_steps)
        log_weight += (b[t] - b[t - 1]) * path.log_weight(z)
        acceptance.append(accepted.mean(0))
    return Walk(log_weight, torch.stack(acceptance).mean(0))


def tuned(path: Path, seeds: list[int], plan: Plan) -> Tensor:
    """Step sizes (T + 1, rows) for b₀, ..., b_T, from a shorter walk that adapts them to its acceptance.

    log ε ← log ε + acceptance - 0.65

    Chains of their own take that walk, so that the steps are constants to every other walk.
    """
    z, b = path.draw(seeds, min(plan.num_chains, PILOTS)), schedule(plan.pilot_temperatures)
    noise, log_step = Noise(z, seeds), torch.full_like(z[0, :, 0], FIRST_STEP).log()
    found = [log_step]
    for t in shown(range(1, len(b)), plan):
        kick, jitter = noise.draw()
        z, accepted = path.move(z, b[t], jitter * log_step.exp(), kick, plan.leapfrog_steps)
        log_step = log_step + accepted.mean(0) - ACCEPTANCE
        found.append(log_step)
    nearest = torch.linspace(0, plan.pilot_temperatures, plan.temperatures + 1).round().long()
    return torch.stack(found).exp()[nearest.to(z.device)]


class Noise:
    """A stream of random numbers for each row: what a row gets does not depend on the rows beside it.

    Arguments:
        like: positions (chains, rows, latent_dim), for shape, type and device.
        seeds: one for each row.
    """

    def __init__(self, like: Tensor, seeds: list[int]) -> None:
        chains, rows, dim = like.shape
        self.generators = [torch.Generator(like.device).manual_seed(seed + 1) for seed in seeds]
        self.buffer = like.new_empty(rows, chains, dim + 2)

    def draw(self) -> tuple[Kick, Tensor]:
        """The kick of a move, and factors (chains, rows) of its steps, uniform on (0.8, 1.2).

        Walks whose steps never vary can come back to where they were at every temperature.
        """
        for row, generator in zip(self.buffer, self.generators, strict=True):
            row.normal_(generator=generator)
        normal = self.buffer.transpose(0, 1).contiguous()
        kick = Kick(normal[..., :-2], torch.special.log_ndtr(normal[..., -2]))
        return kick, 0.8 + 0.4 * torch.special.ndtr(normal[..., -1])


def seeds_of(rows: Tensor, purpose: str) -> list[int]:
    """A seed for each row and purpose that is the row's own."""
    return [row_seed(row, purpose) for row in rows]


def shown(temperatures: Iterable[int], plan: Plan) -> Iterable[int]:
    """The temperatures, with a bar that goes away at the end."""
    hidden = None if plan.progress is None else not plan.progress
    bar: Iterable[int] = tqdm(temperatures, disable=hidden, desc="temperature", leave=False, dynamic_ncols=True)
    return bar


def log_mean(log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log of the mean weight over chains (chains, rows), its standard error by the delta method, and the ESS.

    Example:
        >>> [round(float(value), 4) for value in log_mean(torch.tensor([[1.0], [3.0]]).log())]
        [0.6931, 0.5, 1.6]
    """
    chains, log_sum = len(log_weight), log_weight.logsumexp(0)
    ess = (2 * log_sum - (2 * log_weight).logsumexp(0)).exp()
    relative_variance = (chains / ess - 1).clamp_min(0) / (chains - 1) if chains > 1 else ess * torch.nan
    return log_sum - math.log(chains), relative_variance.sqrt(), ess
