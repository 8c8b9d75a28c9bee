"""The arrays of a source: shape and type are known before the values are read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

LONGEST = 500
"""Characters of another library's message."""


@dataclass(frozen=True)
class Stored:
    """One array of a source.

    Attributes:
        shape, dtype: of the array, from the header of its file.
        read: returns the values, as an array or a SciPy sparse array.
        is_sparse: whether they are stored as a sparse matrix.
        columns: their names, where an array of the source has its own.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], Any]
    is_sparse: bool = False
    columns: tuple[str, ...] | None = None

    @property
    def holds_numbers(self) -> bool:
        """Whether the values are real numbers or booleans."""
        return self.dtype.kind in "buif"

    def __str__(self) -> str:
        sparse = " sparse" if self.is_sparse else ""
        return f"{self.shape} {self.dtype}{sparse}"


def in_memory(values: Any) -> Stored:
    """An array or a SciPy sparse array whose values have been read already."""
    is_sparse = not isinstance(values, np.ndarray)
    return Stored(tuple(values.shape), values.dtype, lambda: values, is_sparse)


class Contents(NamedTuple):
    """What a source holds.

    Attributes:
        arrays: by name, "" for one without a name.
        columns: their names, where they are the same for all arrays.
        labels: the names of the rows, of each array with as many rows.
        notes: sentences for the user on how the source was read.
        main: the name of the array that the format itself takes for the rows, and what it is.
        left_out: what else the source holds, which can't be rows, such as "T (table)".
    """

    arrays: dict[str, Stored]
    columns: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    main: tuple[str, str] | None = None
    left_out: tuple[str, ...] = ()

    def labels_of(self, name: str) -> tuple[str, ...] | None:
        """The names of the rows of an array."""
        if self.labels is None or len(self.labels) != self.arrays[name].shape[0]:
            return None
        return self.labels

    def columns_of(self, name: str) -> tuple[str, ...] | None:
        """The names of the columns of an array."""
        own = self.arrays[name].columns
        return self.columns if own is None else own


class Fault(Exception):
    """What was expected, what was got and the remedy; `errors_name` adds the source."""


@contextmanager
def errors_name(source: str) -> Iterator[None]:
    """Turn whatever goes wrong while a source is read into a ValueError that begins with it."""
    try:
        yield
    except Fault as fault:
        raise ValueError(f"{source}: {fault}") from None
    except MemoryError as error:
        raise MemoryError(
            f"{source}: asks for more memory than there is ({str(error) or 'by its header'}); take "
            "fewer columns, or write it again if it is damaged"
        ) from error
    except PermissionError as error:
        raise ValueError(
            f"{source}: expected a file that you may read, got no permission; ask its owner for it"
        ) from error
    except ImportError as error:
        raise ValueError(
            f"{source}: expected a reader, got {error}; install it (.parquet: pandas, pyarrow)"
        ) from error
    except Exception as error:  # a damaged file fails in many ways
        got = f"{type(error).__name__}: {error}"
        if len(got) > LONGEST:  # some libraries quote what they could not read
            got = f"{got[:LONGEST]}..."
        raise ValueError(
            f"{source}: expected a complete file of its format, got {got}; write it again"
        ) from error
