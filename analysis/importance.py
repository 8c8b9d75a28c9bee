"""Importance sampling: log p(x) of each row, with its standard error."""

import math
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.analysis.fitted import evaluation, has_density, rows_of, target_of
from pyro_vae.analysis.pareto import FEWEST_DRAWS
from pyro_vae.analysis.proposals import Named, Proposal, proposal_of
from pyro_vae.analysis.reliability import LIMIT, Evidence, Summary, Until
from pyro_vae.analysis.weights import Weights
from pyro_vae.rng import own_seed, row_hash, row_seed
from pyro_vae.vae import VAE

__all__ = ["BLOCK", "Evidence", "Summary", "Until", "evidence", "log_joint", "require_density"]

BLOCK = 250
"""Draws that share one seed: always drawn whole, so that no chunk size changes them."""

_TOGETHER = 32  # rows at least whose proposals are made at once
_CACHE = {"cpu": 2**21, "cuda": 2**28}  # bytes of the widest layer of a chunk


def evidence(
    vae: VAE,
    x: Any,
    *,
    num_particles: int = 1000,
    seed: int = 0,
    proposal: Named = "guide",
    until: Until | None = None,
    retry: Named | None = None,
    chunk_size: int | None = None,
    progress: bool | None = False,
) -> Evidence:
    """Estimate log p(x) of each row by importance sampling from the guide, or from another proposal.

    log p(x) ≈ log (1/K) Σₖ p(x | zₖ) p(zₖ) / q(zₖ | x) with zₖ ~ q(z | x), k = 1, ..., K

    The sums are kept in float64 while the draws pass, so the memory does not grow with K. The draws of a row depend on
    `seed` and on the row alone: its numbers are the same in any order, batch or chunk, up to rounding.

    The mean of K weights is unbiased for p(x) with any proposal that is chosen before the draws are seen. `until` and
    `retry` look at the draws: a row that looks well by chance is left as it is, so over many seeds its mean is slightly
    low. Rows that are retried forget their first draws; given that choice, their mean of K weights is unbiased again.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        num_particles: K, exactly; with `until` the draws before the first look, which doubles them as often as needed.
        seed: of the draws.
        proposal: q: "guide", "widened", "defensive", "refined", a table {"kind": ..., options}, or a function of
            (vae, rows) to a distribution over z with batch shape (n,), which is called with one row at a time.
        until: draw more for the rows that don't meet these targets.
        retry: the proposal from which rows with a k-hat above 0.7 after K draws start again.
        chunk_size: pairs of a row and a draw that are decoded at once; None: what fits the cache by the widest layer.
        progress: show a bar; None on a terminal only.

    Returns:
        `Evidence`, an array for each quantity.

    Raises:
        ValueError: no rows or draws, a cap below num_particles, too few draws for a k-hat to retry by, rows that don't
            fit the model, an autoencoder.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> evidence(vae, torch.zeros(3, 4), num_particles=10).log_marginal.shape
        (3,)
    """
    _check(num_particles, chunk_size, until, retry)
    require_density(vae)
    first, second = proposal_of(proposal), None if retry is None else proposal_of(retry)
    pairs = chunk_size or _affordable_pairs(vae)
    with evaluation(vae):
        job = _Job(vae, vae.prior(), num_particles, until, seed, pairs, max(1, pairs // min(num_particles, BLOCK)))
        rows = rows_of(vae, x, "x", batch_size=job.group, progress=progress)
        parts = [
            _estimate(job, some, first, second)
            for batch in rows
            for some in batch.split(job.group)  # a DataLoader has a size of its own
        ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Evidence(**columns, data_size=math.prod(vae.spec.data_shape))


def _check(num_particles: int, chunk_size: int | None, until: Until | None, retry: Named | None) -> None:
    if num_particles < 1:
        raise ValueError(f"num_particles: expected at least 1, got {num_particles}")
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size: expected at least 1, or None, got {chunk_size}")
    if until is not None and until.max_particles < num_particles:
        raise ValueError(
            f"until.max_particles: expected at least num_particles = {num_particles}, got {until.max_particles}; "
            "raise the cap, or lower num_particles"
        )
    if retry is not None and num_particles < FEWEST_DRAWS:
        raise ValueError(
            f"num_particles: expected at least {FEWEST_DRAWS} with retry=, got {num_particles}: "
            "fewer have no k-hat to tell the rows that need it"
        )


def require_density(vae: VAE) -> None:
    """Raise ValueError where importance weights don't exist: a point as guide, a prior without a density."""
    if not has_density(vae):
        raise ValueError(
            f"guide {vae.spec.guide.kind!r} with prior {vae.spec.prior.kind!r} is an autoencoder: it "
            "gives one code a row and no density over z, so log p(x) does not exist for it; take guide "
            "'mean_field' and prior 'standard_normal'"
        )


@dataclass(frozen=True)
class _Job:
    """What is asked for, and how much of it is done at once."""

    vae: VAE
    prior: Distribution
    num_particles: int
    until: Until | None
    seed: int
    pairs: int
    rows: int

    @property
    def group(self) -> int:
        """Rows whose proposals are made together."""
        return self.rows * max(1, min(_TOGETHER, self.pairs // 16) // self.rows)

    @property
    def most(self) -> int:
        """The most draws that a row may get."""
        return self.num_particles if self.until is None else self.until.max_particles


def _estimate(job: _Job, x: Tensor, first: Proposal, second: Proposal | None) -> dict[str, np.ndarray]:
    """The columns of `Evidence` for some rows."""
    sampling = _Sampling(job, x, first)
    everything = np.arange(len(x))
    sampling.draw(everything, job.num_particles)
    bad = np.zeros(len(x), bool) if second is None else ~(sampling.columns()["pareto_k"] <= LIMIT)
    columns = sampling.finish(everything[~bad])
    if second is not None and bad.any():
        again = _Sampling(job, x[torch.from_numpy(bad).to(x.device)], second, "again")
        again.draw(np.arange(bad.sum()), job.num_particles)
        for name, column in again.finish(np.arange(bad.sum())).items():
            columns[name][bad] = column
    hashes = np.array([row_hash(row) for row in x], dtype=np.uint64)
    return {**columns, "retried": bad, "row_hashes": hashes}


class _Sampling:
    """Draws of some rows from one proposal, which may become more."""

    def __init__(self, job: _Job, x: Tensor, proposal: Proposal, name: str = "") -> None:
        self.job, self.x = job, x
        self.q, self.seeds = proposal.each(job.vae, x), [row_seed(row, f"{job.seed}{name}") for row in x.split(1)]
        self.weights, self.drawn = Weights.empty(len(x), job.most), 0

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
        for some in np.split(rows, range(job.rows, len(rows), job.rows)):
            size, index = max(1, job.pairs // len(some)), torch.from_numpy(some)
            x = self.x[index.to(self.x.device)]
            for first, last in _cut(self.drawn, count, max(1, size // BLOCK) * BLOCK):
                drawn = [_draw(self.q[row], self.seeds[row], first, last, self.x.device) for row in some]
                z, log_q = (torch.cat(part, 1) for part in zip(*drawn, strict=True))
                for z_chunk, log_q_chunk in zip(z.split(size), log_q.split(size), strict=True):
                    self.weights.add(log_joint(job.vae, x, z_chunk, job.prior) - log_q_chunk, index)
        self.drawn = count


def log_joint(vae: VAE, x: Tensor, z: Tensor, prior: Distribution | None = None) -> Tensor:
    """log p(x, z) = log p(z) + log p(x | z) for rows x (n, *data_shape) and draws z (draws, n, latent_dim).

    A prior that is made once, `vae.prior()`, saves making it again for each chunk of draws.
    """
    density: Tensor = (vae.prior() if prior is None else prior).log_prob(z) + vae.likelihood(z).log_prob(x)
    return density


def _cut(first: int, last: int, size: int) -> Iterator[tuple[int, int]]:
    """The range from `first` to `last` in pieces that end at multiples of `size`."""
    return pairwise([first, *range((first // size + 1) * size, last, size), last])


def _draw(q: Distribution, seed: int, first: int, last: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The draws from `first` to `last` of one row's q, (draws, 1, latent_dim), and their log densities, (draws, 1)."""
    parts = []
    for start, stop in _cut(first, last, BLOCK):
        block = start // BLOCK
        with own_seed(seed + block, device):
            z = q.sample((BLOCK,))
        wanted = slice(start - block * BLOCK, stop - block * BLOCK)
        parts.append((z[wanted], q.log_prob(z)[wanted]))  # a flow knows the density of its last draw only as a whole
    z, log_q = (torch.cat(part) for part in zip(*parts, strict=True))
    return z, log_q


def _affordable_pairs(vae: VAE) -> int:
    """Pairs of a row and a draw whose widest layer fits into the processor's cache: larger chunks are slower."""
    target = target_of(vae)
    sizes = [math.prod(vae.spec.data_shape)]

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            sizes.append(output.numel())

    with evaluation(vae), ExitStack() as hooks:
        for module in vae.likelihood.modules():
            hooks.enter_context(module.register_forward_hook(note))
        vae.likelihood(torch.zeros((1, vae.spec.latent_dim), dtype=target.dtype, device=target.device))
    cache = _CACHE.get(target.device.type, max(_CACHE.values()))
    return int(np.clip(cache // (max(sizes) * target.dtype.itemsize), 1, 2**14))
