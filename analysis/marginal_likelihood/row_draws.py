"""Draws of each row under its own seed, and the importance weights that they give."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from pyro_vae.analysis.fitted import Columns
from pyro_vae.analysis.marginal_likelihood.log_joint import CompiledOnce, Joint, log_joint
from pyro_vae.analysis.marginal_likelihood.proposals import Proposal, as_normal
from pyro_vae.analysis.marginal_likelihood.refinement import slope_of_log_joint
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.guides.pushforward import standard_normal
from pyro_vae.rng import row_seed
from pyro_vae.vae import VAE

__all__ = ["BLOCK", "Job", "Sampling", "draw_blocks", "pieces"]

BLOCK = 250
"""Draws that share one seed: always drawn whole, so that no chunk size changes them."""
CAP = 16
"""Times the requested draws that a row may get automatically."""
POOL_SIZE = 2**16
"""Draws from the prior that all rows choose theirs from: a flow is slow to draw from one by one.

The error of the pool itself is no part of the standard errors, and far below them.
"""
POOL_NUMBERS = 2**22
"""Numbers in the pool at most."""
NUM_CANDIDATES = 512
CANDIDATES_SEED = 1
PARTICLES = 16
"""Draws in each step of a fit; half of them are the others with their signs turned."""

_ROWS_TOGETHER = 32  # rows at least whose proposals are made at once
_CHUNKS_TOGETHER = 8  # chunks whose draws are in memory at once


@dataclass(frozen=True)
class Job:
    """What is asked for, and how much of it is done at once.

    Attributes:
        vae: the model.
        prior: made once.
        num_particles: draws of each row, at first.
        until: targets for more draws.
        seed: of the draws.
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
        if self.compiles:
            return CompiledOnce(self.eager_joint, self.draws, self.rows)
        return self.eager_joint

    def eager_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x, z) of few draws."""
        return log_joint(self.vae, x, z, self.prior)

    @cached_property
    def log_likelihood(self) -> Joint:
        """From rows and draws to log p(x | z)."""

        def eager(x: Tensor, z: Tensor) -> Tensor:
            log_p: Tensor = self.vae.likelihood(z).log_prob(x)
            return log_p

        return CompiledOnce(eager, self.draws, self.rows) if self.compiles else eager

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
        """Draws from the prior under the job's seed, (many, latent_dim)."""
        self.restart(self.seed)
        count = min(POOL_SIZE, max(1024, POOL_NUMBERS // self.vae.spec.latent_dim))
        return self.prior.sample(torch.Size([count]))

    @cached_property
    def candidates(self) -> Tensor:
        """Other draws from the prior, the same for every seed: where fits may start."""
        self.restart(CANDIDATES_SEED)
        return self.prior.sample(torch.Size([NUM_CANDIDATES]))

    @cached_property
    def lowest_log_prior(self) -> float:
        """The smallest log p(z) of the candidates."""
        return float(self.prior.log_prob(self.candidates).min())

    @property
    def cap(self) -> int:
        """The most draws that a row may get automatically."""
        if self.until is None:
            return CAP * self.num_particles
        return self.until.max_particles

    @property
    def most(self) -> int:
        """The most draws that a row may get from a proposal that was asked for."""
        if self.until is None:
            return self.num_particles
        return self.until.max_particles

    @property
    def rows(self) -> int:
        """Rows in one call of `joint`."""
        return max(1, self.pairs // self.num_particles)

    @property
    def draws(self) -> int:
        """Draws of each row in one call of `joint`: all, or whole blocks."""
        most = self.pairs // self.rows
        if self.num_particles <= most:
            return self.num_particles
        return most // BLOCK * BLOCK or most

    @property
    def group(self) -> int:
        """Rows whose proposals are made together, a multiple of `rows`."""
        affordable = max(1, min(_ROWS_TOGETHER, self.pairs // 16) // self.rows)
        return self.rows * affordable


class Sampling:
    """Draws of some rows from one proposal, which may become more.

    Arguments:
        job: what is asked for.
        x: the rows, (n, *data_shape).
        proposal: what the draws come from.
        purpose: what they are for; with the row itself it makes their seed.
    """

    def __init__(self, job: Job, x: Tensor, proposal: Proposal, purpose: str = "") -> None:
        self.job = job
        self.x = x
        self.q = proposal.each(job.vae, x)
        self.seeds = [row_seed(row, f"{job.seed}{purpose}") for row in x.split(1)]
        self.weights = Weights.empty(len(x), job.most, x.dtype)
        self.num_drawn = 0

    def columns(self) -> Columns:
        """The columns of the draws so far."""
        return self.weights.columns()

    def finish(self, rows: np.ndarray) -> Columns:
        """Draw for `rows` until the targets hold or the cap is reached; the columns of all rows."""
        until = self.job.until
        columns = self.columns()
        if until is None:
            return {**columns, "reached": np.full(len(self.x), "num_particles")}
        rows = rows[~until.holds(columns["se"], columns["pareto_k"])[rows]]
        while len(rows) and self.num_drawn < until.max_particles:
            self.draw(rows, min(2 * self.num_drawn, until.max_particles))
            columns = self.columns()
            rows = rows[~until.holds(columns["se"], columns["pareto_k"])[rows]]
        met = until.holds(columns["se"], columns["pareto_k"])
        return {**columns, "reached": np.where(met, "target", "cap")}

    def draw(self, rows: np.ndarray, count: int) -> None:
        """Draw for `rows`, a few at a time, until each has `count`."""
        job = self.job
        size = math.ceil(_CHUNKS_TOGETHER * job.draws / BLOCK) * BLOCK
        for some in np.split(rows, range(job.rows, len(rows), job.rows)):
            index = torch.from_numpy(some)
            x = self.x[index.to(self.x.device)]
            for first, last in pieces(self.num_drawn, count, size):
                z, log_q = self._drawn(some, first, last)
                log_p = torch.cat([job.joint(x, chunk) for chunk in z.split(job.draws)])
                self.weights.add(log_p - log_q, index)
        self.num_drawn = count

    def _drawn(self, rows: np.ndarray, first: int, last: int) -> tuple[Tensor, Tensor]:
        """z (draws, rows, latent_dim) and log q (draws, rows) of draws `first` to `last`."""
        restart = self.job.restart
        each = [draw_blocks(self.q[row], self.seeds[row], first, last, restart) for row in rows]
        if len(each) == 1:
            return each[0]
        z = torch.cat([own_z for own_z, _ in each], 1)
        log_q = torch.cat([own_log_q for _, own_log_q in each], 1)
        return z, log_q


def pieces(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """The range from `first` to `last` in pieces that end at multiples of `size`.

    Example:
        >>> list(pieces(3, 10, 4))
        [(3, 4), (4, 8), (8, 10)]
    """
    next_multiple = (first // size + 1) * size
    return pairwise([first, *range(next_multiple, last, size), last])


def draw_blocks(
    q: Distribution, seed: int, first: int, last: int, restart: Callable[[int], None]
) -> tuple[Tensor, Tensor]:
    """The draws from `first` to `last` of the q of one row, with their log densities.

    Returns:
        z, (draws, 1, latent_dim), and log q, (draws, 1).
    """
    blocks = range(first // BLOCK, (last - 1) // BLOCK + 1)
    wanted = slice(first - BLOCK * blocks[0], last - BLOCK * blocks[0])
    normal = as_normal(q)
    if normal is not None:
        noise = _normal_blocks(normal, seed, blocks, restart)[wanted].unsqueeze(1)
        z = torch.addcmul(normal.loc, normal.scale, noise)
        return z, standard_normal(noise) - normal.scale.log().sum(-1)
    parts = []
    for block in blocks:
        restart(seed + block)
        z = q.sample(torch.Size([BLOCK]))
        # at once, since a flow knows the density of its last draws only as a whole
        parts.append((z, q.log_prob(z)))
    z = torch.cat([part_z for part_z, _ in parts])
    log_q = torch.cat([part_log_q for _, part_log_q in parts])
    return z[wanted], log_q[wanted]


def _normal_blocks(
    normal: Normal, seed: int, blocks: range, restart: Callable[[int], None]
) -> Tensor:
    """Standard normal noise of whole blocks, (draws, latent_dim)."""
    latent_dim = normal.loc.shape[-1]
    noise = normal.loc.new_empty(len(blocks) * BLOCK, latent_dim)
    for block, part in zip(blocks, noise.split(BLOCK), strict=True):
        restart(seed + block)
        part.normal_()
    return noise
