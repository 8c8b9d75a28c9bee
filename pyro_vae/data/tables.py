"""A table: rows with names, kinds, levels and labels over one array of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from pyro_vae.data import inspection
from pyro_vae.data.coding import Numbers, numbers_of
from pyro_vae.data.column_choice import (
    Kinds,
    asked_kinds,
    decision_of,
    described,
    index_of,
    left_out,
    with_totals,
)
from pyro_vae.data.columns import (
    LABEL,
    LEFT_OUT,
    NOT_MODELLED,
    Column,
    Schema,
)
from pyro_vae.data.frame_output import as_frame
from pyro_vae.data.frames import cells_of, library_of, opened
from pyro_vae.data.kinds import Decision
from pyro_vae.data.moments import side_by_side
from pyro_vae.data.names import shortened
from pyro_vae.data.wide_tables import kind_of_all


@dataclass(frozen=True, eq=False)
class Table:
    """Rows with names of columns, over one array.

    Attributes:
        values: what the model sees, (n, D) float32 or float64; nan where a cell is missing.
        schema: the columns with their kinds, levels and offsets.
        labels: of the rows; None where there are none.
        reasons: why each column of the schema has its kind.
        notes: sentences on what was decided when the table was read.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"name": ["a", "b", "c"], "x": [0.5, 1.5, 4.0], "up": [1, 0, 1]})
        >>> made = table(frame)
        >>> made.names, made.kinds, made.labels
        (('x', 'up'), {'x': 'normal', 'up': 'bernoulli'}, ('a', 'b', 'c'))
    """

    values: np.ndarray
    schema: Schema
    labels: tuple[Any, ...] | None = None
    reasons: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that the model sees."""
        return self.schema.names

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each column that the model sees."""
        return {column.name: column.kind for column in self.schema.modelled}

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: Any) -> "Table":
        """Some rows, by a slice, their positions or a mask: `table[:50]`.

        Raises:
            ValueError: a single row or a name of a column.
        """
        if isinstance(rows, slice):
            return self.take(np.arange(len(self))[rows])
        if np.ndim(rows) != 1 or isinstance(rows, str):
            raise ValueError(
                f"expected a slice, positions or a mask of rows, got {rows!r}; a row is "
                "table[i : i + 1], and a column stands in table.to_dataframe()"
            )
        return self.take(np.asarray(rows))

    def take(self, rows: np.ndarray) -> "Table":
        """Some rows, by their positions or by a mask."""
        labels = self.labels
        if labels is not None:
            positions = np.arange(len(self))[rows]
            labels = tuple(labels[i] for i in positions)
        return replace(self, values=self.values[rows], labels=labels)

    def drop(self, names: Sequence[str]) -> "Table":
        """The same rows without some columns that the model sees; other names change nothing."""
        kept = [
            position for position, name in enumerate(self.names) if name not in names
        ]
        columns = [
            column
            for column in self.schema.columns
            if not (column.modelled and column.name in names)
        ]
        schema = self.schema.model_copy(update={"columns": tuple(columns)})
        return replace(self, values=self.values[:, kept], schema=schema, reasons=())

    @property
    def missing(self) -> dict[str, int]:
        """The number of missing cells in each column that has some."""
        counts = np.isnan(self.values).sum(axis=0)
        pairs = zip(self.names, counts.tolist(), strict=True)
        return {name: count for name, count in pairs if count}

    def complete(self) -> "Table":
        """The rows without a missing cell."""
        return self.take(~np.isnan(self.values).any(axis=1))

    def require_complete(self, name: str) -> None:
        """Raise ValueError where cells are missing, with their columns."""
        missing = self.missing
        if not missing:
            return
        shown = [f"{column} ({count})" for column, count in missing.items()]
        complete = len(self.complete())
        raise ValueError(
            f"{name}: expected a number in each cell, got {sum(missing.values())} missing cells in "
            f"the columns {shortened(shown)}; make the model with missing='at_random', which "
            f"takes them as missing, or take the {complete} complete of {len(self)} rows, "
            "frame.dropna() or table.complete(), or leave these columns out: drop=[...]"
        )

    def to_dataframe(self) -> Any:
        """The rows as a DataFrame of the library, dtypes and levels that they came in."""
        return as_frame(self.schema, self.values, self.labels)

    def summary(self) -> str:
        """The columns with their kinds, values, missing shares, and why each has its kind."""
        return inspection.summary(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"Table(rows={rows}, columns={columns})"


def table(
    frame: Any,
    *,
    columns: Sequence[str] | Kinds | None = None,
    drop: Sequence[str] = (),
    index: str | None = None,
    kind: str | Mapping[str, Any] | None = None,
    name: str = "x",
) -> Table:
    """A DataFrame of any library as a table, with a kind for each column.

    Arguments:
        frame: a DataFrame of pandas, polars, pyarrow or any other library that narwhals knows.
        columns: names of the columns to take; or kinds by name, {"species": "categorical"} or
            {"size": {"kind": "ordinal", "levels": ["S", "M", "L"]}}; other kinds are decided from
            the cells, see `decide`. "left_out" leaves a column out, "label" makes it the labels.
        drop: names of columns to leave out.
        index: the column with the labels of the rows; by default it is recognised.
        kind: of all columns of numbers whose kind isn't asked for by name.
        name: what messages call the data.

    Raises:
        ValueError: a name that the frame doesn't have, a kind that a column can't have, no rows, or
            no column to model.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"grade": ["good", "bad", "good"], "x": [1.5, 2.5, 0.5]})
        >>> levels = ["bad", "good"]
        >>> made = table(frame, columns={"grade": {"kind": "ordinal", "levels": levels}})
        >>> made.values[:, 0].tolist()
        [1.0, 0.0, 1.0]
    """
    data = opened(frame, name)
    if len(data) == 0:
        raise ValueError(f"{name}: expected at least one row, got a table of none")
    chosen, asked = asked_kinds(data, columns, drop, index, name)
    labels, index_column = None, None
    if LABEL not in asked.values():
        labels, index_column = index_of(frame)
    first = [] if index_column is None else [index_column]
    decided, numbers = _each_column(data, chosen, asked, kind, first, name)
    if not numbers:
        _refuse_nothing(data, decided, name)
    schema_columns = tuple(column for column, _ in decided)
    schema = Schema(columns=schema_columns, library=library_of(data))
    if labels is None and schema.label is not None:
        labels = tuple(data[schema.label].to_list())
    reasons = tuple(decision for _, decision in decided)
    return Table(stacked(numbers), schema, labels, reasons)


def _refuse_nothing(
    data: Any, decided: Sequence[tuple[Column, Decision]], name: str
) -> NoReturn:
    """Raise ValueError where no column is modelled, with the reason for each one."""
    in_data = [pair for pair in decided if pair[0].name in data.columns]
    if not in_data:
        raise ValueError(f"{name}: expected a column to model, got a table without any")
    reasons = [f"{column.name}, {why.why}" for column, why in in_data]
    first = in_data[0][0].name
    kind = "normal" if data[first].dtype.is_numeric() else "categorical"
    raise ValueError(
        f"{name}: expected a column to model, got none: {shortened(reasons)}; say the kind of one: "
        f'columns={{"{first}": "{kind}"}}'
    )


def _each_column(
    data: Any,
    chosen: Sequence[str],
    asked: Kinds,
    kind: str | Mapping[str, Any] | None,
    first: Sequence[tuple[Column, Decision]],
    name: str,
) -> tuple[list[tuple[Column, Decision]], list[Numbers]]:
    """Each column with its decision, after the first ones, and the numbers of those modelled."""
    decided = list(first)
    numbers = []
    whole = kind_of_all(data, chosen, asked)
    for position, column in enumerate(chosen):
        wish = asked.get(column)
        if wish == LEFT_OUT:  # its cells may be of any type
            decided.append(left_out(data, column))
            continue
        cells = cells_of(data[column], name)
        has_label = LABEL in [*asked.values(), *(one.kind for one, _ in decided)]
        decision = decision_of(cells, position, wish, not has_label, whole)
        is_free = wish is None and decision.kind not in NOT_MODELLED
        if is_free and kind is not None and cells.form == "number":
            wish = kind
            decision = decision_of(cells, position, kind, False, None)
        made = described(cells, decision, wish, name)
        decided.append((made, decision))
        if made.modelled:
            numbers.append(numbers_of(cells, made, name))
    return with_totals(decided, [one.values for one in numbers]), numbers


def stacked(numbers: Sequence[Numbers]) -> np.ndarray:
    """The numbers of all columns as one array of rows."""
    return side_by_side([one.values for one in numbers], [one.dtype for one in numbers])
