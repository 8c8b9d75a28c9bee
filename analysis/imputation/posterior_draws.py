"""Weighted draws of z given the observed cells of a row, as `evidence` makes them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.annealed_rows import forward_chains
from pyro_vae.analysis.marginal_likelihood.automatic import CONTRADICTED
from pyro_vae.analysis.marginal_likelihood.job import Job
from pyro_vae.analysis.marginal_likelihood.mixture_sampling import (
    PIECE,
    MixtureSampling,
)
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.row_draws import pieces
from pyro_vae.analysis.marginal_likelihood.starts import (
    fit_from_guide,
    fit_from_several,
)
from pyro_vae.analysis.marginal_likelihood.weights import Weights
from pyro_vae.inputs import own_part

NUM_CHAINS = 400
"""Of annealing: more than for log p(x), since quantiles are read from their ends."""


class PosteriorDraws(NamedTuple):
    """Weighted draws of z for some rows: Σₖ wₖ f(zₖ) / Σₖ wₖ ≈ E[f(z) | x_observed].

    Attributes:
        rows: their positions in the group, (r,).
        z: (draws, r, latent_dim).
        log_weights: log p(x_o, z) - log r(z), (draws, r), in float64.
        log_marginal: log p(x_o), (r,).
        pareto_k: of the weights, (r,); -inf where they are all equal.
        ess: effective number of draws, (r,).
    """

    rows: np.ndarray
    z: Tensor
    log_weights: Tensor
    log_marginal: np.ndarray
    pareto_k: np.ndarray
    ess: np.ndarray

    @property
    def weights(self) -> Tensor:
        """wₖ / Σ w, (draws, r); equal ones where all weights are zero."""
        equal = 1 / len(self.log_weights)
        return self.log_weights.softmax(0).nan_to_num(equal)

    @property
    def trusted(self) -> np.ndarray:
        """Whether k-hat is at most its limit for that number of draws."""
        return self.pareto_k <= khat_limit(np.array(len(self.z)))


def posterior_draws(job: Job, x: Tensor) -> Iterator[PosteriorDraws]:
    """Draws for a group of rows, in parts; each row is in one of them.

    The proposals are those of `evidence`: "refined" ones at first; for rows that these leave
    untrusted ones from several starts, with up to 16 times the draws; and then annealed chains.
    Rows without an observed cell have draws from the prior, which is their posterior.

    Arguments:
        job: what is asked for.
        x: rows, (n, *data_shape), of which a missing cell is nan; (x, c) with a context.
    """
    is_empty = own_part(job.vae, x).isnan().flatten(1).all(1).cpu().numpy()
    if job.vae.spec.self_masking is not None:  # the mask says something of z
        is_empty = np.zeros_like(is_empty)
    empty = np.flatnonzero(is_empty)
    others = np.flatnonzero(~is_empty)
    if len(empty):
        yield _of_prior(job, empty)
    if len(others):
        for part in _of_rows(job, _taken(x, others)):
            yield part._replace(rows=others[part.rows])


def _taken(x: Tensor, rows: np.ndarray) -> Tensor:
    return x[torch.from_numpy(rows).to(x.device)]


def _of_prior(job: Job, rows: np.ndarray) -> PosteriorDraws:
    """Draws of rows without an observed cell; as many at once as memory allows."""
    z = job.prior.sample(torch.Size([job.num_particles, len(rows)]))
    zeros = torch.zeros(z.shape[:2], dtype=torch.float64, device=z.device)
    log_marginal = np.zeros(len(rows))
    count = np.full(len(rows), float(job.num_particles))
    return PosteriorDraws(
        rows, z, zeros, log_marginal, np.full(len(rows), -np.inf), count
    )


def _of_rows(job: Job, x: Tensor) -> Iterator[PosteriorDraws]:
    fits = fit_from_guide(job.vae, x, job.slope, job.lowest_log_prior)
    sampling = MixtureSampling(job, x, fits, f"{job.seed}")
    converged = fits.converged.cpu().numpy()
    size = max(1, PIECE // job.num_particles)
    every = np.arange(len(x))
    again: dict[int, float] = {}
    for some in np.split(every, range(size, len(x), size)):
        part = _drawn(sampling, some, job.num_particles)
        is_done = part.trusted & converged[some]
        again |= dict(zip(some[~is_done], part.log_marginal[~is_done], strict=True))
        if is_done.any():
            yield _chosen(part, is_done)
    if again:
        rows = np.array(list(again))
        for part in _from_several_starts(
            job, _taken(x, rows), np.array(list(again.values()))
        ):
            yield part._replace(rows=rows[part.rows])


def _from_several_starts(
    job: Job, x: Tensor, first: np.ndarray
) -> Iterator[PosteriorDraws]:
    """Twice as many draws, again and again, for rows that the first proposals leave untrusted.

    Rows that are not trusted after that are annealed from the same proposals.
    """
    fits = fit_from_several(job.vae, x, job.slope, job.eager_joint, job.candidates)
    sampling = MixtureSampling(job, x, fits, f"{job.seed} several starts")
    untrusted = {}
    for row in range(len(x)):
        count = job.num_particles
        part = _drawn(sampling, np.array([row]), count)
        while not part.trusted.all() and count < job.cap:
            count = min(2 * count, job.cap)
            part = _drawn(sampling, np.array([row]), count)
        is_too_low = part.log_marginal < first[row] - CONTRADICTED
        part = part._replace(pareto_k=np.where(is_too_low, np.inf, part.pareto_k))
        # without fits z may be bounded or on a lattice, where no chain can move
        if part.trusted.all() or not fits.each:
            yield part
        else:
            untrusted[row] = part
    if untrusted:
        yield from _annealed(job, sampling, untrusted, first)


def _annealed(
    job: Job,
    sampling: MixtureSampling,
    before: dict[int, PosteriorDraws],
    first: np.ndarray,
) -> Iterator[PosteriorDraws]:
    """Chains to the posterior of each row; the draws before them where these are not trusted."""
    rows = np.array(list(before))
    proposals = sampling.proposals(rows)

    def sampler(seeds: list[int], chains: int) -> Tensor:
        return sampling.drawn(rows, proposals, seeds, 0, chains).z

    x = _taken(sampling.x, rows)
    found = forward_chains(job.vae, x, proposals, sampler, job.seed, NUM_CHAINS).chains
    for index, row in enumerate(rows.tolist()):
        own = slice(index, index + 1)
        log_weights = found.log_weight[:, own].double()
        part = _weighed(np.array([row]), found.end[:, own], log_weights, x.dtype)
        is_too_low = part.log_marginal < first[row] - CONTRADICTED
        is_better = part.trusted.all() and not is_too_low.any()
        yield part if is_better else before[row]


def _drawn(sampling: MixtureSampling, rows: np.ndarray, count: int) -> PosteriorDraws:
    """The first `count` draws of some rows, and what their weights say."""
    proposals = sampling.proposals(rows)
    z = []
    log_weights = []
    for start, stop in pieces(0, count, PIECE):
        found = sampling.weighted(rows, proposals, start, stop)
        z.append(found.draws.z)
        log_weights.append(found.log_weights)
    return _weighed(rows, torch.cat(z), torch.cat(log_weights), sampling.x.dtype)


def _weighed(
    rows: np.ndarray, z: Tensor, log_weights: Tensor, dtype: torch.dtype
) -> PosteriorDraws:
    """Draws with what their weights say."""
    weights = Weights.empty(len(rows), len(z), dtype)
    weights.add(log_weights)
    numbers = weights.columns()
    return PosteriorDraws(
        rows,
        z,
        log_weights,
        numbers["log_marginal"],
        numbers["pareto_k"],
        numbers["ess"],
    )


def _chosen(part: PosteriorDraws, which: np.ndarray) -> PosteriorDraws:
    """The draws of some of the rows."""
    if which.all():
        return part
    index = torch.from_numpy(which).to(part.z.device)
    return PosteriorDraws(
        part.rows[which],
        part.z[:, index],
        part.log_weights[:, index],
        part.log_marginal[which],
        part.pareto_k[which],
        part.ess[which],
    )
