"""log p(x) with a proposal for each row that is as elaborate as the row needs, and no more.

1. `refined`: a Student t about the normal that the row's own ELBO prefers, with shares of the guide
   and of the prior.
2. `several starts`: for rows that 1. leaves untrusted, fits from the guide and from the candidates
   that the fits before miss the most.
3. `more draws`: from the same proposal, twice as many again and again, up to a cap.
4. `annealed`: annealed importance sampling from that proposal to the posterior.

The fits are functions of the row, not of random draws.
"""

from collections.abc import Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import Columns, concatenated
from pyro_vae.analysis.marginal_likelihood.annealed_rows import anneal, merged
from pyro_vae.analysis.marginal_likelihood.job import Job
from pyro_vae.analysis.marginal_likelihood.mixture_sampling import MixtureSampling
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.row_checkpoint import RowCheckpoint
from pyro_vae.analysis.marginal_likelihood.starts import (
    exact_guide,
    fit_from_guide,
    fit_from_several,
)

CONTRADICTED = 5.0
"""Nats by which an unbiased estimate is above log p(x) with probability below exp(-5).

Another estimate that is lower by more is too low.
"""
QUEUE = 32
"""Rows that are estimated a second time together."""


def automatic(
    job: Job, batches: Iterable[Tensor], checkpoint: RowCheckpoint
) -> Columns:
    """The columns of `Evidence` for batches of rows, those of the checkpoint among them."""
    parts = []
    queue = _Queue(job, checkpoint)
    num_done = 0
    for x in batches:
        part = checkpoint.columns("first", x, partial(first_estimate, job, x))
        parts.append(part)
        is_done = part.pop("converged") & _satisfied(job, part)
        again = np.flatnonzero(~is_done)
        x_again = x[torch.from_numpy(again).to(x.device)]
        queue.add(num_done + again, x_again, part["log_marginal"][again])
        num_done += len(x)
    queue.flush()
    columns = concatenated(parts)
    for positions, second in queue.results:
        columns = _replaced(columns, positions, second)
    columns["reached"] = _reached(job, columns)
    columns["retried"] = np.isin(
        columns["method"], ("several starts", "more draws", "annealed")
    )
    return columns


def _reached(job: Job, columns: Columns) -> np.ndarray:
    """What ended the draws of each row."""
    if job.until is None:
        return np.full(len(columns["se"]), "num_particles")
    return np.where(_satisfied(job, columns), "target", "cap")


def _replaced(columns: Columns, rows: np.ndarray, new: Columns) -> Columns:
    """The columns with new values at some rows; text as wide as the widest."""
    replaced = dict(columns)
    for name, values in new.items():
        column = columns[name].astype(np.result_type(columns[name], values))
        column[rows] = values
        replaced[name] = column
    return replaced


class _Queue:
    """Rows that need a second estimate, which is made for a few together."""

    def __init__(self, job: Job, checkpoint: RowCheckpoint) -> None:
        self.job = job
        self.checkpoint = checkpoint
        self.positions: list[int] = []
        self.rows: list[Tensor] = []
        self.first: list[float] = []
        self.results: list[tuple[np.ndarray, Columns]] = []

    def add(
        self,
        positions: np.ndarray,
        rows: Tensor,
        log_marginal: np.ndarray,
    ) -> None:
        """Add rows, with their positions in the data and their first estimates."""
        self.positions += positions.tolist()
        self.rows += rows.unbind()
        self.first += log_marginal.tolist()
        while len(self.rows) >= QUEUE:
            self._estimate(QUEUE)

    def flush(self) -> None:
        """Estimate what is left."""
        if self.rows:
            self._estimate(len(self.rows))

    def _estimate(self, count: int) -> None:
        positions = np.array(self.positions[:count])
        first = np.array(self.first[:count])
        x = torch.stack(self.rows[:count])
        estimate = partial(second_estimate, self.job, x, first)
        columns = self.checkpoint.columns("second", x, estimate)
        self.results.append((positions, columns))
        del self.positions[:count], self.rows[:count], self.first[:count]


def first_estimate(job: Job, x: Tensor) -> Columns:
    """The columns of rows from the guide where it is the posterior, else from refined proposals."""
    exact = exact_guide(job.vae, x, job.eager_joint).cpu().numpy()
    fits = fit_from_guide(job.vae, x, job.slope, job.lowest_log_prior)
    sampling = MixtureSampling(job, x, fits, f"{job.seed}")
    sampling.draw(np.flatnonzero(~exact), job.num_particles)
    sampling.draw_guide(np.flatnonzero(exact), job.num_particles)
    elsewhere = "refined" if fits.each else "defensive"
    return {
        **sampling.columns(),
        "method": np.where(exact, "guide", elsewhere),
        "upper": np.full(len(x), np.nan),
        "converged": fits.converged.cpu().numpy() | exact,
    }


def second_estimate(job: Job, x: Tensor, first: np.ndarray) -> Columns:
    """The columns of rows that a refined proposal leaves untrusted, or whose fit may have diverged.

    Arguments:
        job: what is asked for.
        x: the rows.
        first: log p(x) from the first estimate: a second one far below it is not trusted.
    """
    fits = fit_from_several(job.vae, x, job.slope, job.eager_joint, job.candidates)
    sampling = MixtureSampling(job, x, fits, f"{job.seed} several starts")
    columns = _with_more_draws(job, sampling)
    columns["upper"] = np.full(len(x), np.nan)
    _distrust_contradicted(columns, first)
    untrusted = np.flatnonzero(~_trusted(columns))
    # without fits z may be bounded or on a lattice, where no chain can move
    if len(untrusted) and fits.each:
        before = {name: column[untrusted] for name, column in columns.items()}
        annealed = merged(before, _annealed(job, sampling, untrusted))
        columns = _replaced(columns, untrusted, annealed)
        _distrust_contradicted(columns, first)
    return columns


def _with_more_draws(job: Job, sampling: MixtureSampling) -> Columns:
    """The columns after twice as many draws, again and again, for rows that are not satisfied."""
    every = np.arange(len(sampling.x))
    method = np.full(len(every), "several starts")
    count = job.num_particles
    sampling.draw(every, count)
    columns = sampling.columns()
    rows = every[~_satisfied(job, columns)]
    while len(rows) and count < job.cap:
        count = min(2 * count, job.cap)
        sampling.draw(rows, count)
        method[rows] = "more draws"
        columns = sampling.columns()
        rows = every[~_satisfied(job, columns)]
    return {**columns, "method": method}


def _distrust_contradicted(columns: Columns, first: np.ndarray) -> None:
    """A k-hat of infinity for rows whose log p(x) is far below another unbiased estimate."""
    contradicted = columns["log_marginal"] < first - CONTRADICTED
    columns["pareto_k"] = np.where(contradicted, np.inf, columns["pareto_k"])


def _annealed(
    job: Job,
    sampling: MixtureSampling,
    rows: np.ndarray,
) -> Columns:
    """The columns that annealing changes, of some rows."""
    proposals = sampling.proposals(rows)

    def sampler(seeds: list[int], chains: int) -> Tensor:
        return sampling.drawn(rows, proposals, seeds, 0, chains).z

    x = sampling.x[torch.from_numpy(rows).to(sampling.x.device)]
    return anneal(job.vae, x, proposals, sampler, job.seed)


def _trusted(columns: Columns) -> np.ndarray:
    return np.asarray(columns["pareto_k"] <= khat_limit(columns["num_particles"]))


def _satisfied(job: Job, columns: Columns) -> np.ndarray:
    """Whether rows need nothing more: they are trusted, and as precise as was asked for."""
    trusted = _trusted(columns)
    if job.until is None or job.until.se is None:
        return trusted
    return trusted & (columns["se"] <= job.until.se)
