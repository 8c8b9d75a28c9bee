"""log p(x) of each row, its means over rows, and how far both are to be trusted, in words."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pyro_vae.analysis.marginal_likelihood.pareto import FEWEST_DRAWS, LIMIT, khat_limit

if TYPE_CHECKING:
    from pyro_vae.analysis.marginal_likelihood.measure import Measure

__all__ = ["LIMIT", "Evidence", "Summary", "Until", "monte_carlo_se"]

_SHOWN = 5  # of the worst rows


@dataclass(frozen=True, kw_only=True)
class Until:
    """When a row has draws enough: both targets hold, or the cap is reached.

    A standard error alone can't be trusted where k-hat is high, so that is a target by default;
    None drops it. More draws lower the standard error; k-hat they only make surer: where the
    weights' tail is heavy, the cap is reached, and another proposal helps (`retry=` of `evidence`).

    Arguments:
        se: the largest standard error of log p(x), in nats.
        pareto_k: the largest k-hat.
        max_particles: the cap on a row's draws.

    Raises:
        ValueError: no target, or one that isn't positive.

    Example:
        >>> Until(se=0.05)
        Until(se=0.05, pareto_k=0.7, max_particles=100000)
    """

    se: float | None = None
    pareto_k: float | None = LIMIT
    max_particles: int = 100_000

    def __post_init__(self) -> None:
        if self.se is None and self.pareto_k is None:
            raise ValueError(
                "until: expected a target, got none; give se=0.05 (nats), pareto_k=0.7, or both"
            )
        for name in ("se", "pareto_k", "max_particles"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"until.{name}: expected a positive number, got {value}")

    def holds(self, se: np.ndarray, pareto_k: np.ndarray) -> np.ndarray:
        """Whether the targets hold, for each row; a number that is nan holds nothing."""
        small = np.full(se.shape, True) if self.se is None else se <= self.se
        return small if self.pareto_k is None else small & (pareto_k <= self.pareto_k)


@dataclass(frozen=True)
class Summary:
    """Means over rows, each with its standard error over rows, in nats per row.

    Attributes:
        rows: how many.
        num_particles, most_particles: draws of each row; the fewest and the most where rows differ.
        log_marginal, log_marginal_se: mean log p(x).
        monte_carlo_se: the part of that error which more draws would remove; equal rows have equal
            errors.
        elbo, elbo_se: mean ELBO of the guide.
        bits_per_dim: -log p(x) / (D log 2), for D modelled numbers in a row.
        median_ess: median effective number of draws.
        unreliable: share of rows that are not to be trusted: their log p(x) is likely too low, by
            an unknown amount; nan where the draws are too few to tell.
        worst: up to five of these rows, the largest k-hat first.
        constant: rows whose weights are all one number: the proposal is the posterior, and log p(x)
            is exact.
        retried: rows that were drawn again from the second proposal.
        capped: rows whose draws reached their cap before the targets of `until` held.
        capped_se, capped_k: the largest standard error and k-hat that these rows had by then; nan
            where there are none.
        low_by: nats per row, in the mean over all rows, that the untrusted rows lack, as far as
            annealing back from where its chains ended tells; nan where it wasn't done.
        methods: how many rows have their numbers from which method.
        measure: of what log p(x) is: a density or a mass, in words; empty where that is not known.
        seconds: that it took.
    """

    rows: int
    num_particles: int
    most_particles: int
    log_marginal: float
    log_marginal_se: float
    monte_carlo_se: float
    elbo: float
    elbo_se: float
    bits_per_dim: float
    median_ess: float
    unreliable: float
    worst: tuple[int, ...]
    constant: int
    retried: int
    capped: int
    capped_se: float
    capped_k: float
    low_by: float = math.nan
    methods: dict[str, int] = field(default_factory=dict)
    measure: str = ""
    seconds: float = math.nan

    def __str__(self) -> str:
        fewest, most = self.num_particles, self.most_particles
        draws = f"{fewest} draws" if fewest == most else f"{fewest} to {most} draws"
        return "\n".join(
            [
                (
                    f"log p(x)      {self.log_marginal:10.3f} ± {self.log_marginal_se:.3f} nats "
                    "per row   "
                    f"({self.rows} rows, {draws}; {self.monte_carlo_se:.3f} of the error is Monte "
                    "Carlo)"
                ),
                self.verdict,
                (
                    f"ELBO          {self.elbo:10.3f} ± {self.elbo_se:.3f} nats per row   (of the "
                    "guide)"
                ),
                *self._bits(),
                *self._took(),
            ]
        )

    @property
    def verdict(self) -> str:
        """How far log p(x) is to be trusted: a line for each thing that there is to say."""
        lines = [self._trust(), *self._doubt()]
        if self.constant:
            lines.append(
                f"constant      {self.constant:10d} of {self.rows} rows   "
                "(all weights are one number, up to rounding: the draws' density is exact, and so "
                "is log p(x))"
            )
        if self.retried:
            lines.append(
                f"retried       {self.retried:10d} of {self.rows} rows   (drawn anew, from another "
                "proposal)"
            )
        if self.capped:
            lines.append(
                f"capped        {self.capped:10d} of {self.rows} rows   (max_particles first; they "
                f"reached se {self.capped_se:.3g} and k-hat {self.capped_k:.2f} or better)"
            )
        return "\n".join(lines)

    def _trust(self) -> str:
        if math.isnan(self.unreliable):
            return f"trusted          unknown   (fewer than {FEWEST_DRAWS} draws have no k-hat)"
        how = ", ".join(f"{count} {method}" for method, count in self.methods.items())
        share = "all rows  " if self.unreliable == 0 else f"{1 - self.unreliable:8.1%} of rows"
        return f"trusted       {share:>10}   ({how})"

    def _doubt(self) -> Iterator[str]:
        """Which rows are not to be trusted, what that does to the mean, and what to do."""
        if math.isnan(self.unreliable) or self.unreliable == 0:
            return
        number = round(self.unreliable * self.rows)
        named = ", ".join(map(str, self.worst)) + (", ..." if number > len(self.worst) else "")
        low = "" if math.isnan(self.low_by) else f" by about {self.low_by:.3f} nats or more"
        remedy = "" if self._automatic() else "; leave proposal= out, or take retry='refined'"
        yield (
            f"untrusted     {number:10d} of {self.rows} rows   "
            f"(k-hat too high: rows {named}; the mean is a low estimate{low}{remedy})"
        )

    def _automatic(self) -> bool:
        return "importance" not in self.methods

    def _bits(self) -> Iterator[str]:
        if "density" not in self.measure:
            yield f"bits per dim  {self.bits_per_dim:10.4f}"

    def _took(self) -> Iterator[str]:
        if not math.isnan(self.seconds):
            yield f"seconds       {self.seconds:10.1f}"


@dataclass(frozen=True, repr=False)
class Evidence:
    """log p(x) of each row; every array has one number a row, in nats where it has a unit.

    Attributes:
        log_marginal: log (1/K) Σₖ wₖ with w = p(x, z) / r(z) for draws z from a proposal r:
            unbiased for p(x), so on average below log p(x).
        se: its standard error by the delta method, sd(w) / (√K mean(w)); believe it where
            `trusted`.
        elbo: of the guide.
        ess: effective number of draws, (Σ w)² / Σ w².
        pareto_k: tail index of the weights; -inf where the largest weights are equal, nan where the
            draws are too few to tell, or where the rounding of the density hides what the weights
            are.
        num_particles: K, or the number of chains where `method` is "annealed".
        data_size: modelled numbers in a row.
        reached: what ended the draws: "num_particles" where nothing else was asked for, "target" of
            `until`, or "cap".
        retried: whether the numbers come from the second proposal.
        row_hashes: uint64, equal for equal rows: whether two results are over the same ones.
        method: where the numbers come from: "guide", "refined", "several starts", "more draws",
            "annealed" (`evidence` describes them), or "importance" with a proposal that was asked
            for.
        proposal_elbo: the mean of log w: the ELBO of what was drawn from.
        upper: of rows that annealing leaves untrusted, an estimate of log p(x) from above, by way
            back from where the chains ended; nan elsewhere.
        measure: what log p(x) is: a density or a mass, of which columns, given what; None where
            that is not known.
        seconds: that it took.
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

    def __repr__(self) -> str:
        found = self.summary()
        trust = "unknown" if math.isnan(found.unreliable) else f"{1 - found.unreliable:.1%}"
        value = f"{found.log_marginal:.3f} ± {found.log_marginal_se:.3f} nats per row"
        return f"Evidence(rows={found.rows}, log p(x) {value}, trusted: {trust})"

    def __str__(self) -> str:
        return str(self.summary())

    @property
    def constant(self) -> np.ndarray:
        """Whether all weights of a row are one number up to rounding: its log p(x) is exact."""
        return (self.pareto_k == -np.inf) & (self.ess >= (1 - 1e-6) * self.num_particles)

    @property
    def trusted(self) -> np.ndarray:
        """Whether a row's k-hat is at most min(1 - 1 / log₁₀ K, 0.7) for its K draws or chains
        (`khat_limit`).
        """
        return np.asarray(self.pareto_k <= khat_limit(self.num_particles))

    @property
    def unreliable(self) -> np.ndarray:
        """Whether a row's k-hat is above that, or doesn't exist."""
        return ~self.trusted

    def worst(self, count: int = _SHOWN) -> np.ndarray:
        """The indices of at most `count` unreliable rows, the largest k-hat first."""
        order = np.argsort(
            -np.nan_to_num(self.pareto_k, nan=np.inf, posinf=np.inf, neginf=-np.inf), kind="stable"
        )
        return order[self.unreliable[order]][:count]

    def summary(self) -> Summary:
        """The means over rows."""
        rows, mean = len(self.log_marginal), float(self.log_marginal.mean())
        unknown, capped = bool((self.num_particles < FEWEST_DRAWS).all()), self.reached == "cap"
        names, counts = np.unique(self.method, return_counts=True)
        often = np.argsort(-counts, kind="stable")

        def error(values: np.ndarray) -> float:
            return float(values.std(ddof=1) / math.sqrt(rows)) if rows > 1 else math.nan

        return Summary(
            rows=rows,
            num_particles=int(self.num_particles.min()),
            most_particles=int(self.num_particles.max()),
            log_marginal=mean,
            log_marginal_se=error(self.log_marginal),
            monte_carlo_se=monte_carlo_se(self.se, self.row_hashes),
            elbo=float(self.elbo.mean()),
            elbo_se=error(self.elbo),
            bits_per_dim=-mean / (self.data_size * math.log(2)),
            median_ess=float(np.median(self.ess)),
            unreliable=math.nan if unknown else float(self.unreliable.mean()),
            worst=() if unknown else tuple(map(int, self.worst())),
            constant=int(self.constant.sum()),
            retried=int(self.retried.sum()),
            capped=int(capped.sum()),
            capped_se=float(self.se[capped].max()) if capped.any() else math.nan,
            capped_k=float(self.pareto_k[capped].max()) if capped.any() else math.nan,
            low_by=self._low_by(),
            methods={str(names[index]): int(counts[index]) for index in often},
            measure="" if self.measure is None else str(self.measure),
            seconds=self.seconds,
        )

    def _low_by(self) -> float:
        """What the untrusted rows lack in the mean over all rows, as far as it is known."""
        known = self.unreliable & np.isfinite(self.upper)
        if not known.any():
            return math.nan
        return float((self.upper - self.log_marginal)[known].sum() / len(known))


def monte_carlo_se(se: np.ndarray, row_hashes: np.ndarray) -> float:
    """The standard error of a mean over rows: √Σ_g (n_g se_g)² / n over groups g of n_g equal rows.

    The draws of a row are seeded by its numbers, so equal rows have one error and not several.

    Example:
        >>> monte_carlo_se(np.array([0.3, 0.3, 0.4]), np.array([1, 1, 2], np.uint64))  # √(0.6² + 0.4²) / 3
        0.24037...
    """
    _, first, counts = np.unique(row_hashes, return_index=True, return_counts=True)
    return float(np.sqrt(np.square(counts * se[first]).sum()) / len(se))
