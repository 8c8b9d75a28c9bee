"""Draws of rows from their own mixture proposals, and the weights that they give."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.fitted import Columns, posterior_of
from pyro_vae.analysis.marginal_likelihood.job import BLOCK, Job
from pyro_vae.analysis.marginal_likelihood.proposals import as_normal
from pyro_vae.analysis.marginal_likelihood.row_draws import draw_blocks, pieces
from pyro_vae.analysis.marginal_likelihood.row_noise import NoiseMaker, RowNoise
from pyro_vae.analysis.marginal_likelihood.row_proposals import (
    Draws,
    GuideDraws,
    RowProposals,
    drawn_from,
)
from pyro_vae.analysis.marginal_likelihood.starts import Fits
from pyro_vae.analysis.marginal_likelihood.weights import Strata, Weights
from pyro_vae.rng import row_seed

GUIDE_DRAWS = 100
"""For the ELBO of a guide that has no share in the proposal."""
PIECE = 4096
"""Pairs of a row and a draw whose prior and proposal densities are computed at once."""


class WeightedDraws(NamedTuple):
    """Draws of some rows, with log p(x, z) and log p(x, z) - log r(z), (draws, rows), float64."""

    draws: Draws
    log_joint: Tensor
    log_weights: Tensor


class MixtureSampling:
    """Draws of some rows from their proposals, which may become more.

    Arguments:
        job: what is asked for.
        x: the rows, (n, *data_shape).
        fits: of each row.
        purpose: what the draws are for; with the row itself it makes their seed.
    """

    def __init__(
        self,
        job: Job,
        x: Tensor,
        fits: Fits,
        purpose: str,
    ) -> None:
        self.job = job
        self.x = x
        self.fits = fits
        self.seeds = [row_seed(row, purpose) for row in x.split(1)]
        self.weights = Weights.empty(len(x), job.cap, x.dtype)
        self.strata = Strata.empty(len(x), len(fits.each) + 2)
        self.guide_sum = np.zeros(len(x))
        self.guide_count = np.zeros(len(x))

    def proposals(self, rows: np.ndarray) -> RowProposals:
        """The proposals of some rows."""
        job = self.job
        index = torch.from_numpy(rows).to(self.x.device)
        fits = [fit.of_rows(index) for fit in self.fits.each]
        weights = self.fits.weights[index]
        return RowProposals.of(
            fits, weights, self._guide_of(index), job.prior, job.pool
        )

    def _guide_of(self, index: Tensor) -> Distribution:
        """q(z | x) of some rows; where it is normal, all rows were encoded together."""
        if self._normal is None:
            return posterior_of(self.job.vae, self.x[index])
        loc, scale = self._normal
        return dist.Normal(loc[index], scale[index]).to_event(1)

    @cached_property
    def _normal(self) -> tuple[Tensor, Tensor] | None:
        """Mean and standard deviation of the guide of each row, where it is normal."""
        normal = as_normal(posterior_of(self.job.vae, self.x))
        return None if normal is None else (normal.loc, normal.scale)

    def columns(self) -> Columns:
        """The columns of the draws so far."""
        columns = self.weights.columns()
        # rows without strata have draws from the guide alone
        has_strata = self.strata.count.sum(1).numpy() > 0
        se = np.where(has_strata, self.strata.se(), columns["se"])
        with np.errstate(invalid="ignore"):
            elbo = self.guide_sum / self.guide_count
        return {**columns, "se": se, "elbo": elbo, "proposal_elbo": columns["elbo"]}

    def draw(self, rows: np.ndarray, count: int) -> None:
        """Draw for `rows`, which have equally many draws, until each has `count`."""
        if not len(rows):
            return
        first = int(self.weights.count[rows[0]])
        size = max(1, PIECE // min(count - first, PIECE))
        for some in np.split(rows, range(size, len(rows), size)):
            proposals = self.proposals(some)
            for start, stop in pieces(first, count, PIECE):
                self._draw(some, proposals, start, stop)
            if first == 0 and not proposals.mixes_guide:
                few = min(count, GUIDE_DRAWS)
                log_weights = self._from_guide(some, proposals.guide, 0, few)
                self._add_guide(some, log_weights)

    def draw_guide(self, rows: np.ndarray, count: int) -> None:
        """Draw for `rows` from the guide alone."""
        for row in rows.reshape(-1, 1):
            guide = posterior_of(self.job.vae, self.x[torch.from_numpy(row)])
            log_weights = self._from_guide(row, guide, 0, count)
            self.weights.add(log_weights, torch.from_numpy(row))
            self._add_guide(row, log_weights)

    def _draw(
        self,
        rows: np.ndarray,
        proposals: RowProposals,
        first: int,
        last: int,
    ) -> None:
        """Draw `first` to `last` of some rows, and add their weights."""
        index = torch.from_numpy(rows)
        draws, log_joint, log_weights = self.weighted(rows, proposals, first, last)
        self.weights.add(log_weights, index)
        self.strata.add(log_weights, draws.component, index)
        if proposals.mixes_guide:
            self._add_guide(rows, log_joint - draws.log_guide, draws.from_guide)

    def weighted(
        self,
        rows: np.ndarray,
        proposals: RowProposals,
        first: int,
        last: int,
    ) -> WeightedDraws:
        """Draws `first` to `last` of some rows, with their weights."""
        seeds = [self.seeds[row] for row in rows]
        draws = self.drawn(rows, proposals, seeds, first, last)
        log_prior, log_likelihood = self._log_densities(rows, draws.z)
        log_joint = (log_prior + log_likelihood).double()
        log_weights = log_joint - proposals.log_prob_of(draws, log_prior)
        log_weights = log_weights.nan_to_num(-torch.inf, torch.inf, -torch.inf)
        return WeightedDraws(draws, log_joint, log_weights)

    def drawn(
        self,
        rows: np.ndarray,
        proposals: RowProposals,
        seeds: list[int],
        first: int,
        last: int,
    ) -> Draws:
        """Draws `first` to `last` of some rows from their proposals, under a seed for each."""
        noise = self._noise(seeds, first, last)
        guide_draws = None
        if proposals.mixes_guide:
            guide_draws = self._guide_draws(
                rows, proposals.guide, noise, seeds, first, last
            )
        return proposals.draw(noise, guide_draws)

    def _from_guide(
        self,
        rows: np.ndarray,
        guide: Distribution,
        first: int,
        last: int,
    ) -> Tensor:
        """log p(x, z) - log q(z | x) of draws from the guide, (draws, rows)."""
        seeds = [self.seeds[row] for row in rows]
        noise = self._noise(seeds, first, last)
        draws = self._guide_draws(rows, guide, noise, seeds, first, last)
        log_prior, log_likelihood = self._log_densities(rows, draws.z)
        return (log_prior + log_likelihood).double() - draws.log_prob

    def _noise(self, seeds: list[int], first: int, last: int) -> RowNoise:
        pool = self.job.pool
        maker = NoiseMaker(BLOCK, self.job.restart, pool, len(pool))
        return maker.draw(seeds, first, last)

    def _guide_draws(
        self,
        rows: np.ndarray,
        guide: Distribution,
        noise: RowNoise,
        seeds: list[int],
        first: int,
        last: int,
    ) -> GuideDraws:
        """Draws of the guide from the noise, or in blocks of their own where it can't be used."""
        from_noise = drawn_from(guide, noise.normal)
        if from_noise is not None:
            return from_noise
        z = []
        log_prob = []
        for row, seed in zip(rows, seeds, strict=True):
            q = posterior_of(self.job.vae, self.x[row : row + 1])
            own_z, own_log_prob = draw_blocks(q, seed, first, last, self.job.restart)
            z.append(own_z)
            log_prob.append(own_log_prob)
        return GuideDraws(torch.cat(z, 1), torch.cat(log_prob, 1))

    def _log_densities(self, rows: np.ndarray, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p(z) and log p(x | z), (draws, rows), as many pairs at once as the cache holds."""
        job = self.job
        groups = np.split(rows, range(job.rows, len(rows), job.rows))
        columns = []
        for some, z_of_some in zip(groups, z.split(job.rows, 1), strict=True):
            x = self.x[torch.from_numpy(some).to(self.x.device)]
            chunks = z_of_some.split(job.draws)
            parts = [job.log_densities(x, chunk) for chunk in chunks]
            columns.append(torch.cat(parts))
        log_prior, log_likelihood = torch.cat(columns, 1).unbind(-1)
        return log_prior, log_likelihood

    def _add_guide(
        self,
        rows: np.ndarray,
        log_weights: Tensor,
        which: Tensor | None = None,
    ) -> None:
        """Add log p(x, z) - log q(z | x) of draws from the guide, (draws, rows)."""
        if which is None:
            which = torch.ones_like(log_weights, dtype=torch.bool)
        total = torch.where(which, log_weights, 0.0).sum(0)
        self.guide_sum[rows] += total.cpu().numpy()
        self.guide_count[rows] += which.sum(0).cpu().numpy()
