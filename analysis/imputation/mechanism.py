"""What a model has learned of why cells are missing: a table of its columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from pyro_vae.analysis.fitted import as_numpy
from pyro_vae.analysis.imputation.tables import level_names
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.arguments import public
from pyro_vae.inputs import missing_module
from pyro_vae.likelihoods.mechanisms import Line
from pyro_vae.likelihoods.self_masking import SelfMasking
from pyro_vae.vae import VAE

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["MissingMechanism", "missing_mechanism"]

DISTANCES = {"mean - sd": -1.0, "mean": 0.0, "mean + sd": 1.0}
"""Where P(missing | x) is shown, in standard deviations from the mean."""


@dataclass(frozen=True, repr=False)
class MissingMechanism(Answer):
    """P(missing | x) = σ(intercept + slope (x - mean) / sd) of each column.

    Mean and sd are those of the observed cells that the model was fitted to. In a column of the
    likelihood `log_normal` x is log x, and they are those of the logarithm of log-normal cells with
    the moments of the column. A nominal column has a line for each level.

    Attributes:
        column: the name of the column, or its position, (m,).
        level: of a nominal column; None in the others, (m,).
        intercept: the logit at the mean, or at the level, (m,).
        slope: by which the logit grows over one sd; nan for a level, (m,).
    """

    column: Sequence[Any]
    level: Sequence[Any]
    intercept: np.ndarray
    slope: np.ndarray

    reading = (
        "P(missing | x) at mean - sd, at the mean and at mean + sd of the observed cells, and how "
        "the logit grows over one sd; a slope near 0 is a cell that is missing at random"
    )

    def probability(self, distance: float) -> np.ndarray:
        """P(missing | x) at a distance from the mean in sd, or of the level, (m,)."""
        probability: np.ndarray = expit(
            self.intercept + np.nan_to_num(self.slope) * distance
        )
        return probability

    def totals(self) -> list[Total]:
        return [self._line(index) for index in range(len(self.column))]

    def _line(self, index: int) -> Total:
        name = str(self.column[index])
        if self.level[index] is not None:
            text = f"{self.probability(0.0)[index]:.3f}"
            return Total(f"{name}[{self.level[index]}]", 0.0, text=text)
        each = [f"{self.probability(at)[index]:.3f}" for at in DISTANCES.values()]
        note = f"slope {self.slope[index]:.2f}"
        return Total(name, 0.0, text=", ".join(each), note=note)

    def labels(self) -> Sequence[Any]:
        return self.column

    def columns(self) -> dict[str, np.ndarray]:
        at = {name: self.probability(where) for name, where in DISTANCES.items()}
        level = np.array(self.level, object)
        return {"level": level, "intercept": self.intercept, "slope": self.slope, **at}

    def to_dataframe(self) -> "DataFrame":
        """One line for each column, or for each level of a nominal one, indexed by the column."""
        return super().to_dataframe().rename_axis("column")

    def __repr__(self) -> str:
        return f"MissingMechanism(columns={len(set(self.column))})"


@public
def missing_mechanism(vae: VAE) -> MissingMechanism:
    """How the value of a cell decides whether it is missing, as a model has learned it.

    P(missing | x) = σ(intercept + slope (x - mean) / sd) for each column, with mean and sd of its
    observed cells; and a logit for each level of a nominal column.

    References:
        not-MIWAE: Deep Generative Modelling with Missing not at Random Data (Ipsen, Mattei,
        Frellsen, 2021).

    Arguments:
        vae: a fitted model with missing="self_masking".

    Returns:
        `MissingMechanism`: arrays with one entry for each column, and `to_dataframe()`.

    Raises:
        ValueError: another model.

    Example:
        >>> vae = VAE(data_shape=(2,), latent_dim=1, missing="self_masking")
        >>> missing_mechanism(vae).to_dataframe()["mean"].tolist()
        [0.5, 0.5]
    """
    missing = missing_module(vae)
    if not isinstance(missing, SelfMasking):
        raise ValueError(
            "missing_mechanism: expected a model with missing='self_masking', got one with "
            f"missing={vae.spec.missing!r}, which has none; make another and fit it"
        )
    entries = list(_entries(vae, missing.mechanism.lines()))
    columns, levels, intercepts, slopes = zip(*entries, strict=True)
    return MissingMechanism(columns, levels, np.array(intercepts), np.array(slopes))


def _entries(
    vae: VAE, lines: Sequence[Line]
) -> Iterator[tuple[Any, Any, float, float]]:
    """Column, level, intercept and slope of each line of the table."""
    table = vae.spec.table
    for position, line in enumerate(lines):
        column = None if table is None else table.modelled[position]
        name = position if column is None else column.name
        intercepts = as_numpy(line.intercept).astype(np.float64)
        if line.slope is not None:
            yield name, None, float(intercepts), float(as_numpy(line.slope))
            continue
        levels = level_names(column, len(intercepts))
        for level, intercept in zip(levels, intercepts, strict=True):
            yield name, level, float(intercept), np.nan
