"""The columns of a table: names, kinds, levels, and how their cells become numbers."""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

LABEL = "label"
CONSTANT = "constant"
LEFT_OUT = "left_out"
NOT_MODELLED = (LABEL, CONSTANT, LEFT_OUT)
"""The kinds of columns that the model doesn't see; all others are names of likelihoods."""

MICROSECONDS = {
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
    "milliseconds": 1_000,
    "microseconds": 1,
}
"""The units of times, in microseconds."""

CATEGORIES = ("categorical", "ordinal")
"""The likelihoods whose values are positions among levels."""
RANDOM_EFFECT = "random_effect"
"""The kind of a column of a context whose levels are random effects: there may be new ones."""

Level = bool | int | float | str


class Column(BaseModel):
    """One column of a table.

    A cell becomes the number x that the model sees as follows:

    - levels: x is the position of the cell in `levels`, from 0;
    - times: x = (cell - origin) / unit, and durations x = cell / unit;
    - numbers and truth values: x = cell - offset, computed in float64.

    Attributes:
        name: as it stands in the table.
        kind: of the likelihood of this column, or "label" for the labels of the rows, "constant"
            for a column with one value, "left_out" for one that the model doesn't see.
        options: of the likelihood, such as total_count.
        dtype: of the cells, as the DataFrame's library writes it.
        levels: the values of a column of categories; None for numbers.
        ordered: whether the levels have an order.
        offset: subtracted from numbers.
        origin: of times, in ISO 8601 and UTC; None for others.
        unit: of times and durations; None for others.

    Example:
        >>> species = Column(name="species", kind="categorical", levels=("Adelie", "Gentoo"))
        >>> species.decoded(np.array([1.0, 0.0])).tolist()
        ['Gentoo', 'Adelie']
        >>> Column(name="day", kind="normal", offset=2459000.0).decoded(np.array([0.25])).item()
        2459000.25
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: str
    options: dict[str, Any] = Field(default_factory=dict)
    dtype: str = "float64"
    levels: tuple[Level, ...] | None = None
    ordered: bool = False
    offset: float = 0.0
    origin: str | None = None
    unit: (
        Literal["days", "hours", "minutes", "seconds", "milliseconds", "microseconds"]
        | None
    ) = None

    @property
    def modelled(self) -> bool:
        """Whether the model sees the column."""
        return self.kind not in NOT_MODELLED

    @property
    def unit_and_origin(self) -> str:
        """The unit of the numbers of times: "days since 2020-01-07"; empty for others."""
        if self.origin is None:
            return self.unit or ""
        day = self.origin.removesuffix(".000000").removesuffix("T00:00:00")
        return f"{self.unit} since {day}"

    @property
    def likelihood(self) -> dict[str, Any]:
        """The likelihood as a table {"kind": ..., options}."""
        options = dict(self.options)
        if self.kind in CATEGORIES and self.levels is not None:
            options["num_classes"] = max(2, len(self.levels))
        return {"kind": self.kind, **options}

    def decoded(self, numbers: np.ndarray) -> np.ndarray:
        """The cells for numbers that the model gives: levels, times, or numbers with the offset.

        Arguments:
            numbers: (n,) floats; a level's position is rounded, and cut to those that there are;
                nan, a missing cell, is None among levels.
        """
        if self.levels is not None:
            last = len(self.levels) - 1
            positions = np.clip(np.rint(np.nan_to_num(numbers)), 0, last).astype(int)
            levels = np.empty(len(self.levels), dtype=object)
            levels[:] = self.levels
            cells = levels[positions]
            cells[np.isnan(numbers)] = None
            return cells
        if self.unit is not None:
            spans = np.rint(numbers.astype(np.float64) * MICROSECONDS[self.unit])
            durations = spans.astype("timedelta64[us]")
            if self.origin is None:
                return durations
            return np.datetime64(self.origin, "us") + durations
        return numbers.astype(np.float64) + self.offset


class Schema(BaseModel):
    """The columns of a table in order, and the library of its DataFrame.

    Attributes:
        columns: all of them; those that the model sees have the name of a likelihood as kind.
        library: "pandas", "polars" or "pyarrow".

    Example:
        >>> real = Column(name="bill", kind="normal")
        >>> species = Column(name="species", kind="categorical", levels=("a", "b", "c"))
        >>> schema = Schema(columns=(Column(name="id", kind="label"), real, species))
        >>> schema.names, schema.label
        (('bill', 'species'), 'id')
        >>> schema.likelihood["columns"][1]
        {'columns': [1], 'kind': 'categorical', 'num_classes': 3}
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: tuple[Column, ...]
    library: str = "pandas"

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that the model sees, in the order of its rows."""
        return tuple(column for column in self.columns if column.modelled)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns that the model sees."""
        return tuple(column.name for column in self.modelled)

    @property
    def label(self) -> str | None:
        """The name of the column that has the labels of the rows; None where there is none."""
        labels = [column.name for column in self.columns if column.kind == LABEL]
        return labels[0] if labels else None

    @property
    def likelihood(self) -> dict[str, Any]:
        """The likelihood of a row: that of all columns, or `mixed` with one group for each kind."""
        groups: list[tuple[dict[str, Any], list[int]]] = []
        for position, column in enumerate(self.modelled):
            for likelihood, positions in groups:
                if likelihood == column.likelihood:
                    positions.append(position)
                    break
            else:
                groups.append((column.likelihood, [position]))
        if len(groups) == 1:
            return groups[0][0]
        columns = [
            {"columns": positions, **likelihood} for likelihood, positions in groups
        ]
        return {"kind": "mixed", "columns": columns}

    @property
    def offsets(self) -> np.ndarray:
        """What is subtracted from each column that the model sees, (D,)."""
        return np.array([column.offset for column in self.modelled])
