"""What `impute` gives: completed tables, what is known of each missing cell, and how well."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.analysis.imputation.calibration import Calibrated
from pyro_vae.analysis.imputation.cells import LEVELS, MEDIAN, Cells
from pyro_vae.analysis.imputation.conditional import Conditional
from pyro_vae.analysis.imputation.tables import Holes, in_units, level_names
from pyro_vae.analysis.marginal_likelihood.pareto import khat_limit
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.data.columns import Column

if TYPE_CHECKING:
    from pandas import DataFrame

READING = (
    "mean and sd are those of p(x missing | x observed), 5% to 95% its quantiles; completed tables "
    "are draws from it; believe trusted rows, whose k-hat is at most 0.7"
)


@dataclass(frozen=True, repr=False)
class Imputation(Answer):
    """The missing cells of a table given the observed ones.

    Attributes:
        found: the cells as numbers of the model, and k-hat and ESS of each row.
        holes: the table.
        categories: how many each column of categories has.
        calibration: how well hidden cells were found; None where that wasn't asked for.
        seconds: the time that it took.
        self_masking: whether a cell may be missing because of its value.
    """

    found: Conditional
    holes: Holes
    categories: Mapping[int, int]
    calibration: Calibrated | None = None
    seconds: float = math.nan
    self_masking: bool = False

    @property
    def reading(self) -> str:
        assumed = "not to depend on its value, given the observed cells"
        if self.self_masking:
            assumed = "to depend on its value alone"
        return f"{READING}; whether a cell is missing is assumed {assumed}"

    def __repr__(self) -> str:
        return (
            f"Imputation(rows={len(self.pareto_k)}, imputed cells {len(self.cells)}, "
            f"tables {len(self.cells.draws)})"
        )

    @property
    def cells(self) -> Cells:
        """Each missing cell, in the numbers of the model."""
        return self.found.cells

    @property
    def pareto_k(self) -> np.ndarray:
        """k-hat of each row; nan where no cell is missing."""
        return self.found.pareto_k

    @property
    def ess(self) -> np.ndarray:
        """Effective number of draws of each row; nan where no cell is missing."""
        return self.found.ess

    @property
    def trusted(self) -> np.ndarray:
        """Whether k-hat of a row is at most its limit for the draws, or no cell is missing."""
        count = np.maximum(self.found.num_particles, 2)
        return np.asarray((self.pareto_k <= khat_limit(count)) | self._is_complete)

    @property
    def untrusted_share(self) -> float:
        """Of the rows with missing cells; nan where there are none."""
        lacking = ~self._is_complete
        return float((~self.trusted[lacking]).mean()) if lacking.any() else math.nan

    @property
    def _is_complete(self) -> np.ndarray:
        return self.found.num_particles == 0

    @property
    def mean(self) -> Any:
        """The table with each missing cell replaced by its mean, or its most probable category."""
        return self.holes.filled(self.cells.row, self.cells.column, self.cells.point)

    @property
    def completed(self) -> list[Any]:
        """The tables with the missing cells drawn from p(x missing | x observed)."""
        cells = self.cells
        return [
            self.holes.filled(cells.row, cells.column, draw) for draw in cells.draws
        ]

    def numbers(self) -> np.ndarray:
        """The completed tables in the numbers of the model, (tables, n, *data_shape)."""
        draws = self.cells.draws
        whole = np.repeat(self.holes.numbers[None], len(draws), 0)
        flat = whole.reshape(*whole.shape[:2], -1)
        flat[:, self.cells.row, self.cells.column] = draws
        return whole

    def widened(self, factor: float | None = None) -> "Imputation":
        """The same with wider intervals: quantiles further from the median, sd larger.

        Arguments:
            factor: of the width; None: that of the calibration.

        Raises:
            ValueError: no factor and no calibration.
        """
        if factor is None:
            if self.calibration is None:
                raise ValueError(
                    "widened: expected a factor, or a calibration that has one; impute with "
                    "calibrate=True"
                )
            factor = self.calibration.factor
        cells = self.cells
        median = cells.quantiles[:, [MEDIAN]]
        quantiles = median + factor * (cells.quantiles - median)
        wider = replace(cells, quantiles=quantiles, sd=factor * cells.sd)
        return replace(self, found=replace(self.found, cells=wider))

    def probabilities(self, column: str | int) -> "DataFrame":
        """The probability of each category, one line for each missing cell of a column.

        Raises:
            ValueError: a column without categories.
        """
        import pandas

        position = self._position(column)
        count = self.categories.get(position)
        if count is None:
            raise ValueError(
                f"probabilities: expected a column of categories, got {column!r}; see mean, sd and "
                "quantiles in to_dataframe()"
            )
        own = self.cells.column == position
        names = level_names(self._column(position), count)
        numbers = self.cells.probabilities[own, :count]
        index = pandas.Index(self._row_labels(self.cells.row[own]), name="row")
        return pandas.DataFrame(numbers, index=index, columns=names)

    def _position(self, column: str | int) -> int:
        schema = self.holes.schema
        if isinstance(column, int):
            return column
        names = () if schema is None else schema.names
        if column not in names:
            raise ValueError(
                f"column: unknown column {column!r}; expected one of {list(names)}, or a position"
            )
        return names.index(column)

    def _column(self, position: int) -> Column | None:
        """A column as the model knows it."""
        schema = self.holes.schema
        return None if schema is None else schema.modelled[position]

    def _row_labels(self, rows: np.ndarray) -> list[Any]:
        labels = self.holes.labels
        return [int(row) if labels is None else labels[row] for row in rows]

    def labels(self) -> Sequence[Any] | None:
        """The row of each missing cell."""
        return self._row_labels(self.cells.row)

    def columns(self) -> Mapping[str, np.ndarray]:
        """One entry for each missing cell, in the units of the data."""
        cells = self.cells
        schema = self.holes.schema
        names: Any = cells.column
        if schema is not None:
            names = np.array(schema.names, object)[cells.column]
        quantiles = {
            f"{100 * level:g}%": self._in_units(cells.quantiles[:, index])
            for index, level in enumerate(LEVELS)
        }
        return {
            "column": names,
            "value": self._in_units(cells.point),
            "mean_se": cells.mean_se,
            "sd": cells.sd,
            **quantiles,
            "probability": self._of_mode(),
            "pareto_k": self.pareto_k[cells.row],
            "trusted": self.trusted[cells.row],
        }

    def _of_mode(self) -> np.ndarray:
        """The probability of the most probable category; nan for numbers."""
        largest = np.nan_to_num(self.cells.probabilities, nan=-1.0).max(1, initial=-1.0)
        return np.where(largest >= 0, largest, np.nan)

    def _in_units(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of all cells in the units of their columns; objects where these differ."""
        schema = self.holes.schema
        if schema is None:
            return numbers
        is_plain = all(
            one.levels is None and one.unit is None for one in schema.modelled
        )
        found = np.full(len(numbers), np.nan, dtype=float if is_plain else object)
        for position in np.unique(self.cells.column):
            own = (self.cells.column == position) & ~np.isnan(numbers)
            found[own] = in_units(self._column(position), numbers[own])
        return found

    def totals(self) -> Sequence[Total]:
        """How many cells were imputed, and how far they are to be trusted."""
        lacking = int((~self._is_complete).sum())
        total = self.holes.numbers.size
        share = f"{len(self.cells) / total:.1%} of {total} cells, in {lacking} rows"
        return [
            Total("imputed", len(self.cells), unit="cells", note=share),
            *self._trust(lacking),
            *self._calibrated(),
            Total("seconds", self.seconds, digits=1),
        ]

    def _trust(self, lacking: int) -> Iterator[Total]:
        if not lacking:
            return
        share = self.untrusted_share
        count = int((~self.trusted).sum())
        fewest = int(self.found.num_particles[~self._is_complete].min())
        ess = float(np.nanmedian(self.ess))
        note = f"{fewest} draws or more for each row, of which {ess:.0f} effective (median)"
        text = (
            "all rows" if count == 0 else f"{1 - share:.1%} of rows with missing cells"
        )
        yield Total("trusted", 1 - share, text=text, note=note)
        if count:
            yield Total(
                "untrusted", count, text=f"{count} of {lacking} rows", note=DOUBT
            )

    def _calibrated(self) -> Iterator[Total]:
        if self.calibration is not None:
            yield from self.calibration.totals()


DOUBT = (
    "k-hat too high: their means and intervals may be wrong; take more num_particles, or fit a "
    "model with another guide"
)
