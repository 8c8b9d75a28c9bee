"""The gap between log p(x) and the ELBO, in two parts, and which of them to close."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.results.answer import (
    Answer,
    HasElbo,
    HasLogMarginal,
    Total,
    mean_and_se,
)
from pyro_vae.analysis.results.verdicts import Finding, refit

SMALL = 0.5
"""Nats per row below which a gap is not worth closing."""


@dataclass(frozen=True, repr=False)
class Gaps(HasLogMarginal, HasElbo, Answer):
    """log p(x) - ELBO = approximation gap + amortization gap, in nats, with a number for each row.

    Attributes:
        log_marginal: log p(x), by `estimator`; on average a low estimate, and so is the
            approximation gap.
        log_marginal_se: its standard error.
        pareto_k: k-hat of its weights; above `khat_limit(num_particles)` it is unreliable, nan
            where that is not known.
        num_particles: draws behind log p(x) and its k-hat.
        elbo: of the guide, q(z | x).
        elbo_best: of q*, the best member of the family for the row.
        elbo_full_rank: of the best full-rank normal for the row: what such a guide could reach.
        approximation_gap: log p(x) - elbo_best.
        approximation_gap_se: its standard error, of both terms as if they were independent.
        amortization_gap: elbo_best - elbo.
        amortization_gap_se: its standard error, with the same draws for both.
        last_gain: what the last quarter of the steps added to elbo_best; near zero where the search
            has converged.
        family: over which q* is the best.
        estimator: of log p(x).
        row_labels: names of the rows, where the data have some, else None.
    """

    log_marginal: np.ndarray
    log_marginal_se: np.ndarray
    pareto_k: np.ndarray
    elbo: np.ndarray
    elbo_best: np.ndarray
    elbo_full_rank: np.ndarray
    approximation_gap: np.ndarray
    approximation_gap_se: np.ndarray
    amortization_gap: np.ndarray
    amortization_gap_se: np.ndarray
    last_gain: np.ndarray
    num_particles: int
    family: str
    estimator: str
    row_labels: tuple[Any, ...] | None = None

    def __repr__(self) -> str:
        inference = f"{self.mean_inference_gap:.3f} nats per row"
        parts = f"{self.mean_approximation_gap:.3f} + {self.mean_amortization_gap:.3f}"
        return f"Gaps(rows={len(self.elbo)}, log p(x) - ELBO {inference} = {parts})"

    @property
    def inference_gap(self) -> np.ndarray:
        """log p(x) - ELBO = approximation_gap + amortization_gap."""
        return self.log_marginal - self.elbo

    @property
    def converged(self) -> float:
        """Share of rows for which the last quarter of the steps added less than 0.1 nats."""
        return float((self.last_gain < 0.1).mean())

    @property
    def mean_inference_gap(self) -> float:
        """Mean of the inference gap over rows, in nats per row."""
        return mean_and_se(self.inference_gap)[0]

    @property
    def mean_inference_gap_se(self) -> float:
        """Standard error of that mean over rows; nan for a single row."""
        return mean_and_se(self.inference_gap)[1]

    @property
    def mean_approximation_gap(self) -> float:
        """Mean of the approximation gap over rows, in nats per row."""
        return mean_and_se(self.approximation_gap)[0]

    @property
    def mean_approximation_gap_se(self) -> float:
        """Standard error of that mean over rows; nan for a single row."""
        return mean_and_se(self.approximation_gap)[1]

    @property
    def mean_amortization_gap(self) -> float:
        """Mean of the amortization gap over rows, in nats per row."""
        return mean_and_se(self.amortization_gap)[0]

    @property
    def mean_amortization_gap_se(self) -> float:
        """Standard error of that mean over rows; nan for a single row."""
        return mean_and_se(self.amortization_gap)[1]

    def columns(self) -> dict[str, np.ndarray]:
        """The columns of `to_dataframe`: the arrays above, by their names."""
        return {
            "log_marginal": self.log_marginal,
            "log_marginal_se": self.log_marginal_se,
            "elbo": self.elbo,
            "inference_gap": self.inference_gap,
            "approximation_gap": self.approximation_gap,
            "approximation_gap_se": self.approximation_gap_se,
            "amortization_gap": self.amortization_gap,
            "amortization_gap_se": self.amortization_gap_se,
            "elbo_best": self.elbo_best,
            "elbo_full_rank": self.elbo_full_rank,
            "pareto_k": self.pareto_k,
            "last_gain": self.last_gain,
        }

    def labels(self) -> Sequence[Any] | None:
        """The names of the rows, where they are known."""
        return self.row_labels

    def totals(self) -> list[Total]:
        """The means over rows of log p(x), of the ELBO and of the gap with its two parts."""
        unit = "nats per row"
        how = f"{self.estimator}, {len(self.elbo)} rows"
        family = f"the best of {self.family} for each row"
        converged = f"{self.converged:.0%} of rows converged"
        approximation = mean_and_se(self.approximation_gap)
        amortization = mean_and_se(self.amortization_gap)
        return [
            Total("log p(x)", *mean_and_se(self.log_marginal), unit, how),
            Total("ELBO", *mean_and_se(self.elbo), unit),
            Total("inference gap", *mean_and_se(self.inference_gap), unit),
            Total("= approximation gap", *approximation, unit, family),
            Total("+ amortization gap", *amortization, unit, converged),
        ]

    @property
    def reading(self) -> str:
        """What is doubtful, a line for each doubt, and then what to change, in one line."""
        return "\n".join([*self._doubts(), self.advice])

    @property
    def advice(self) -> str:
        """What to change, in one line."""
        larger = max(self.mean_approximation_gap, self.mean_amortization_gap)
        if larger < SMALL:
            return (
                f"both gaps are below {SMALL} nats, so the guide costs little; change the decoder "
                "or the prior"
            )
        gain = float((self.elbo_full_rank - self.elbo_best).mean())
        widen = "widen the family"
        if gain > 0.1:
            widen += f" (full-rank normals would gain {gain:.2f} nats)"
        train = "train the encoder more, or enlarge it"
        difference, se = mean_and_se(self.approximation_gap - self.amortization_gap)
        if abs(difference) < 2 * se:
            return f"both gaps are alike: {widen}, and {train}"
        if self.mean_approximation_gap > self.mean_amortization_gap:
            return f"the approximation gap dominates: {widen}"
        return f"the amortization gap dominates: {train}"

    def _doubts(self) -> Iterator[str]:
        limit = khat_limit(self.num_particles)
        unreliable = float((self.pareto_k > limit).mean())
        if unreliable > 0.1:
            yield (
                f"k-hat is above {limit:.2f} for {unreliable:.0%} of rows: log p(x) and the "
                "approximation gap are likely low; pass marginal=, from annealed importance "
                "sampling"
            )
        if self.converged < 0.9:
            share = f"{1 - self.converged:.0%} of rows have not converged"
            yield f"{share}: the amortization gap is likely low; raise steps"

    def finding(self, guide: str = "semi_amortized") -> Finding:
        """The verdict on the larger gap; the remedy for a large one is a guide of this kind."""
        gaps = {
            "approximation gap": self.approximation_gap,
            "amortization gap": self.amortization_gap,
        }
        name = max(gaps, key=lambda name: float(gaps[name].mean()))
        number, error = mean_and_se(gaps[name])
        return Finding.judged(
            number < SMALL,
            "warn",
            name="gap of the guide",
            number=number,
            error=error,
            unit=f"nats, {name}",
            threshold=SMALL,
            source="ours; the gaps: Cremer et al. 2018",
            passed=self.advice,
            failed=f"the ELBO is low, {self.advice}",
            **refit(guide),
        )
