"""Which of several models gives held-out rows more probability: differences of log p(x), paired row
by row.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.analysis.export.arviz_objects import to_elpd
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.arguments import public
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Comparison:
    """Models sorted by held-out log p(x), the best first; nats per row.

    The estimates of log p(x) are low on average, by about se² / 2 a row where k-hat is below 0.7
    and by an unknown amount where it isn't: of two models the one that is harder to estimate looks
    worse than it is.

    Attributes:
        names: of the models.
        log_marginal: log p(x), (models, rows).
        se: its Monte Carlo standard error, (models, rows).
        pareto_k: k-hat of the importance weights, (models, rows).
        num_particles: draws of each model for each row, (models, rows).
        untrusted: whether a row's estimate is not to be trusted, (models, rows); see
            `Evidence.unreliable`.
        measures: what each log p(x) is the logarithm of; equal where they are known, None where
            not.
    """

    names: tuple[str, ...]
    log_marginal: np.ndarray
    se: np.ndarray
    pareto_k: np.ndarray
    num_particles: np.ndarray
    untrusted: np.ndarray
    measures: tuple[Measure | None, ...]

    @property
    def mean(self) -> np.ndarray:
        """Mean log p(x) of each model, (models,)."""
        return np.asarray(self.log_marginal.mean(1))

    @property
    def mean_se(self) -> np.ndarray:
        """Its standard error over rows, (models,)."""
        return _standard_error(self.log_marginal)

    @property
    def difference(self) -> np.ndarray:
        """Mean of log p(x) less that of the best model, so zero or negative, (models,)."""
        return np.asarray(self._differences.mean(1))

    @property
    def difference_se(self) -> np.ndarray:
        """Its standard error over rows, that of paired differences: zero for the best model,
        (models,).
        """
        return _standard_error(self._differences)

    @property
    def monte_carlo_se(self) -> np.ndarray:
        """The part of that error which more draws would remove, (models,).

        A row's draws come from the seed and its numbers, so equal rows may have the very same
        error: it doesn't cancel.
        """
        variances = np.array(
            [_variance_of_sum(*one) for one in zip(self.log_marginal, self.se, strict=True)]
        )
        both = np.sqrt(variances + variances[0]) / self.se.shape[1]
        return np.where(np.arange(len(both)) == 0, 0.0, both)

    @property
    def unreliable(self) -> np.ndarray:
        """Share of rows that are not to be trusted, (models,); nan where the draws are too few to
        tell.
        """
        unknown = (np.isnan(self.pareto_k) & self.untrusted).all(1)
        return np.where(unknown, math.nan, self.untrusted.mean(1))

    def to_elpd(self) -> dict[str, Any]:
        """The ELPD object of each model, which `az.compare` takes; it gives sums over rows where
        this gives means.
        """
        columns = zip(
            self.names,
            self.log_marginal,
            self.pareto_k,
            self.num_particles,
            self.untrusted,
            strict=True,
        )
        return {
            name: to_elpd(log_p, k, num_particles=round(draws.mean()), untrusted=untrusted)
            for name, log_p, k, draws, untrusted in columns
        }

    @property
    def _differences(self) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # two models that both give a row no probability
            return np.asarray(self.log_marginal - self.log_marginal[0])

    def __str__(self) -> str:
        width = max(len("model"), *map(len, self.names))
        head = f"{'model':<{width}}  {'log p(x)':>20}  {'less than the best':>20}  not trusted"
        columns = (
            self.names,
            self.mean,
            self.mean_se,
            self.difference,
            self.difference_se,
            self.unreliable,
        )
        lines = [
            (
                f"{name:<{width}}  {mean:11.3f} ± {se:6.3f}  {less:11.3f} ± {less_se:6.3f}  "
                f"{_share(unreliable):>11}"
            )
            for name, mean, se, less, less_se, unreliable in zip(*columns, strict=True)
        ]
        return "\n".join([head, *lines, *self._reading()])

    def _reading(self) -> Iterable[str]:
        """How to read the table."""
        yield f"nats per row, {self.log_marginal.shape[1]} rows; differences are paired over the rows"
        close = self.difference[1:] > -2 * self.difference_se[1:]
        alike = [name for name, near in zip(self.names[1:], close, strict=True) if near]
        if alike:
            yield f"within 2 standard errors of the best, so not told apart by these rows: {', '.join(alike)}"
        doubtful = [
            name for name, share in zip(self.names, self.unreliable, strict=True) if share > 0.1
        ]
        if doubtful:
            yield f"log p(x) is likely too low by an unknown amount (k-hat) for: {', '.join(doubtful)}"
        unknown = [
            name for name, measure in zip(self.names, self.measures, strict=True) if measure is None
        ]
        if unknown:
            yield (
                "compare only a density with a density, and a probability with a probability of "
                "the same numbers; which of them log p(x) is can't be told for: "
                f"{', '.join(unknown)}"
            )


@public
def compare(
    models: Mapping[str, VAE | Evidence],
    x: Any = None,
    *,
    num_particles: int = 1000,
    seed: int = 0,
    progress: bool | None = False,
) -> Comparison:
    """Compare models by log p(x) of the same held-out rows, paired row by row.

    difference = (1/n) Σᵢ dᵢ ± sd(d) / √n   with dᵢ = log p(xᵢ | model) - log p(xᵢ | best)

    Rows that some models find easy and others hard cancel in dᵢ, so the error of a difference is
    far below that of either mean. With fewer than about 100 rows the standard error itself is
    uncertain. Rows must be held out from the training of every model. A probability doesn't compare
    with a density, nor either of them with one that is conditioned on part of the row: log p(x) of
    a multinomial is that of a row among the rows with its total, and a Poisson would lose by log
    p(total). What compares has equal `measure_of`.

    References:
        Practical Bayesian model evaluation using leave-one-out cross-validation and WAIC (Vehtari,
        Gelman, Gabry, 2017).

    Arguments:
        models: name -> a model, or its `Evidence` about the rows, in their order.
        x: rows shaped (n, *data_shape); needed where a model is given.
        num_particles: draws for each row and model.
        seed: of the draws.
        progress: show bars; None on a terminal only.

    Returns:
        `Comparison`: print it for a table; `to_elpd()` for ArviZ.

    Raises:
        ValueError: fewer than two models, no rows for a model, evidence about other rows, measures
            that differ, what `evidence` refuses.

    Example:
        >>> import torch
        >>> small, large = (VAE(data_shape=(4,), latent_dim=k) for k in (1, 2))
        >>> compare({"small": small, "large": large}, torch.zeros(3, 4), num_particles=10).log_marginal.shape
        (2, 3)
    """
    _require_models(models, x)
    measures = {name: _measure(model) for name, model in models.items()}
    _require_one_measure(measures)
    found = {
        name: evidence(model, x, num_particles=num_particles, seed=seed, progress=progress)
        if isinstance(model, VAE)
        else model
        for name, model in models.items()
    }
    _require_same_rows(found)
    found = dict(sorted(found.items(), key=lambda item: -item[1].log_marginal.mean()))
    each = found.values()
    return Comparison(
        names=tuple(found),
        log_marginal=np.stack([one.log_marginal for one in each]),
        se=np.stack([one.se for one in each]),
        pareto_k=np.stack([one.pareto_k for one in each]),
        num_particles=np.stack([one.num_particles for one in each]),
        untrusted=np.stack([one.unreliable for one in each]),
        measures=tuple(measures[name] for name in found),
    )


def elpd(found: Evidence) -> Any:
    """Held-out evidence as the ELPD object of the installed ArviZ, which `az.compare` and
    `az.plot_khat` take.

    Arguments:
        found: the evidence of held-out rows.

    Returns:
        An `arviz.ELPDData` on ArviZ 0.x, an `arviz_stats.ELPDDataLOO` on ArviZ 1.x; see `to_elpd`.

    Raises:
        ValueError: log p(x) that is not finite.

    Example:
        >>> import torch
        >>> found = evidence(VAE(data_shape=(4,), latent_dim=2), torch.zeros(3, 4), num_particles=10)
        >>> int(elpd(found).n_data_points)
        3
    """
    draws = round(found.num_particles.mean())
    return to_elpd(
        found.log_marginal, found.pareto_k, num_particles=draws, untrusted=found.unreliable
    )


def _require_same_rows(found: Mapping[str, Evidence]) -> None:
    sizes = {name: (len(one.log_marginal), one.data_size) for name, one in found.items()}
    if len(set(sizes.values())) > 1:
        rows = ", ".join(
            f"{name!r}: {rows} rows of {size} numbers" for name, (rows, size) in sizes.items()
        )
        raise ValueError(
            f"compare: expected evidence about the same rows, got {rows}; evaluate all on one x"
        )
    (first, expected), *others = found.items()
    for name, one in others:
        differ = np.flatnonzero(one.row_hashes != expected.row_hashes)
        if len(differ):
            again = np.array_equal(np.sort(one.row_hashes), np.sort(expected.row_hashes))
            what = "the same rows in another order" if again else f"{len(differ)} other rows"
            raise ValueError(
                f"compare: expected evidence about the same rows in the same order, got {what} for "
                f"{name!r} than for {first!r}, the first of them row {differ[0]}; evaluate all on "
                "one x"
            )


def _require_models(models: Any, x: Any) -> None:
    """Raise ValueError where there are not two models or evidences by name, or no rows for a model."""
    if not isinstance(models, Mapping):
        got = type(models).__name__
        raise ValueError(
            f'models: expected names and models, got a {got}; pass a dict: {{"a": a, "b": b}}'
        )
    if len(models) < 2:
        raise ValueError(f"models: expected at least 2 to compare, got {list(models)}")
    for name, model in models.items():
        if not isinstance(model, VAE | Evidence):
            remedy = "pass run.vae" if hasattr(model, "vae") else "pass one of these"
            got = type(model).__name__
            raise ValueError(
                f"models[{name!r}]: expected a VAE or its Evidence, got a {got}; {remedy}"
            )
    fitted = [name for name, model in models.items() if isinstance(model, VAE)]
    if fitted and x is None:
        raise ValueError(
            f"x: expected rows to evaluate {fitted} on, got none; pass x, or Evidence in their "
            "place"
        )


def _measure(model: VAE | Evidence) -> Measure | None:
    return measure_of(model) if isinstance(model, VAE) else getattr(model, "measure", None)


def _require_one_measure(measures: Mapping[str, Measure | None]) -> None:
    """Raise ValueError where two models give the logarithms of what doesn't compare."""
    known = {name: measure for name, measure in measures.items() if measure is not None}
    for name, measure in known.items():
        first, expected = next(iter(known.items()))
        if measure != expected:
            raise ValueError(
                f"compare: p(x) of {first!r} and {name!r} don't compare: {expected}, and "
                f"{measure}; "
                "take models that give the same numbers, all a density or all a mass, given the "
                "same"
            )


def _variance_of_sum(log_marginal: np.ndarray, se: np.ndarray) -> float:
    """Var Σᵢ eᵢ for errors eᵢ with standard errors seᵢ: the same error where estimates agree to the
    last bit.
    """
    _, which = np.unique(np.stack([log_marginal, se]), axis=1, return_inverse=True)
    return float(np.square(np.bincount(which, weights=se)).sum())


def _standard_error(values: np.ndarray) -> np.ndarray:
    rows = values.shape[1]
    with np.errstate(invalid="ignore"):
        return (
            values.std(1, ddof=1) / math.sqrt(rows) if rows > 1 else np.full(len(values), math.nan)
        )


def _share(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1%}"
