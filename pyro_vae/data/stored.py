"""The arrays of a source: shape and type are known before the values are read."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Stored:
    """One array of a source.

    Attributes:
        shape, dtype: of the array, from the header of its file.
        read: returns the values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], np.ndarray]

    @property
    def holds_numbers(self) -> bool:
        """Whether the values are real numbers or booleans."""
        return self.dtype.kind in "buif"

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


def in_memory(values: np.ndarray) -> Stored:
    """An array whose values have been read already."""
    return Stored(values.shape, values.dtype, lambda: values)


class Contents(NamedTuple):
    """What a source holds: arrays by name, "" for one without a name, and the names of columns."""

    arrays: dict[str, Stored]
    columns: tuple[str, ...] | None = None


class Fault(Exception):
    """What was expected, what was got and the remedy; `errors_name` adds the source."""


@contextmanager
def errors_name(source: str) -> Iterator[None]:
    """Turn whatever goes wrong while a source is read into a ValueError that begins with it."""
    try:
        yield
    except Fault as fault:
        raise ValueError(f"{source}: {fault}") from None
    except MemoryError:
        raise
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
        raise ValueError(
            f"{source}: expected a complete file of its format, got {got}; write it again"
        ) from error
