"""Walks of chains between a simple density q₀(z) and p(x, z), with the weights that they gather."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from pyro_vae.analysis.annealing.geometric_path import Path
from pyro_vae.analysis.annealing.hmc import Kick
from pyro_vae.analysis.fitted import evaluation, require_density, require_full_precision
from pyro_vae.rng import row_seed
from pyro_vae.vae import VAE

PILOTS = 16
"""Chains that tune the ladder of a row."""


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
        return max(1, self.chunk_size // max(self.num_chains, PILOTS))


def require_moves(vae: VAE) -> None:
    """Raise ValueError where Hamiltonian Monte Carlo can't move z: no density, or z on a lattice."""
    require_full_precision(vae, "annealed")
    require_density(vae)
    with evaluation(vae):
        support: Any = vae.prior().support
    if support.is_discrete:
        raise ValueError(
            "annealed: expected a prior over real vectors, got discrete values, along which no "
            "gradient leads; take `evidence`, which only draws"
        )


class Ladder(NamedTuple):
    """Temperatures 0 = b₀ < b₁ < ... < b_T = 1 of each row, in float64, and the steps there, each
    (T + 1, rows).
    """

    b: Tensor
    step: Tensor


class Walk(NamedTuple):
    """Where chains got to.

    Attributes:
        log_weight: of each chain, (chains, rows), in float64.
        acceptance: the mean of each row, (rows,).
        end: positions, (chains, rows, latent_dim).
    """

    log_weight: Tensor
    acceptance: Tensor
    end: Tensor


def upward(path: Path, ladder: Ladder, seeds: list[int], plan: Plan) -> Walk:
    """From q₀ to p(x, z): the mean of w is unbiased for p(x).

    log w = Σₜ (bₜ - bₜ₋₁) U(zₜ₋₁),   t = 1, ..., T

    where z₀ ~ q₀ and zₜ is zₜ₋₁ after a move at bₜ.
    """
    walker = Walker(path, ladder, path.draw(seeds, plan.num_chains), seeds, plan)
    for t in shown(range(plan.temperatures), plan):
        if t > 0:
            walker.move(t)
        walker.weigh(t, t + 1)
    return walker.walk


def downward(path: Path, z: Tensor, ladder: Ladder, seeds: list[int], plan: Plan) -> Walk:
    """From draws of p(z | x) (chains, rows, latent_dim) to q₀: the mean of 1 / w is unbiased for 1
    / p(x).

    The moves and the weights of `upward`, last to first, after one more move at b = 1.
    """
    walker = Walker(path, ladder, z, seeds, plan)
    for t in shown(range(plan.temperatures, 0, -1), plan):
        walker.move(t)
        walker.weigh(t - 1, t)
    return walker.walk


class Walker:
    """Chains on a ladder, and the weights that they have gathered.

    Arguments:
        path: the densities.
        ladder: temperatures and steps.
        z: where the chains start, (chains, rows, latent_dim).
        seeds: one for each row.
        plan: for the number of leapfrog steps.
    """

    def __init__(self, path: Path, ladder: Ladder, z: Tensor, seeds: list[int], plan: Plan) -> None:
        self.path, self.ladder, self.leapfrog_steps = path, ladder, plan.leapfrog_steps
        self.noise, self.here = Noise(z, seeds), path.at(z, ladder.b[0].to(z))
        self.log_weight = torch.zeros_like(self.here.gain, dtype=torch.float64)
        self.acceptance: list[Tensor] = []

    def move(self, t: int) -> None:
        """Move all chains at bₜ."""
        kick, jitter = self.noise.draw()
        here = self.here._replace(b=self.ladder.b[t].to(self.here.b))
        self.here, acceptance = self.path.move(
            here, jitter * self.ladder.step[t], kick, self.leapfrog_steps
        )
        self.acceptance.append(acceptance.mean(0))

    def weigh(self, first: int, last: int) -> None:
        """log w ← log w + (b_last - b_first) U(z)."""
        self.log_weight += (self.ladder.b[last] - self.ladder.b[first]) * self.here.gain

    @property
    def walk(self) -> Walk:
        """What they have gathered; without a move no acceptance is known."""
        nothing = [torch.full_like(self.ladder.step[0], torch.nan)]
        return Walk(self.log_weight, torch.stack(self.acceptance or nothing).mean(0), self.here.z)


class Noise:
    """A stream of random numbers for each row: what a row gets does not depend on the rows beside
    it.

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
    bar: Iterable[int] = tqdm(
        temperatures, disable=hidden, desc="temperature", leave=False, dynamic_ncols=True
    )
    return bar


def log_mean(log_weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log of the mean weight over chains (chains, rows), its standard error by the delta method,
    and the ESS.

    Example:
        >>> [round(float(value), 4) for value in log_mean(torch.tensor([[1.0], [3.0]]).log())]
        [0.6931, 0.5, 1.6]
    """
    chains, log_sum = len(log_weight), log_weight.logsumexp(0)
    ess = (2 * log_sum - (2 * log_weight).logsumexp(0)).exp()
    relative_variance = (
        (chains / ess - 1).clamp_min(0) / (chains - 1) if chains > 1 else ess * torch.nan
    )
    return log_sum - math.log(chains), relative_variance.sqrt(), ess
