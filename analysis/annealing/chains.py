"""Annealed chains between a simple density q₀(z) and p(x, z), with their importance weights."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from pyro_vae.analysis.annealing.geometric_path import GeometricPath
from pyro_vae.analysis.annealing.hmc import HmcNoise
from pyro_vae.analysis.fitted import evaluation, require_density, require_full_precision
from pyro_vae.given import of_rows
from pyro_vae.progress_bar import progress_bar
from pyro_vae.rng import row_seed
from pyro_vae.vae import VAE

PILOT_CHAINS = 16
"""Chains that tune the temperature schedule of a row."""


@dataclass(frozen=True)
class AnnealingOptions:
    """The options of `annealed`, checked."""

    num_chains: int
    temperatures: int
    leapfrog_steps: int
    start: Literal["prior", "guide"]
    seed: int
    chunk_size: int
    progress: bool | None

    def __post_init__(self) -> None:
        for name in ("num_chains", "temperatures", "leapfrog_steps", "chunk_size"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value}")
        if self.start not in ("prior", "guide"):
            raise ValueError(f"start: expected 'prior' or 'guide', got {self.start!r}")

    @property
    def rows_together(self) -> int:
        """How many rows are annealed at once."""
        return max(1, self.chunk_size // max(self.num_chains, PILOT_CHAINS))


def require_moves(vae: VAE) -> None:
    """Raise ValueError where Hamiltonian Monte Carlo can't move z: no density, or a discrete z."""
    require_full_precision(vae, "annealed")
    require_density(vae)
    with evaluation(vae):
        support: Any = of_rows(vae).prior().support
    if support.is_discrete:
        raise ValueError(
            "annealed: expected a prior over real vectors, got discrete values, which have no "
            "gradient; take `evidence`, which only draws"
        )


class TemperatureSchedule(NamedTuple):
    """Inverse temperatures and step sizes of each row.

    Attributes:
        b: 0 = b₀ < b₁ < ... < b_T = 1, (T + 1, rows), in float64.
        step_size: of the leapfrog at each temperature, (T + 1, rows).
    """

    b: Tensor
    step_size: Tensor


class ChainsResult(NamedTuple):
    """Chains at the end of a schedule.

    Attributes:
        log_weight: of each chain, (chains, rows), in float64.
        acceptance: the mean of each row, (rows,).
        end: positions, (chains, rows, latent_dim).
    """

    log_weight: Tensor
    acceptance: Tensor
    end: Tensor


def run_forward(
    path: GeometricPath,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """From q₀ to p(x, z): the mean of w is unbiased for p(x).

    log w = Σₜ (bₜ - bₜ₋₁) U(zₜ₋₁),   t = 1, ..., T

    where z₀ ~ q₀ and zₜ is zₜ₋₁ after a transition at bₜ.
    """
    z = path.draw(seeds, options.num_chains)
    chains = Chains(path, schedule, z, seeds, options)
    for t in with_bar(range(options.temperatures), options):
        if t > 0:
            chains.move(t)
        chains.weigh(t, t + 1)
    return chains.result


def run_reverse(
    path: GeometricPath,
    z: Tensor,
    schedule: TemperatureSchedule,
    seeds: list[int],
    options: AnnealingOptions,
) -> ChainsResult:
    """From draws of p(z | x) to q₀: the mean of 1 / w is unbiased for 1 / p(x).

    The transitions and weights of `run_forward` in reverse order, after one more transition at
    b = 1.

    Arguments:
        path: the densities.
        z: draws of p(z | x), (chains, rows, latent_dim).
        schedule: that of the forward chains.
        seeds: one for each row.
        options: the number of temperatures and of leapfrog steps.
    """
    chains = Chains(path, schedule, z, seeds, options)
    for t in with_bar(range(options.temperatures, 0, -1), options):
        chains.move(t)
        chains.weigh(t - 1, t)
    return chains.result


class Chains:
    """Chains on a temperature schedule, with the weights that they have gathered.

    Arguments:
        path: the densities.
        schedule: inverse temperatures and step sizes.
        z: where the chains start, (chains, rows, latent_dim).
        seeds: one for each row.
        options: for the number of leapfrog steps.
    """

    def __init__(
        self,
        path: GeometricPath,
        schedule: TemperatureSchedule,
        z: Tensor,
        seeds: list[int],
        options: AnnealingOptions,
    ) -> None:
        self.path = path
        self.schedule = schedule
        self.leapfrog_steps = options.leapfrog_steps
        self.noise = RowNoiseStreams(z, seeds)
        self.state = path.at(z, schedule.b[0].to(z))
        self.log_weight = torch.zeros_like(self.state.gain, dtype=torch.float64)
        self.acceptance: list[Tensor] = []

    def move(self, t: int) -> None:
        """One transition of all chains at bₜ."""
        noise, jitter = self.noise.draw()
        b = self.schedule.b[t].to(self.state.b)
        step_size = jitter * self.schedule.step_size[t]
        self.state, acceptance = self.path.move(
            self.state._replace(b=b), step_size, noise, self.leapfrog_steps
        )
        self.acceptance.append(acceptance.mean(0))

    def weigh(self, first: int, last: int) -> None:
        """log w ← log w + (b_last - b_first) U(z)."""
        self.log_weight += (
            self.schedule.b[last] - self.schedule.b[first]
        ) * self.state.gain

    @property
    def result(self) -> ChainsResult:
        """What the chains have gathered; without a transition the acceptance is nan."""
        unknown = torch.full_like(self.schedule.step_size[0], torch.nan)
        acceptance = torch.stack(self.acceptance or [unknown]).mean(0)
        return ChainsResult(self.log_weight, acceptance, self.state.z)


class RowNoiseStreams:
    """A stream of random numbers for each row, which does not depend on the other rows.

    Arguments:
        like: positions (chains, rows, latent_dim), for shape, type and device.
        seeds: one for each row.
    """

    def __init__(self, like: Tensor, seeds: list[int]) -> None:
        chains, rows, dim = like.shape
        self.generators = [
            torch.Generator(like.device).manual_seed(seed + 1) for seed in seeds
        ]
        # of each chain: a momentum, a number for the acceptance, and one for the step size
        self.buffer = like.new_empty(rows, chains, dim + 2)

    def draw(self) -> tuple[HmcNoise, Tensor]:
        """The noise of a transition, and factors (chains, rows) of the step sizes.

        The factors are uniform on (0.8, 1.2): chains whose steps never vary can come back to where
        they were at every temperature.
        """
        for row, generator in zip(self.buffer, self.generators, strict=True):
            row.normal_(generator=generator)
        normal = self.buffer.transpose(0, 1).contiguous()
        log_uniform = torch.special.log_ndtr(normal[..., -2])
        jitter = 0.8 + 0.4 * torch.special.ndtr(normal[..., -1])
        return HmcNoise(normal[..., :-2], log_uniform), jitter


def seeds_of(rows: Tensor, purpose: str) -> list[int]:
    """A seed for each row and purpose, from the numbers of the row."""
    return [row_seed(row, purpose) for row in rows]


def with_bar(
    temperatures: range,
    options: AnnealingOptions,
) -> Iterable[int]:
    """The temperatures, with a progress bar where the options ask for one."""
    bar: Iterable[int] = progress_bar(
        options.progress, iterable=temperatures, desc="temperature", leave=False
    )
    return bar
