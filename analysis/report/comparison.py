"""Differences of held-out log p(x) between models, paired row by row."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.analysis.bridge.elpd import to_elpd
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.measure import Measure
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.report.comparable import (
    measures_of,
    require_models,
    require_same_rows,
)
from pyro_vae.analysis.results.answer import Answer, Total, dataframe_of_rows
from pyro_vae.analysis.results.tables import html_paragraph, html_table
from pyro_vae.arguments import public
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from pandas import DataFrame

DOUBTFUL = 0.1
"""Share of untrusted rows above which log p(x) of a model is called likely too low."""


@dataclass(frozen=True, repr=False)
class Comparison(Answer):
    """Models sorted by held-out log p(x), the best first; nats per row.

    The estimates of log p(x) are low on average, by about se² / 2 for a row where k-hat is below
    0.7 and by an unknown amount where it isn't: of two models the one that is harder to estimate
    looks worse than it is.

    Attributes:
        names: of the models.
        log_marginal: log p(x), (models, rows).
        se: its Monte Carlo standard error, (models, rows).
        pareto_k: k-hat of the importance weights, (models, rows).
        num_particles: draws of each model for each row, (models, rows).
        untrusted: whether the estimate for a row is not to be trusted, (models, rows); see
            `Evidence.unreliable`.
        measures: what each log p(x) is the logarithm of; equal where they are known, None where
            not.
        row_labels: names of the rows, where the data have some, else None.
    """

    names: tuple[str, ...]
    log_marginal: np.ndarray
    se: np.ndarray
    pareto_k: np.ndarray
    num_particles: np.ndarray
    untrusted: np.ndarray
    measures: tuple[Measure | None, ...]
    row_labels: tuple[Any, ...] | None = None

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
        """Its standard error over rows, that of paired differences; 0 for the best, (models,)."""
        return _standard_error(self._differences)

    @property
    def monte_carlo_se(self) -> np.ndarray:
        """The part of that error which more draws would remove, (models,).

        The draws of a row come from the seed and its numbers, so equal rows may have the very same
        error: it doesn't cancel.
        """
        pairs = zip(self.log_marginal, self.se, strict=True)
        variances = np.array([_variance_of_sum(log_p, se) for log_p, se in pairs])
        se = np.sqrt(variances + variances[0]) / self.se.shape[1]
        se[0] = 0.0
        return se

    @property
    def unreliable(self) -> np.ndarray:
        """Share of rows not to be trusted, (models,); nan where the draws are too few to tell."""
        unknown = (np.isnan(self.pareto_k) & self.untrusted).all(1)
        return np.where(unknown, math.nan, self.untrusted.mean(1))

    def to_elpd(self) -> dict[str, Any]:
        """The ELPD object of each model for `az.compare`, with sums over rows instead of means."""
        return {
            name: to_elpd(
                self.log_marginal[model],
                self.pareto_k[model],
                num_particles=round(self.num_particles[model].mean()),
                untrusted=self.untrusted[model],
            )
            for model, name in enumerate(self.names)
        }

    def totals(self) -> Sequence[Total]:
        columns = (self.names, self.mean, self.mean_se)
        return [
            Total(name, mean, se, "nats per row")
            for name, mean, se in zip(*columns, strict=True)
        ]

    def columns(self) -> Mapping[str, np.ndarray]:
        return {
            "log_marginal": self.mean,
            "log_marginal_se": self.mean_se,
            "difference": self.difference,
            "difference_se": self.difference_se,
            "monte_carlo_se": self.monte_carlo_se,
            "unreliable": self.unreliable,
        }

    def labels(self) -> Sequence[Any]:
        return self.names

    def to_dataframe(self) -> "DataFrame":
        """One line for each model, the best first, as `az.compare` has."""
        return super().to_dataframe().rename_axis(index="model")

    def by_row(self) -> "DataFrame":
        """log p(x) of each row, indexed by its label, in one column for each model."""
        columns = dict(zip(self.names, self.log_marginal, strict=True))
        return dataframe_of_rows(columns, self.row_labels)

    def summary(self) -> str:
        """A table with one line for each model, and how to read it."""
        width = max(len("model"), *map(len, self.names))
        what = getattr(self.measures[0], "symbol", "log p(x)")
        head = (
            f"{'model':<{width}}  {what:>20}  {'less than the best':>20}  not trusted"
        )
        lines = [
            f"{name:<{width}}  {mean:>20}  {difference:>20}  {share:>11}"
            for name, mean, difference, share in self._lines()
        ]
        return "\n".join([head, *lines, self.reading])

    def _lines(self) -> Iterator[tuple[str, str, str, str]]:
        """Name, log p(x), difference and share of untrusted rows of each model."""
        for model, name in enumerate(self.names):
            mean = f"{self.mean[model]:.3f} ± {self.mean_se[model]:6.3f}"
            difference = (
                f"{self.difference[model]:.3f} ± {self.difference_se[model]:6.3f}"
            )
            yield name, mean, difference, _share(self.unreliable[model])

    @property
    def reading(self) -> str:
        return "\n".join(self._reading())

    def _reading(self) -> Iterator[str]:
        """How to read the table."""
        rows = self.log_marginal.shape[1]
        yield f"nats per row, {rows} rows; differences are paired over the rows"
        is_close = self.difference[1:] > -2 * self.difference_se[1:]
        close = _chosen(self.names[1:], is_close)
        if close:
            yield (
                "within 2 standard errors of the best, so not told apart by these rows: "
                f"{', '.join(close)}"
            )
        doubtful = _chosen(self.names, self.unreliable > DOUBTFUL)
        if doubtful:
            names = ", ".join(doubtful)
            yield f"log p(x) is likely too low by an unknown amount (k-hat) for: {names}"
        unknown = _chosen(self.names, [measure is None for measure in self.measures])
        if unknown:
            yield (
                "compare only a density with a density, and a probability with a probability of "
                "the same numbers; which of them log p(x) is can't be told for: "
                f"{', '.join(unknown)}"
            )

    @property
    def _differences(self) -> np.ndarray:
        with np.errstate(
            invalid="ignore"
        ):  # two models that both give a row no probability
            return np.asarray(self.log_marginal - self.log_marginal[0])

    def __repr__(self) -> str:
        rows = self.log_marginal.shape[1]
        return (
            f"Comparison(models={len(self.names)}, rows={rows}, best {self.names[0]!r})"
        )

    def _repr_html_(self) -> str:
        what = getattr(self.measures[0], "symbol", "log p(x)")
        head = ["model", what, "less than the best", "not trusted"]
        return html_table(head, self._lines()) + html_paragraph(self.reading)


@public
def compare(
    models: Mapping[str, VAE | Evidence],
    x: Any = None,
    *,
    context: Any = None,
    num_particles: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
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
        context: of models that have one, what is given with each row; the same for all.
        num_particles: draws for each row and model.
        seed: of the draws.
        progress: whether to show bars; None shows them on a terminal or in a notebook.

    Returns:
        `Comparison`: print it for a table; `to_dataframe()` has one line for each model, `by_row()`
        one for each row, `to_elpd()` is for ArviZ.

    Raises:
        ValueError: fewer than two models, no rows for a model, evidence about other rows, measures
            that differ, what `evidence` refuses.

    Example:
        >>> import torch
        >>> models = {f"{d} latent": VAE(data_shape=(4,), latent_dim=d) for d in (1, 2)}
        >>> compare(models, torch.zeros(3, 4), num_particles=10).log_marginal.shape
        (2, 3)
    """
    require_models(models, x)
    measures = measures_of(models)
    how: dict[str, Any] = dict(
        num_particles=num_particles, seed=seed, progress=progress, context=context
    )
    found: dict[str, Evidence] = {}
    for name, model in models.items():
        found[name] = evidence(model, x, **how) if isinstance(model, VAE) else model
    require_same_rows(found)
    names = sorted(found, key=lambda name: -found[name].log_marginal.mean())
    each = [found[name] for name in names]
    return Comparison(
        names=tuple(names),
        log_marginal=np.stack([one.log_marginal for one in each]),
        se=np.stack([one.se for one in each]),
        pareto_k=np.stack([one.pareto_k for one in each]),
        num_particles=np.stack([one.num_particles for one in each]),
        untrusted=np.stack([one.unreliable for one in each]),
        measures=tuple(measures[name] for name in names),
        row_labels=next((one.row_labels for one in each if one.row_labels), None),
    )


def _chosen(names: Sequence[str], chosen: Any) -> list[str]:
    return [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]


def _variance_of_sum(log_marginal: np.ndarray, se: np.ndarray) -> float:
    """Var Σᵢ eᵢ for errors eᵢ with standard errors seᵢ; equal estimates share their error."""
    pairs = np.stack([log_marginal, se])
    _, group = np.unique(pairs, axis=1, return_inverse=True)
    return float(np.square(np.bincount(group, weights=se)).sum())


def _standard_error(values: np.ndarray) -> np.ndarray:
    models, rows = values.shape
    if rows == 1:
        return np.full(models, math.nan)
    with np.errstate(invalid="ignore"):
        return values.std(1, ddof=1) / math.sqrt(rows)


def _share(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1%}"
