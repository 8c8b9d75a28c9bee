"""What every result has: a printed summary, a table in a notebook, and a DataFrame of its rows."""

import html
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

ROW = "row"
"""The name of the index of `to_dataframe`."""
LONGEST = 24
"""Characters of a label in a printed table."""


class Total(NamedTuple):
    """One number about all rows.

    Attributes:
        name: what it is.
        value: the number.
        se: its standard error; nan where it has none.
        unit: of both, such as "nats per row".
        note: a remark on this number.
        digits: after the decimal point; whole numbers have none.
        text: what is shown instead of the number and its unit, such as "all rows".
    """

    name: str
    value: float
    se: float = math.nan
    unit: str = ""
    note: str = ""
    digits: int = 3
    text: str = ""

    def shown(self) -> str:
        """The number with its standard error and its unit.

        Example:
            >>> Total("log p(x)", -80.9, 0.58, "nats per row").shown()
            '-80.900 ± 0.580 nats per row'
        """
        if self.text:
            return self.text
        is_whole = isinstance(self.value, Integral)
        value = str(self.value) if is_whole else f"{self.value:.{self.digits}f}"
        error = "" if math.isnan(self.se) else f" ± {self.se:.{self.digits}f}"
        return f"{value}{error} {self.unit}".rstrip()


def mean_and_se(values: np.ndarray) -> tuple[float, float]:
    """The mean of n independent values and its standard error, sd / √n; nan for a single value.

    Example:
        >>> mean_and_se(np.array([1.0, 3.0]))
        (2.0, 1.0)
    """
    n = len(values)
    se = values.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return float(values.mean()), float(se)


def monte_carlo_se(se: np.ndarray, row_hashes: np.ndarray) -> float:
    """The standard error of a mean over rows: √Σ_g (n_g se_g)² / n over groups g of n_g equal rows.

    The draws of a row are seeded by its numbers, so equal rows have one error and not several.

    Example:
        >>> hashes = np.array([1, 1, 2], np.uint64)
        >>> monte_carlo_se(np.array([0.3, 0.3, 0.4]), hashes)  # √(0.6² + 0.4²) / 3
        0.24037...
    """
    _, first, counts = np.unique(row_hashes, return_index=True, return_counts=True)
    return float(np.sqrt(np.square(counts * se[first]).sum()) / len(se))


def row_name(labels: Sequence[Any] | None, row: int) -> str:
    """What a row is called: its label, shortened, or its number from 0.

    Example:
        >>> row_name(["owl", "tit"], 1), row_name(None, 1)
        ('tit', '1')
    """
    if labels is None:
        return str(row)
    name = " ".join(str(labels[row]).split())
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def dataframe_of_rows(
    columns: Mapping[str, np.ndarray], labels: Sequence[Any] | None
) -> "DataFrame":
    """Columns as a DataFrame, indexed by the labels of the rows, or else by their numbers.

    Example:
        >>> dataframe_of_rows({"score": np.array([1.0, 3.0])}, ["a", "b"]).index.tolist()
        ['a', 'b']
    """
    import pandas

    count = len(next(iter(columns.values())))
    index = range(count) if labels is None else list(labels)
    return pandas.DataFrame(
        dict(columns), index=pandas.Index(index, name=ROW, tupleize_cols=False)
    )


class Answer(ABC):
    """A result of the analysis: arrays with one number for each row, and totals over the rows.

    `print(result)` and the result at the end of a notebook's cell show the totals and how to read
    them; `to_dataframe()` gives one line for each row of the data.

    Example:
        >>> class Scores(Answer):
        ...     score = np.array([1.0, 3.0])
        ...     reading = "higher is better"
        ...     def totals(self):
        ...         return [Total("mean score", self.score.mean(), 1.0, "points")]
        ...     def columns(self):
        ...         return {"score": self.score}
        >>> print(Scores())
        mean score  2.000 ± 1.000 points
        higher is better
        >>> Scores().to_dataframe()["score"].tolist()
        [1.0, 3.0]
    """

    @property
    @abstractmethod
    def reading(self) -> str:
        """One line on how to read the numbers; a class attribute where it is always the same."""

    @abstractmethod
    def totals(self) -> Sequence[Total]:
        """The numbers about all rows."""

    @abstractmethod
    def columns(self) -> Mapping[str, np.ndarray]:
        """The columns of `to_dataframe`, each with one number for each row."""

    def labels(self) -> Sequence[Any] | None:
        """The names of the rows, where they are known."""
        return None

    def summary(self) -> str:
        """The totals with their standard errors, and how to read them."""
        totals = self.totals()
        width = max(len(total.name) for total in totals)
        lines = [f"{total.name:<{width}}  {_with_note(total)}" for total in totals]
        return "\n".join([*lines, self.reading])

    def to_dataframe(self) -> "DataFrame":
        """One line for each row of the data, in its order, indexed by its label."""
        return dataframe_of_rows(self.columns(), self.labels())

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """What a notebook displays."""
        rows = [_html_row(total) for total in self.totals()]
        reading = html.escape(self.reading).replace("\n", "<br>")
        return f"<table>{''.join(rows)}</table><p>{reading}</p>"


class HasLogMarginal:
    """A result with log p(x) of each row, and its mean."""

    log_marginal: np.ndarray

    @property
    def symbol(self) -> str:
        """What the numbers are: "log p(x)", or "log p(x | c)" of rows with a context."""
        measure: Any = getattr(self, "measure", None)
        return "log p(x)" if measure is None else str(measure.symbol)

    @property
    def mean_log_marginal(self) -> float:
        """Mean of log p(x) over rows, in nats per row."""
        return mean_and_se(self.log_marginal)[0]

    @property
    def mean_log_marginal_se(self) -> float:
        """Standard error of that mean over rows; nan for a single row."""
        return mean_and_se(self.log_marginal)[1]


class HasElbo:
    """A result with the ELBO of each row, and its mean."""

    elbo: np.ndarray

    @property
    def mean_elbo(self) -> float:
        """Mean of the guide's ELBO over rows, in nats per row."""
        return mean_and_se(self.elbo)[0]

    @property
    def mean_elbo_se(self) -> float:
        """Standard error of that mean over rows; nan for a single row."""
        return mean_and_se(self.elbo)[1]


def _with_note(total: Total) -> str:
    return f"{total.shown()}   ({total.note})" if total.note else total.shown()


def _html_row(total: Total) -> str:
    cells = (total.name, total.shown(), total.note)
    inside = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr>{inside}</tr>"
