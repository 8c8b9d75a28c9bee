"""log p(x) with a proposal for each row that is as elaborate as the row needs, and no more.

1. `refined`: a Student t about the normal that the row's own ELBO prefers, with shares of the guide
and the prior. 2. `several starts`: for rows that 1. leaves untrusted, fits from the guide and from
the places that those before miss
   the most.
3. `more draws`: from the same proposal, twice as many again and again, up to a cap.
4. `annealed`: annealed importance sampling from that proposal to the posterior.

The fits are functions of the row, not of random draws.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.fitted import posterior_of
from pyro_vae.analysis.marginal_likelihood.annealed_rows import anneal, merged
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.marginal_likelihood.row_draws import BLOCK, Job, cut, draw_blocks
from pyro_vae.analysis.marginal_likelihood.row_proposals import (
    Drawn,
    Draws,
    NoiseMaker,
    RowProposals,
    drawn_from,
)
from pyro_vae.analysis.marginal_likelihood.starts import (
    Fits,
    exact_guide,
    fit_from_guide,
    fit_from_several,
)
from pyro_vae.analysis.marginal_likelihood.student_t import RowNoise
from pyro_vae.analysis.marginal_likelihood.weights import Strata, Weights
from pyro_vae.rng import row_seed

CONTRADICTED = 5.0
"""Nats that an unbiased estimate is above log p(x) with probability below exp(-5): then another one
is too low.
"""
GUIDE_DRAWS = 100
"""For the ELBO of a guide that has no share in the proposal."""
WAITING = 32
"""Rows that are looked at again together."""
PIECE = 4096
"""Pairs of a row and a draw whose prior and proposal densities are computed at once."""

Columns = dict[str, np.ndarray]


def automatic(job: Job, batches: Iterable[Tensor]) -> Columns:
    """The columns of `Evidence` for batches of rows."""
    looks, again, done = [], _Waiting(job), 0
    for x in batches:
        found = first_look(job, x)
        looks.append(found)
        needy = np.flatnonzero(~(found.pop("arrived") & _satisfied(job, found)))
        again.add(
            done + needy, x[torch.from_numpy(needy).to(x.device)], found["log_marginal"][needy]
        )
        done += len(x)
    again.flush()
    columns = {name: np.concatenate([found[name] for found in looks]) for name in looks[0]}
    for rows, found in again.results:
        for name, column in found.items():
            columns[name] = _assigned(columns[name], rows, column)
    columns["reached"] = _ends(job, columns)
    columns["retried"] = np.isin(columns["method"], ("several starts", "more draws", "annealed"))
    return columns


def _ends(job: Job, columns: Columns) -> np.ndarray:
    """What ended the draws of each row."""
    if job.until is None:
        return np.full(len(columns["se"]), "num_particles")
    return np.where(_satisfied(job, columns), "target", "cap")


def _assigned(column: np.ndarray, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The column with other values at some rows; text as wide as the widest."""
    column = column.astype(np.result_type(column, values))
    column[rows] = values
    return column


class _Waiting:
    """Rows that need a second look, a few together."""

    def __init__(self, job: Job) -> None:
        self.job, self.results = job, list[tuple[np.ndarray, Columns]]()
        self.positions, self.rows, self.first = list[int](), list[Tensor](), list[float]()

    def add(self, positions: np.ndarray, rows: Tensor, log_marginal: np.ndarray) -> None:
        """Rows at some positions, and what the first look said of them."""
        self.positions += positions.tolist()
        self.rows += rows.unbind()
        self.first += log_marginal.tolist()
        while len(self.rows) >= WAITING:
            self._look(WAITING)

    def flush(self) -> None:
        if self.rows:
            self._look(len(self.rows))

    def _look(self, count: int) -> None:
        positions, first = np.array(self.positions[:count]), np.array(self.first[:count])
        found = second_look(self.job, torch.stack(self.rows[:count]), first)
        self.results.append((positions, found))
        for waiting in (self.positions, self.rows, self.first):
            del waiting[:count]


def first_look(job: Job, x: Tensor) -> Columns:
    """The columns of rows from the guide where it is the posterior, and from refined proposals
    elsewhere.
    """
    exact = exact_guide(job.vae, x, job.eager_joint).cpu().numpy()
    fits = fit_from_guide(job.vae, x, job.slope, job.lowest_log_prior)
    refined = MixtureSampling(job, x, fits, f"{job.seed}")
    refined.draw(np.flatnonzero(~exact), job.num_particles)
    refined.draw_guide(np.flatnonzero(exact), job.num_particles)
    columns = refined.columns()
    method = np.where(exact, "guide", "refined" if fits.each else "defensive")
    arrived = fits.arrived.cpu().numpy() | exact
    return {**columns, "method": method, "upper": np.full(len(x), np.nan), "arrived": arrived}


def second_look(job: Job, x: Tensor, first: np.ndarray) -> Columns:
    """The columns of rows that a refined proposal left untrusted, or whose fit may have gone
    astray.

    Arguments:
        job: what is asked for.
        x: the rows.
        first: log p(x) from the first look: a second one far below is not trusted.
    """
    fits = fit_from_several(job.vae, x, job.slope, job.eager_joint, job.places)
    sampling = MixtureSampling(job, x, fits, f"{job.seed} several starts")
    everything = np.arange(len(x))
    sampling.draw(everything, job.num_particles)
    columns = {**sampling.columns(), "method": np.full(len(x), "several starts")}
    needy, cap = everything[~_satisfied(job, columns)], job.cap
    count = job.num_particles
    while len(needy) and count < cap:
        count = min(2 * count, cap)
        sampling.draw(needy, count)
        columns = {**sampling.columns(), "method": columns["method"]}
        columns["method"] = _assigned(columns["method"], needy, np.full(len(needy), "more draws"))
        needy = everything[~_satisfied(job, columns)]
    columns["upper"] = np.full(len(x), np.nan)
    _distrust_contradicted(columns, first)
    untrusted = np.flatnonzero(~_trusted(columns))
    if (
        len(untrusted) and fits.each
    ):  # without fits z may be bounded or on a lattice, where no chain can move
        before = {name: column[untrusted] for name, column in columns.items()}
        annealed = merged(before, _annealed(job, sampling, untrusted))
        for name, column in annealed.items():
            columns[name] = _assigned(columns[name], untrusted, column)
        _distrust_contradicted(columns, first)
    return columns


def _distrust_contradicted(columns: Columns, first: np.ndarray) -> None:
    """A k-hat of infinity for rows whose log p(x) is far below another unbiased estimate."""
    contradicted = columns["log_marginal"] < first - CONTRADICTED
    columns["pareto_k"] = np.where(contradicted, np.inf, columns["pareto_k"])


def _annealed(job: Job, sampling: "MixtureSampling", rows: np.ndarray) -> Columns:
    """The columns that annealing changes, of some rows."""
    proposals = sampling.proposals(rows)

    def starts(seeds: list[int], chains: int) -> Tensor:
        return sampling.drawn(rows, proposals, seeds, 0, chains).z

    x = sampling.x[torch.from_numpy(rows).to(sampling.x.device)]
    return anneal(job.vae, x, proposals, starts, job.seed)


def _trusted(columns: Columns) -> np.ndarray:
    return np.asarray(columns["pareto_k"] <= khat_limit(columns["num_particles"]))


def _satisfied(job: Job, columns: Columns) -> np.ndarray:
    """Whether rows need nothing more: they are trusted, and as precise as was asked for."""
    precise = True if job.until is None or job.until.se is None else columns["se"] <= job.until.se
    return _trusted(columns) & precise


class MixtureSampling:
    """Draws of some rows from their proposals, which may become more.

    Arguments:
        job: what is asked for.
        x: the rows, (n, *data_shape).
        fits: of each row.
        purpose: what the draws are for; with the row itself it makes their seed.
    """

    def __init__(self, job: Job, x: Tensor, fits: Fits, purpose: str) -> None:
        self.job, self.x, self.fits = job, x, fits
        self.seeds = [row_seed(row, purpose) for row in x.split(1)]
        self.weights = Weights.empty(len(x), job.cap, x.dtype)
        self.strata = Strata.empty(len(x), len(fits.each) + 2)
        self.guide_sum, self.guide_count = np.zeros(len(x)), np.zeros(len(x))

    def proposals(self, rows: np.ndarray) -> RowProposals:
        """Of some rows."""
        index = torch.from_numpy(rows).to(self.x.device)
        fits = [type(fit)(fit.loc[index], fit.scale_tril[index]) for fit in self.fits.each]
        guide = posterior_of(self.job.vae, self.x[index])
        return RowProposals.of(fits, self.fits.weights[index], guide, self.job.prior, self.job.pool)

    def columns(self) -> Columns:
        columns = self.weights.columns()
        mixed = self.strata.count.sum(1).numpy() > 0  # the others are draws from the guide alone
        columns["se"] = np.where(mixed, self.strata.se(), columns["se"])
        with np.errstate(invalid="ignore"):
            elbo = self.guide_sum / self.guide_count
        return {**columns, "elbo": elbo, "proposal_elbo": columns["elbo"]}

    def draw(self, rows: np.ndarray, count: int) -> None:
        """Draw for `rows`, which have equally many draws, until each has `count`."""
        if not len(rows):
            return
        first = int(self.weights.count[rows[0]])
        few = max(1, PIECE // min(count - first, PIECE))
        for some in np.split(rows, range(few, len(rows), few)):
            proposals = self.proposals(some)
            for start, stop in cut(first, count, PIECE):
                self._draw(some, proposals, start, stop)
            if first == 0 and not proposals.mixes_guide:
                self._add_guide(
                    some, self._from_guide(some, proposals.guide, 0, min(count, GUIDE_DRAWS))
                )

    def draw_guide(self, rows: np.ndarray, count: int) -> None:
        """Draw for `rows` from the guide alone."""
        for row in rows.reshape(-1, 1):
            guide = posterior_of(self.job.vae, self.x[torch.from_numpy(row)])
            log_weights = self._from_guide(row, guide, 0, count)
            self.weights.add(log_weights, torch.from_numpy(row))
            self._add_guide(row, log_weights)

    def _draw(self, rows: np.ndarray, proposals: RowProposals, first: int, last: int) -> None:
        draws = self.drawn(rows, proposals, [self.seeds[row] for row in rows], first, last)
        log_joint = (draws.log_prior + self._log_likelihood(rows, draws.z)).double()
        log_weights = (log_joint - draws.log_proposal).nan_to_num(-torch.inf, torch.inf, -torch.inf)
        self.weights.add(log_weights, torch.from_numpy(rows))
        self.strata.add(log_weights, draws.component, torch.from_numpy(rows))
        if proposals.mixes_guide:
            self._add_guide(rows, log_joint - draws.log_guide, draws.from_guide)

    def drawn(
        self, rows: np.ndarray, proposals: RowProposals, seeds: list[int], first: int, last: int
    ) -> Draws:
        """Draws `first` to `last` of some rows from their proposals, under a seed for each."""
        noise = self._noise(seeds, first, last)
        if not proposals.mixes_guide:
            return proposals.draw(noise, None)
        return proposals.draw(
            noise, self._guide_draws(rows, proposals.guide, noise, seeds, first, last)
        )

    def _from_guide(self, rows: np.ndarray, guide: Distribution, first: int, last: int) -> Tensor:
        """log p(x, z) - log q(z | x) of draws from the guide, (draws, rows)."""
        seeds = [self.seeds[row] for row in rows]
        drawn = self._guide_draws(rows, guide, self._noise(seeds, first, last), seeds, first, last)
        log_joint = self.job.prior.log_prob(drawn.z) + self._log_likelihood(rows, drawn.z)
        return log_joint.double() - drawn.log_prob

    def _noise(self, seeds: list[int], first: int, last: int) -> RowNoise:
        pool = self.job.pool
        return NoiseMaker(BLOCK, self.job.restart, pool, len(pool)).draw(seeds, first, last)

    def _guide_draws(
        self,
        rows: np.ndarray,
        guide: Distribution,
        noise: RowNoise,
        seeds: list[int],
        first: int,
        last: int,
    ) -> Drawn:
        drawn = drawn_from(guide, noise.normal)
        if drawn is not None:
            return drawn
        each = [posterior_of(self.job.vae, self.x[row : row + 1]) for row in rows]
        pairs = zip(each, seeds, strict=True)
        parts = [draw_blocks(q, seed, first, last, self.job.restart) for q, seed in pairs]
        return Drawn(*(torch.cat(part, 1) for part in zip(*parts, strict=True)))

    def _log_likelihood(self, rows: np.ndarray, z: Tensor) -> Tensor:
        """log p(x | z), as many pairs at once as the cache holds, (draws, rows)."""
        job, columns = self.job, []
        for some, part in zip(
            np.split(rows, range(job.rows, len(rows), job.rows)), z.split(job.rows, 1), strict=True
        ):
            x = self.x[torch.from_numpy(some).to(self.x.device)]
            columns.append(
                torch.cat([job.log_likelihood(x, chunk) for chunk in part.split(job.draws)])
            )
        return torch.cat(columns, 1)

    def _add_guide(
        self, rows: np.ndarray, log_weights: Tensor, which: Tensor | None = None
    ) -> None:
        """Take in log p(x, z) - log q(z | x) of draws from the guide, (draws, rows)."""
        chosen = torch.ones_like(log_weights, dtype=torch.bool) if which is None else which
        self.guide_sum[rows] += torch.where(chosen, log_weights, 0.0).sum(0).cpu().numpy()
        self.guide_count[rows] += chosen.sum(0).cpu().numpy()
