"""How unlikely rows are and why: scores, p-values, and the columns that explain them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_vae.analysis.outliers.columns import WHY
from pyro_vae.analysis.outliers.conformal import discoveries
from pyro_vae.analysis.results.answer import Answer, Total, row_name
from pyro_vae.analysis.results.tables import html_paragraph, html_table, yes_or_no

if TYPE_CHECKING:
    from pandas import DataFrame

LEVEL = 0.1
"""False discovery rate of the outliers in the summary."""
SMALL = 0.01
"""A p-value that is counted as small in the summary."""
SHOWN = 10
"""Rows in the summary."""
TOP = 3
"""Columns named for each row."""
SCORES = (
    "log_marginal",
    "se",
    "p_value",
    "typicality",
    "typicality_p_value",
    "trusted",
)
HEAD = (
    "row",
    "log p(x)",
    "p",
    "typical p",
    "trusted",
    "columns that make it less likely",
)
READING = (
    "p is small where log p(x) is low among the reference rows, typical p where it is far from "
    "their mean on either side; columns with the nats by which they lower log p(x)"
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Anomaly(Answer):
    """How unlikely each row is, and why; arrays have one entry for each row, in nats.

    log p(x) = Σᵢ shareᵢ - rate,   shareᵢ = E[log p(xᵢ | z)],   rate = KL(p(z | x) ‖ p(z)),   E over
    p(z | x)

    Attributes:
        log_marginal: log p(x).
        se: its Monte Carlo standard error.
        trusted: whether log p(x) is to be trusted; where it isn't, it is likely too low.
        p_value: of "this row is like the held-out ones", small where log p(x) is low; nan without a
            reference.
        typicality: |log p(x) - mean log p(x) of the reference|; nan without one.
        typicality_p_value: small where log p(x) is far from that mean, on either side; nan without
            a reference.
        reference: log p(x) of the reference rows, (m,); none without one.
        shared: how many of the rows are reference rows too; their p-values say nothing.
        shares: what each column adds to log p(x), (row, column); None where p(x | z) is no product
            over columns.
        share_se: their Monte Carlo standard errors, (row, column); None where there are no shares.
        usual: mean share of each column over the reference rows, without them over all rows,
            (column,); or None.
        usual_rate: mean rate over the same rows; nan without shares.
        column_names: names of the columns.
        row_labels: names of the rows, where the data have some, else None.
    """

    log_marginal: np.ndarray
    se: np.ndarray
    trusted: np.ndarray
    p_value: np.ndarray
    typicality: np.ndarray
    typicality_p_value: np.ndarray
    reference: np.ndarray
    shared: int
    shares: np.ndarray | None
    share_se: np.ndarray | None
    usual: np.ndarray | None
    usual_rate: float
    column_names: tuple[str, ...]
    row_labels: tuple[Any, ...] | None = None

    reading = READING

    def __len__(self) -> int:
        return len(self.log_marginal)

    @property
    def rate(self) -> np.ndarray:
        """Σᵢ shareᵢ - log p(x), (row,): how unusual z is; nan without shares."""
        if self.shares is None:
            return np.full(len(self), np.nan)
        rate: np.ndarray = self.shares.sum(1) - self.log_marginal
        return rate

    @property
    def excess(self) -> np.ndarray:
        """share - usual, (row, column): below 0 where a column makes a row less likely than usual.

        Raises:
            ValueError: no shares.
        """
        if self.shares is None or self.usual is None:
            raise ValueError(f"shares: {WHY}")
        excess: np.ndarray = self.shares - self.usual
        return excess

    def worst(self, n: int = SHOWN) -> np.ndarray:
        """The indices of the n least likely rows, the least likely first."""
        return np.argsort(np.nan_to_num(self.log_marginal, nan=-np.inf), kind="stable")[
            :n
        ]

    def outliers(self, level: float = LEVEL) -> np.ndarray:
        """The indices of unlikely rows, with a false discovery rate of at most `level`.

        Raises:
            ValueError: no reference to calibrate by; a level that is not between 0 and 1.
        """
        if not len(self.reference):
            raise ValueError(
                "outliers: expected p-values, got none; pass reference=held_out_rows to anomaly"
            )
        return discoveries(self.p_value, level)

    def top_columns(self, row: int, count: int = TOP) -> list[tuple[str, float]]:
        """What makes a row less likely than a usual one, the worst first, and by how many nats.

        All columns and "rate", which stands for an unusual z, add up to log p(x) - usual log p(x).

        Raises:
            ValueError: no shares.
        """
        if self.shares is None or self.usual is None:
            raise ValueError(f"shares: {WHY}")
        shares = self.shares[row]
        rate = shares.sum() - self.log_marginal[row]
        excess = np.append(shares - self.usual, self.usual_rate - rate)
        names = (*self.column_names, "rate")
        order = np.argsort(excess, kind="stable")[:count]
        return [
            (names[part], float(excess[part])) for part in order if excess[part] < 0
        ]

    def totals(self) -> Sequence[Total]:
        unit = f"of {len(self)} rows"
        median = float(np.median(self.log_marginal))
        totals = [
            Total("median log p(x)", median, unit="nats"),
            Total("trusted", int(self.trusted.sum()), unit=unit),
        ]
        if len(self.reference):
            note = f"at a false discovery rate of {LEVEL:.0%}"
            totals.append(Total("outliers", len(self.outliers()), unit=unit, note=note))
        return totals

    def columns(self) -> Mapping[str, np.ndarray]:
        columns = {name: getattr(self, name) for name in SCORES}
        if self.shares is not None:
            columns["rate"] = self.rate
        return columns

    def labels(self) -> Sequence[Any] | None:
        return self.row_labels

    def to_dataframe(self, top: int = TOP) -> "DataFrame":
        """One line for each row of x, in its order, with the columns that make it less likely.

        The least likely rows come first in `found.to_dataframe().iloc[found.worst(len(found))]`.

        Arguments:
            top: columns named for each row.
        """
        table = super().to_dataframe()
        if self.shares is not None:
            table["top_columns"] = [self._named(row, top) for row in range(len(self))]
        return table

    def summary(self, n: int = SHOWN) -> str:
        """How many rows stand out, the n least likely ones, and how to read the numbers."""
        low, middle, high = np.quantile(self.log_marginal, [0, 0.5, 1])
        trusted = f"trusted on {self.trusted.sum()} of {len(self)} rows"
        if not self.trusted.all():
            trusted += (
                "; on the others log p(x) is likely too low, and they seem too unlikely"
            )
        lines = [
            f"anomaly of {len(self)} rows: log p(x) from {low:.2f} to {high:.2f} nats, median "
            f"{middle:.2f}",
            trusted,
            *self._calibrated(),
            *self._table(n),
        ]
        if self.shares is None:
            lines.append(f"no columns: {WHY}")
        return "\n".join([*lines, self.reading])

    def __repr__(self) -> str:
        return f"Anomaly(rows={len(self)}, reference rows={len(self.reference)})"

    def _repr_html_(self) -> str:
        lines = [self._cells(row) for row in self.worst()]
        calibrated = html_paragraph("\n".join(self._calibrated()))
        return calibrated + html_table(HEAD, lines) + html_paragraph(self.reading)

    def _calibrated(self) -> list[str]:
        """What the p-values say, and how small they can be."""
        count = len(self.reference)
        if not count:
            return [
                "no p-values: pass reference=held_out_rows, which the model was not fitted to"
            ]
        mean = self.reference.mean()
        unlikely = int((self.p_value <= SMALL).sum())
        is_atypical = self.typicality_p_value <= SMALL
        too_likely = int((is_atypical & (self.log_marginal > mean)).sum())
        lines = [
            f"{count} reference rows, mean log p(x) {mean:.2f}; "
            f"the smallest possible p is {1 / (count + 1):.2g}",
            f"p <= {SMALL}: {unlikely} rows ({SMALL * len(self):.3g} expected of ordinary ones); "
            f"typical p <= {SMALL}: {is_atypical.sum()} rows, {too_likely} of them too likely",
            f"outliers at a false discovery rate of {LEVEL:.0%}: {len(self.outliers())} rows",
        ]
        # the smallest p-value, 1 / (count + 1), must pass the first threshold, LEVEL / rows
        needed = math.ceil(len(self) / LEVEL) - 1
        if count < needed:
            lines.append(
                f"one outlier alone among {len(self)} rows needs {needed} reference rows to be "
                "found"
            )
        if self.shared:
            lines.append(
                f"{self.shared} rows are reference rows too: their p-values say nothing"
            )
        return lines

    def _cells(self, row: int) -> list[str]:
        """The texts of a row, under `HEAD`."""
        return [
            row_name(self.row_labels, row),
            f"{self.log_marginal[row]:.2f} ± {self.se[row]:.2f}",
            f"{self.p_value[row]:.3g}",
            f"{self.typicality_p_value[row]:.3g}",
            yes_or_no(self.trusted[row]),
            "" if self.shares is None else self._named(row, TOP),
        ]

    def _table(self, n: int) -> list[str]:
        """The lines of the n least likely rows below their heads."""
        last = "columns that make it less likely (nats below the usual)"
        lines = [[*HEAD[:-1], last], *(self._cells(row) for row in self.worst(n))]
        width = max(6, *(len(name) for name, *_ in lines))
        return [
            f"{row:>{width}} {number:>18} {p:>8} {typical:>10}  {trusted:<7}  {named}".rstrip()
            for row, number, p, typical, trusted, named in lines
        ]

    def _named(self, row: int, top: int) -> str:
        return ", ".join(
            f"{name} ({nats:+.1f})" for name, nats in self.top_columns(row, top)
        )
