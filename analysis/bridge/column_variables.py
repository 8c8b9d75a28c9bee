"""Rows as variables for ArviZ, each of one type; this file never imports torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyro_vae.analysis.bridge.arviz_objects import Array, as_integers

__all__ = ["ColumnVariables", "variable_names"]

DIMENSIONS = {"chain", "draw", "observation", "latent", "feature", "imputation"}
"""Names of dimensions, which no variable may have."""


@dataclass(frozen=True)
class ColumnVariables:
    """How the numbers of a row become variables.

    Where all modelled columns have one type, they are the variable "x". Where some are whole and
    some real, each column is a variable of its own, since an array has one type.

    Attributes:
        whole: columns of whole numbers: bits, counts, categories.
        real: columns of real numbers.
        given: columns that the model conditions on, such as a size factor.
        names: of the variables that single columns become, in the order of all columns.

    Example:
        >>> import numpy as np
        >>> table = ColumnVariables(whole=(0,), real=(1,), names=("grade", "weight"))
        >>> found = table.variables(np.array([[2.0, 70.5], [0.0, 64.0]]))
        >>> {name: values.dtype.name for name, values in found.items()}
        {'grade': 'int32', 'weight': 'float64'}
    """

    whole: tuple[int, ...] = ()
    real: tuple[int, ...] = ()
    given: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def are_several(self) -> bool:
        """Whether each column is a variable."""
        return bool(self.whole and self.real)

    @property
    def modelled(self) -> list[int]:
        """The columns that have a density or a probability, in their order."""
        return sorted((*self.whole, *self.real))

    @property
    def scalars(self) -> set[str]:
        """The variables with one number for each row."""
        return {self.names[column] for column in self.modelled if self.are_several}

    def variables(self, x: Array) -> Mapping[str, Array]:
        """The modelled columns of rows, (..., *data_shape)."""
        if self.are_several:
            return {self.names[i]: self._typed(i, x[..., i]) for i in self.modelled}
        if self.given:
            x = x[..., self.modelled]
        return {"x": as_integers(x) if self.whole else x}

    def constants(self, x: Array) -> Mapping[str, Array]:
        """The columns that are conditioned on."""
        return {self.names[column]: x[..., column] for column in self.given}

    def _typed(self, column: int, values: Array) -> Array:
        return as_integers(values) if column in self.whole else values


def variable_names(
    columns: Sequence[str] | None, count: int, symbol: str = "x"
) -> tuple[str, ...]:
    """The names of variables that are single columns: those of the columns where they can be.

    The others are numbered: those without a name, and names that are a dimension or that netCDF
    can't hold, which has "/" for groups.

    Example:
        >>> variable_names(["age", "km/h", "draw", "imputation"], 4)
        ('age', 'x[1]', 'x[2]', 'x[3]')
        >>> variable_names(None, 2, "c")
        ('c[0]', 'c[1]')
    """
    numbered = [f"{symbol}[{column}]" for column in range(count)]
    if columns is None:
        return tuple(numbered)
    pairs = zip(columns, numbered, strict=True)
    return tuple(name if _can_be(name) else other for name, other in pairs)


def _can_be(name: str) -> bool:
    is_taken = name in DIMENSIONS or name.strip() in {"", "."}
    return not is_taken and "/" not in name
