"""Rows in another context: draws, intervals and effects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.analysis.results.answer import Answer, Total, mean_and_se
from pyro_vae.analysis.results.levels import require_share
from pyro_vae.data import Schema
from pyro_vae.data.frame_output import as_frame

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 10
"""Effects in the summary, the largest first by their number of standard errors."""


@dataclass(frozen=True, repr=False)
class Transfer(Answer):
    """What rows would be in another context, by the model.

    Attributes:
        draws: x' ~ p(x' | z, c'), (draws, n, *data_shape).
        effects: E[x' | z, c'] - E[x' | z, c] for each number of a row, and for each level of a
            category its change in probability, (n, effects).
        names: of the effects.
        trusted: whether the draws of z of a row are to be trusted, (n,).
        table: the columns, for a model of a table, else None.
        row_labels: names of the rows, where the data have some, else None.
    """

    draws: np.ndarray
    effects: np.ndarray
    names: tuple[str, ...]
    trusted: np.ndarray
    table: Schema | None = None
    row_labels: tuple[Any, ...] | None = None

    reading = (
        "the mean change of each column over the rows, ± one standard error over rows: a statement "
        "about the model, and causal only where the context was assigned at random"
    )

    def interval(self, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
        """The central interval of x' for each number of a row, two arrays (n, *data_shape).

        Arguments:
            level: the probability inside, between 0 and 1.

        Raises:
            ValueError: a level outside of (0, 1).
        """
        require_share(level)
        ends = [(1 - level) / 2, (1 + level) / 2]
        low, high = np.quantile(self.draws, ends, axis=0)
        return low, high

    def tables(self) -> list[Any]:
        """The draws as tables of the columns of the model, or else as arrays."""
        if self.table is None:
            return list(self.draws)
        return [as_frame(self.table, rows) for rows in self.draws]

    def average_effects(self) -> "DataFrame":
        """The mean effect over rows, with its standard error over rows, a line for each effect."""
        import pandas

        pairs = [mean_and_se(column) for column in self.effects.T]
        columns = {
            "effect": [mean for mean, _ in pairs],
            "se": [se for _, se in pairs],
        }
        return pandas.DataFrame(columns, index=pandas.Index(self.names, name="column"))

    def totals(self) -> Sequence[Total]:
        count, _ = self.effects.shape
        pairs = [mean_and_se(column) for column in self.effects.T]
        mean, se = np.array(pairs).T
        with np.errstate(divide="ignore", invalid="ignore"):
            order = np.argsort(-np.abs(mean / se), kind="stable")
        share = f"{self.trusted.mean():.1%} of rows"
        return [
            Total("rows", count),
            Total("trusted", float(self.trusted.mean()), text=share),
            *(
                Total(self.names[i], float(mean[i]), float(se[i]))
                for i in order[:SHOWN]
            ),
        ]

    def columns(self) -> Mapping[str, np.ndarray]:
        each = {name: self.effects[:, i] for i, name in enumerate(self.names)}
        return {"trusted": self.trusted, **each}

    def labels(self) -> Sequence[Any] | None:
        return self.row_labels

    def __repr__(self) -> str:
        draws, rows = self.draws.shape[:2]
        return f"Transfer(rows={rows}, draws={draws})"
