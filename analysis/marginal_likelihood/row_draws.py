"""Draws of each row under its own seed, and the importance weights that they give."""

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, Normal

from pyro_vae.analysis.fitted import Columns
from pyro_vae.analysis.marginal_likelihood.job import BLOCK, Job
from pyro_vae.analysis.marginal_likelihood.proposals import Proposal, as_normal
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.guides.pushforward import standard_normal
from pyro_vae.rng import row_seed

_CHUNKS_TOGETHER = 8  # chunks whose draws are in memory at once


class Sampling:
    """Draws of some rows from one proposal, which may become more.

    Arguments:
        job: what is asked for.
        x: the rows, (n, *data_shape).
        proposal: what the draws come from.
        purpose: what they are for; with the row itself it makes their seed.
    """

    def __init__(
        self,
        job: Job,
        x: Tensor,
        proposal: Proposal,
        purpose: str = "",
    ) -> None:
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
            reached = np.full(len(self.x), "num_particles")
            return {**columns, "reached": reached}
        is_met = until.holds(columns["se"], columns["pareto_k"])
        rows = rows[~is_met[rows]]
        while len(rows) and self.num_drawn < until.max_particles:
            count = min(2 * self.num_drawn, until.max_particles)
            self.draw(rows, count)
            columns = self.columns()
            is_met = until.holds(columns["se"], columns["pareto_k"])
            rows = rows[~is_met[rows]]
        return {**columns, "reached": np.where(is_met, "target", "cap")}

    def draw(self, rows: np.ndarray, count: int) -> None:
        """Draw for `rows`, a few at a time, until each has `count`."""
        job = self.job
        size = math.ceil(_CHUNKS_TOGETHER * job.draws / BLOCK) * BLOCK
        for some in np.split(rows, range(job.rows, len(rows), job.rows)):
            index = torch.from_numpy(some)
            x = self.x[index.to(self.x.device)]
            for first, last in pieces(self.num_drawn, count, size):
                z, log_q = self._drawn(some, first, last)
                chunks = z.split(job.draws)
                log_p = torch.cat([job.joint(x, chunk) for chunk in chunks])
                self.weights.add(log_p - log_q, index)
        self.num_drawn = count

    def _drawn(
        self,
        rows: np.ndarray,
        first: int,
        last: int,
    ) -> tuple[Tensor, Tensor]:
        """z (draws, rows, latent_dim) and log q (draws, rows) of draws `first` to `last`."""
        restart = self.job.restart
        z = []
        log_q = []
        for row in rows:
            q = self.q[row]
            own_z, own_log_q = draw_blocks(q, self.seeds[row], first, last, restart)
            z.append(own_z)
            log_q.append(own_log_q)
        if len(rows) == 1:
            return z[0], log_q[0]
        return torch.cat(z, 1), torch.cat(log_q, 1)


def pieces(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """The range from `first` to `last` in pieces that end at multiples of `size`.

    Example:
        >>> list(pieces(3, 10, 4))
        [(3, 4), (4, 8), (8, 10)]
    """
    next_multiple = (first // size + 1) * size
    return pairwise([first, *range(next_multiple, last, size), last])


def draw_blocks(
    q: Distribution,
    seed: int,
    first: int,
    last: int,
    restart: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """The draws from `first` to `last` of the q of one row, with their log densities.

    Returns:
        z, (draws, 1, latent_dim), and log q, (draws, 1).
    """
    blocks = range(first // BLOCK, (last - 1) // BLOCK + 1)
    start = BLOCK * blocks[0]
    wanted = slice(first - start, last - start)
    normal = as_normal(q)
    if normal is not None:
        noise = _normal_blocks(normal, seed, blocks, restart)
        noise = noise[wanted].unsqueeze(1)
        z = torch.addcmul(normal.loc, normal.scale, noise)
        return z, standard_normal(noise) - normal.scale.log().sum(-1)
    draws = []
    densities = []
    for block in blocks:
        restart(seed + block)
        z = q.sample(torch.Size([BLOCK]))
        draws.append(z)
        # at once, since a flow knows the density of its last draws only as a whole
        densities.append(q.log_prob(z))
    return torch.cat(draws)[wanted], torch.cat(densities)[wanted]


def _normal_blocks(
    normal: Normal,
    seed: int,
    blocks: range,
    restart: Callable[[int], None],
) -> Tensor:
    """Standard normal noise of whole blocks, (draws, latent_dim)."""
    latent_dim = normal.loc.shape[-1]
    noise = normal.loc.new_empty(len(blocks) * BLOCK, latent_dim)
    for block, part in zip(blocks, noise.split(BLOCK), strict=True):
        restart(seed + block)
        part.normal_()
    return noise
