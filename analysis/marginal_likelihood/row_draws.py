"""Draws of each row under seeds of its own, and the weights that they make."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.marginal_likelihood.log_joint import CompiledOnce, Joint, log_joint
from pyro_vae.analysis.marginal_likelihood.proposals import Proposal, as_normal
from pyro_vae.analysis.marginal_likelihood.refinement import slope_of_log_joint
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.guides.pushforward import standard_normal
from pyro_vae.rng import row_seed
from pyro_vae.vae import VAE

__all__ = ["BLOCK", "Job", "Sampling", "cut", "draw_blocks"]

BLOCK = 250
"""Draws that share one seed: always drawn whole, so that no chunk size changes them."""

CAP = 16
"""Times the draws asked for that a row may get automatically."""
POOL, POOL_NUMBERS = 2**16, 2**22
"""Draws from the prior that all rows choose theirs from, and numbers in them at most: a flow is
slow to draw from a few at a time. What the pool itself is off by is no part of the standard errors,
and far below them.
"""

PLACES, PLACES_SEED = 512, 1
PARTICLES = 16
"""Draws in each step of a fit, of which half are the others with their signs turned."""

_TOGETHER = 32  # rows at least whose proposals are made at once
_HELD = 8  # chunks whose draws are held at once


@dataclass(frozen=True)
class Job:
    """What is asked for, and how much of it is done at once.

    Attributes:
        prior: made once.
        pairs: of a row and a draw in one call of `joint`, at most.
        restart: starts torch's generators from a seed.
        compiles: whether `joint` is compiled.
    """

    vae: VAE
    prior: Distribution
    num_particles: int
    until: Until | None
    seed: int
    pairs: int
    restart: Callable[[int], None]
    compiles: bool

    @cached_property
    def joint(self) -> Joint:
        """From rows and draws to log p(x, z)."""

        def eager(x: Tensor, z: Tensor) -> Tensor:
            return log_joint(self.vae, x, z, self.prior)

        return CompiledOnce(eager, self.draws, self.rows) if self.compiles else eager

    @cached_property
    def log_likelihood(self) -> Joint:
        """From rows and draws to log p(x | z)."""

        def eager(x: Tensor, z: Tensor) -> Tensor:
            log_p: Tensor = self.vae.likelihood(z).log_prob(x)
            return log_p

        return CompiledOnce(eager, self.draws, self.rows) if self.compiles else eager

    def eager_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) of few draws."""
        return log_joint(self.vae, x, z, self.prior)

    @cached_property
    def _slope(self) -> Joint:
        def eager(x: Tensor, z: Tensor) -> Tensor:
            return slope_of_log_joint(self.vae, self.prior, x, z)

        return CompiledOnce(eager, PARTICLES, self.group) if self.compiles else eager

    def slope(self, x: Tensor, z: Tensor) -> Tensor:
        """∂ log p(x, z) / ∂z of up to `PARTICLES` draws of each row."""
        pairs = zip(x.split(self.group), z.split(self.group, 1), strict=True)
        return torch.cat([self._slope(rows, draws) for rows, draws in pairs], 1)

    @cached_property
    def pool(self) -> Tensor:
        """Draws from the prior under the job's seed."""
        self.restart(self.seed)
        count = min(POOL, max(1024, POOL_NUMBERS // self.vae.spec.latent_dim))
        drawn: Tensor = self.prior.sample(torch.Size([count]))
        return drawn

    @cached_property
    def places(self) -> Tensor:
        """Other draws from the prior, the same for every seed: where fits may start."""
        self.restart(PLACES_SEED)
        drawn: Tensor = self.prior.sample(torch.Size([PLACES]))
        return drawn

    @cached_property
    def lowest_log_prior(self) -> float:
        """Of these draws."""
        return float(self.prior.log_prob(self.places).min())

    @property
    def cap(self) -> int:
        """The most draws that a row may get automatically."""
        return CAP * self.num_particles if self.until is None else self.until.max_particles

    @property
    def rows(self) -> int:
        """Rows in one call of `joint`."""
        return max(1, self.pairs // self.num_particles)

    @property
    def draws(self) -> int:
        """Draws of each row in one call of `joint`: all, or whole blocks."""
        most = self.pairs // self.rows
        return self.num_particles if self.num_particles <= most else most // BLOCK * BLOCK or most

    @property
    def group(self) -> int:
        """Rows whose proposals are made together."""
        return self.rows * max(1, min(_TOGETHER, self.pairs // 16) // self.rows)

    @property
    def most(self) -> int:
        """The most draws that a row may get."""
        return self.num_particles if self.until is None else self.until.max_particles


class Sampling:
    """Draws of some rows from one proposal, which may become more."""

    def __init__(self, job: Job, x: Tensor, proposal: Proposal, name: str = "") -> None:
        self.job, self.x = job, x
        self.q, self.seeds = (
            proposal.each(job.vae, x),
            [row_seed(row, f"{job.seed}{name}") for row in x.split(1)],
        )
        self.weights, self.drawn = Weights.empty(len(x), job.most, x.dtype), 0

    def columns(self) -> dict[str, np.ndarray]:
        return self.weights.columns()

    def finish(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Draw for `rows` until the targets hold or the cap is reached; the columns of all."""
        until, reached = self.job.until, np.full(len(self.x), "num_particles")
        columns = self.columns()
        if until is None:
            return {**columns, "reached": reached}
        rows = rows[~until.holds(columns["se"], columns["pareto_k"])[rows]]
        while len(rows) and self.drawn < until.max_particles:
            self.draw(rows, min(2 * self.drawn, until.max_particles))
            columns = self.columns()
            rows = rows[~until.holds(columns["se"], columns["pareto_k"])[rows]]
        reached = np.where(until.holds(columns["se"], columns["pareto_k"]), "target", "cap")
        return {**columns, "reached": reached}

    def draw(self, rows: np.ndarray, count: int) -> None:
        """Draw for `rows`, a few at a time, until each has `count`."""
        job = self.job
        held = math.ceil(_HELD * job.draws / BLOCK) * BLOCK
        for some in np.split(rows, range(job.rows, len(rows), job.rows)):
            index = torch.from_numpy(some)
            x = self.x[index.to(self.x.device)]
            for first, last in cut(self.drawn, count, held):
                drawn = [
                    draw_blocks(self.q[row], self.seeds[row], first, last, job.restart)
                    for row in some
                ]
                z, log_q = (
                    part[0] if len(part) == 1 else torch.cat(part, 1)
                    for part in zip(*drawn, strict=True)
                )
                log_p = torch.cat([job.joint(x, chunk) for chunk in z.split(job.draws)])
                self.weights.add(log_p - log_q, index)
        self.drawn = count


def cut(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """The range from `first` to `last` in pieces that end at multiples of `size`."""
    return pairwise([first, *range((first // size + 1) * size, last, size), last])


def draw_blocks(
    q: Distribution, seed: int, first: int, last: int, restart: Callable[[int], None]
) -> tuple[Tensor, Tensor]:
    """The draws from `first` to `last` of one row's q, (draws, 1, latent_dim), and their log
    densities, (draws, 1).
    """
    blocks = range(first // BLOCK, (last - 1) // BLOCK + 1)
    wanted = slice(first - BLOCK * blocks[0], last - BLOCK * blocks[0])
    normal = as_normal(q)
    if normal is not None:
        noise = torch.empty(
            (len(blocks) * BLOCK, *q.event_shape), dtype=normal.loc.dtype, device=normal.loc.device
        )
        for block, part in zip(blocks, noise.split(BLOCK), strict=True):
            restart(seed + block)
            part.normal_()
        noise = noise[wanted].unsqueeze(1)
        return torch.addcmul(normal.loc, normal.scale, noise), standard_normal(
            noise
        ) - normal.scale.log().sum(-1)
    parts = []
    for block in blocks:
        restart(seed + block)
        z = q.sample(torch.Size([BLOCK]))
        parts.append(
            (z, q.log_prob(z))
        )  # a flow knows the density of its last draw only as a whole
    z, log_q = (torch.cat(part) for part in zip(*parts, strict=True))
    return z[wanted], log_q[wanted]
