"""Tables with their missing cells filled: the observed cells stay as they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pyro_vae.data import Schema, Table
from pyro_vae.data.coding import coded
from pyro_vae.data.columns import Column
from pyro_vae.data.frame_output import as_frame, zone_of
from pyro_vae.data.frames import cells_of, is_frame, library_of, opened
from pyro_vae.data.matching import as_table


@dataclass(frozen=True)
class Holes:
    """A table with missing cells, which may be filled in several ways.

    Attributes:
        x: the data as they came.
        schema: the columns of the model; None where it doesn't know them.
        numbers: the rows as the model's numbers, nan where a cell is missing, (n, *data_shape); of
            a DataFrame in float64, so that observed cells lose no digit.
        labels: of the rows.
    """

    x: Any
    schema: Schema | None
    numbers: np.ndarray
    labels: tuple[Any, ...] | None

    @classmethod
    def of(
        cls,
        x: Any,
        rows: np.ndarray,
        schema: Schema | None,
        labels: tuple[Any, ...] | None,
    ) -> "Holes":
        """The holes of data of any kind, which are `rows` in the numbers of the model."""
        return cls(x, schema, _numbers(x, rows, schema), labels)

    def filled(self, row: np.ndarray, column: np.ndarray, values: np.ndarray) -> Any:
        """The table with numbers of the model in some cells.

        Arguments:
            row, column: of the cells; the column is that of the flattened row.
            values: for the cells.

        Returns:
            A DataFrame with the columns, dtypes and levels of the data where the model knows its
            columns, otherwise an array.
        """
        whole = self.numbers.copy()
        whole.reshape(len(whole), -1)[row, column] = values
        if self.schema is None:
            return whole
        changed = {self.schema.names[position] for position in np.unique(column)}
        if is_frame(self.x) and library_of(opened(self.x, "x")) == self.schema.library:
            return self._merged(as_frame(self.schema, whole), changed)
        return as_frame(self.schema, whole, self.labels)

    def _merged(self, made: Any, changed: set[str]) -> Any:
        """The data with the columns that had missing cells replaced; others are not touched."""
        import narwhals as nw

        frame = opened(self.x, "x")
        new = nw.from_native(made, eager_only=True)
        columns = [new[name] for name in self.schema_names() if name in changed]
        return frame.with_columns(*columns).to_native() if columns else self.x

    def schema_names(self) -> tuple[str, ...]:
        """The names of the columns that the model sees."""
        return () if self.schema is None else self.schema.names


def _numbers(x: Any, rows: np.ndarray, schema: Schema | None) -> np.ndarray:
    if is_frame(x) and schema is not None:
        data = opened(x, "x")
        each = [coded(cells_of(data[one.name]), one, "x") for one in schema.modelled]
        return np.stack(each, 1)
    if isinstance(x, Table):
        # another table may have other offsets, or its columns in another order
        return np.array(as_table(x, schema, exact=True).values)
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.shape == rows.shape:
        exact = np.where(np.isnan(rows), np.nan, np.ma.getdata(x))
        return exact.astype(x.dtype)
    return rows


def in_units(column: Column | None, numbers: np.ndarray) -> Any:
    """Numbers of the model as cells of the data: with the offset, as levels or as times.

    Times of a column with a zone are in that zone.

    Example:
        >>> in_units(Column(name="day", kind="normal", offset=10.0), np.array([0.5])).tolist()
        [10.5]
    """
    if column is None:
        return numbers
    cells = column.decoded(numbers)
    zone = zone_of(column)
    if zone is None:
        return cells
    import pandas as pd

    return pd.DatetimeIndex(cells).tz_localize("UTC").tz_convert(zone)


def level_names(column: Column | None, count: int) -> list[Any]:
    """The names of the categories of a column; their numbers where the model knows no names."""
    if column is None or column.levels is None:
        return list(range(count))
    return list(column.levels)[:count]
