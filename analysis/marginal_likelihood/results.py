"""log p(x) of each row and its means over rows, with standard errors and how far to trust both."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.analysis.bridge.elpd import HasElpd
from pyro_vae.analysis.marginal_likelihood.pareto import FEWEST_DRAWS, khat_limit
from pyro_vae.analysis.results.answer import (
    Answer,
    HasElbo,
    HasLogMarginal,
    Total,
    mean_and_se,
    monte_carlo_se,
    row_name,
)

if TYPE_CHECKING:
    from pyro_vae.analysis.marginal_likelihood.measure import Measure

_NAMED = 5  # of the untrusted rows


@dataclass(frozen=True, repr=False)
class Evidence(HasElpd, HasLogMarginal, HasElbo, Answer):
    """log p(x) of each row; arrays have one number for each row, in nats where they have a unit.

    Attributes:
        log_marginal: log (1/K) Σₖ wₖ with w = p(x, z) / r(z) for draws z from a proposal r:
            unbiased for p(x), so on average below log p(x).
        se: its standard error by the delta method, sd(w) / (√K mean(w)); believe it where
            `trusted`.
        elbo: the ELBO of the guide.
        ess: effective number of draws, (Σ w)² / Σ w².
        pareto_k: tail index of the weights; -inf where the largest weights are equal, nan where the
            draws are too few to tell, or where the rounding of the density hides what the weights
            are.
        num_particles: K, or the number of chains where `method` is "annealed".
        data_size: the modelled numbers in a row.
        reached: what ended the draws: "num_particles" where nothing else was asked for, "target" of
            `until`, or "cap".
        retried: whether the numbers come from the second proposal.
        row_hashes: uint64, equal for equal rows: whether two results are over the same ones.
        method: where the numbers come from: "guide", "refined", "several starts", "more draws",
            "annealed" (`evidence` describes them), or "importance" with a proposal that was asked
            for.
        proposal_elbo: the mean of log w: the ELBO of what was drawn from.
        upper: of rows that annealing leaves untrusted, an estimate of log p(x) from above, by
            reverse chains from where the chains ended; nan elsewhere.
        measure: what log p(x) is: a density or a mass, of which columns, given what; None where
            that is not known.
        seconds: the time that it took.
        row_labels: names of the rows, where the data have some, else None.
        n_observed: the modelled cells of each row that are observed; None for a model without
            missing cells, where it is `data_size`.
    """

    log_marginal: np.ndarray
    se: np.ndarray
    elbo: np.ndarray
    ess: np.ndarray
    pareto_k: np.ndarray
    num_particles: np.ndarray
    data_size: int
    reached: np.ndarray
    retried: np.ndarray
    row_hashes: np.ndarray
    method: np.ndarray
    proposal_elbo: np.ndarray
    upper: np.ndarray
    measure: "Measure | None" = None
    seconds: float = math.nan
    row_labels: tuple[Any, ...] | None = None
    n_observed: np.ndarray | None = None

    reading = (
        "log p(x) is on average a low estimate; believe it on trusted rows, whose k-hat is at most "
        "0.7; ± is one standard error over rows"
    )

    def __repr__(self) -> str:
        mean = f"{self.mean_log_marginal:.3f} ± {self.mean_log_marginal_se:.3f} nats per row"
        is_known = not math.isnan(self.unreliable_share)
        trusted = f"{1 - self.unreliable_share:.1%}" if is_known else "unknown"
        rows = f"rows={self.num_rows}"
        return f"Evidence({rows}, {self.symbol} {mean}, trusted: {trusted})"

    @property
    def num_rows(self) -> int:
        """How many rows the numbers are of."""
        return len(self.log_marginal)

    @property
    def constant(self) -> np.ndarray:
        """Whether all weights of a row are one number up to rounding: its log p(x) is exact."""
        return (self.pareto_k == -np.inf) & (
            self.ess >= (1 - 1e-6) * self.num_particles
        )

    @property
    def trusted(self) -> np.ndarray:
        """Whether k-hat is at most min(1 - 1 / log₁₀ K, 0.7) for the K draws or chains of a row."""
        return np.asarray(self.pareto_k <= khat_limit(self.num_particles))

    @property
    def unreliable(self) -> np.ndarray:
        """Whether a row's k-hat is above that, or doesn't exist."""
        return ~self.trusted

    @property
    def capped(self) -> np.ndarray:
        """Whether the draws of a row reached their cap before the targets of `until` held."""
        return self.reached == "cap"

    @property
    def monte_carlo_se(self) -> float:
        """The part of that error which more draws would remove; equal rows have equal errors."""
        return monte_carlo_se(self.se, self.row_hashes)

    @property
    def bits_per_dim(self) -> float:
        """-log p / (D log 2) of all rows, D observed cells of x; log p(x, y) has y in it too."""
        if self.n_observed is None:
            return -self.mean_log_marginal / (self.data_size * math.log(2))
        return -self.mean_per_cell / math.log(2)

    @property
    def per_cell(self) -> np.ndarray:
        """log p(x) of each row for each observed cell, or each cell where the mask is modelled."""
        count = np.asarray(self.data_size if self._counts_all else self.n_observed)
        return np.asarray(self.log_marginal / np.where(count == 0, np.nan, count))

    @property
    def mean_per_cell(self) -> float:
        """log p of all rows together for each cell as in `per_cell`, in nats."""
        if self.n_observed is None or self._counts_all:
            return self.mean_log_marginal / self.data_size
        count = self.n_observed.sum()
        return float(self.log_marginal.sum() / count) if count else math.nan

    @property
    def median_ess(self) -> float:
        """Median over rows of the effective number of draws."""
        return float(np.median(self.ess))

    @property
    def unreliable_share(self) -> float:
        """Share of rows that are not to be trusted; nan where the draws are too few to tell."""
        too_few = bool((self.num_particles < FEWEST_DRAWS).all())
        return math.nan if too_few else float(self.unreliable.mean())

    @property
    def mean_shortfall(self) -> float:
        """Nats per row by which untrusted rows lower the mean over all rows, so far as is known.

        The sum over untrusted rows of `upper` - `log_marginal`, divided by the number of all rows;
        nan where `upper` is not known.
        """
        known = self.unreliable & np.isfinite(self.upper)
        if not known.any():
            return math.nan
        return float((self.upper - self.log_marginal)[known].sum() / len(known))

    @property
    def methods(self) -> dict[str, int]:
        """How many rows have their numbers from which method, the most frequent first."""
        names, counts = np.unique(self.method, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return {str(names[index]): int(counts[index]) for index in order}

    def worst(self, count: int = _NAMED) -> np.ndarray:
        """The indices of at most `count` unreliable rows, the largest k-hat first."""
        k = np.nan_to_num(self.pareto_k, nan=np.inf, posinf=np.inf, neginf=-np.inf)
        order = np.argsort(-k, kind="stable")
        return order[self.unreliable[order]][:count]

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of `to_dataframe`: the arrays above, by their names."""
        observed = {}
        if self.n_observed is not None:
            observed = {"n_observed": self.n_observed, "per_cell": self.per_cell}
        return {
            "log_marginal": self.log_marginal,
            "se": self.se,
            "elbo": self.elbo,
            "ess": self.ess,
            "pareto_k": self.pareto_k,
            "trusted": self.trusted,
            "method": self.method,
            "num_particles": self.num_particles,
            "reached": self.reached,
            "retried": self.retried,
            "proposal_elbo": self.proposal_elbo,
            "upper": self.upper,
            **observed,
        }

    def labels(self) -> Sequence[Any] | None:
        """The names of the rows, where they are known."""
        return self.row_labels

    def totals(self) -> Sequence[Total]:
        """Mean log p(x), how far it is to be trusted, mean ELBO, bits and seconds."""
        mean, se = mean_and_se(self.log_marginal)
        share = f"{self.monte_carlo_se:.3f} of the error is Monte Carlo"
        how = f"{self.num_rows} rows, {self._draws()}; {share}"
        return [
            Total(self.symbol, mean, se, "nats per row", how),
            *self._cells(),
            *self._trust(),
            *self._counts(),
            *self._elbo(),
            *self._costs(),
        ]

    @property
    def _counts_all(self) -> bool:
        """Whether missing cells count too."""
        models_mask = self.measure is not None and self.measure.mask
        return self.n_observed is None or models_mask

    def _cells(self) -> Iterator[Total]:
        """log p for each observed cell, where cells are missing."""
        if self.n_observed is None or (self.n_observed == self.data_size).all():
            return
        count = int(self.n_observed.sum())
        note = f"{count} observed of {self.num_rows * self.data_size} cells"
        empty = int((self.n_observed == 0).sum())
        if empty and (self.measure is None or not self.measure.mask):
            note += f"; {empty} rows have none, and their log p(x) is 0"
        yield Total("per cell", self.mean_per_cell, unit="nats", note=note, digits=4)

    def _elbo(self) -> Iterator[Total]:
        elbo, elbo_se = mean_and_se(self.elbo)
        if not np.isnan(self.elbo).all():
            yield Total("ELBO", elbo, elbo_se, "nats per row", "of the guide")

    def _draws(self) -> str:
        fewest, most = self.num_particles.min(), self.num_particles.max()
        return f"{most} draws" if fewest == most else f"{fewest} to {most} draws"

    def _trust(self) -> Iterator[Total]:
        """On which rows log p(x) is to be trusted, and what the others do to the mean."""
        share = self.unreliable_share
        if math.isnan(share):
            note = f"fewer than {FEWEST_DRAWS} draws have no k-hat"
            yield Total("trusted", math.nan, text="unknown", note=note)
            return
        how = ", ".join(f"{count} {method}" for method, count in self.methods.items())
        text = "all rows" if share == 0 else f"{1 - share:.1%} of rows"
        yield Total("trusted", 1 - share, text=text, note=how)
        if share > 0:
            yield self._count("untrusted", self.unreliable, self._doubt())

    def _doubt(self) -> str:
        """Which rows are not to be trusted, what that does to the mean, and what to do."""
        worst = self.worst()
        named = ", ".join(row_name(self.row_labels, row) for row in worst)
        others = ", ..." if self.unreliable.sum() > len(worst) else ""
        shortfall = self.mean_shortfall
        low = "" if math.isnan(shortfall) else f" by about {shortfall:.3f} nats or more"
        is_automatic = "importance" not in self.methods
        remedy = (
            "" if is_automatic else "; leave proposal= out, or take retry='refined'"
        )
        return f"k-hat too high: rows {named}{others}; the mean is a low estimate{low}{remedy}"

    def _counts(self) -> Iterator[Total]:
        """Rows that are special in other ways, where there are any."""
        if self.constant.any():
            exact = "all weights are one number, up to rounding: the proposal is the posterior"
            yield self._count(
                "constant", self.constant, f"{exact}, and log p(x) is exact"
            )
        if self.retried.any():
            yield self._count(
                "retried", self.retried, "drawn anew, from another proposal"
            )
        if self.capped.any():
            se = self.se[self.capped].max()
            k = self.pareto_k[self.capped].max()
            reached = f"they reached se {se:.3g} and k-hat {k:.2f} or better"
            yield self._count("capped", self.capped, f"max_particles first; {reached}")

    def _count(self, name: str, which: np.ndarray, note: str) -> Total:
        count = int(which.sum())
        return Total(name, count, text=f"{count} of {self.num_rows} rows", note=note)

    def _costs(self) -> Iterator[Total]:
        if self.measure is None or "density" not in self.measure.kind:
            is_joint = self.measure is not None and self.measure.label
            note = "of x, with the bits of known labels" if is_joint else ""
            yield Total("bits per dim", self.bits_per_dim, note=note, digits=4)
        if not math.isnan(self.seconds):
            yield Total("seconds", self.seconds, digits=1)
