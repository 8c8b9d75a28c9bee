"""Hashes of the rows of a run: which rows of any file the model was fitted to."""

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from pyro_vae.data import SparseArray, Splits
from pyro_vae.experiment.splits import ExperimentRows

Hashes = npt.NDArray[np.uint64]

FILE = "rows.npz"
_CHUNK = 4096
"""Rows that are read together, so that a memory-mapped file is never read as a whole."""


def hashes_of(rows: np.ndarray | SparseArray) -> Hashes:
    """A hash below 2**64 of the numbers of each row as float32: equal for rows that are equal.

    The type in which a file stores the numbers doesn't count, nor do digits beyond float32, which
    text formats may add or leave out. By chance two of n rows share a hash with a probability near
    n²/2**65: 3e-8 of a million.

    Example:
        >>> x = np.array([[0.1, 2.0], [0.1, 2.0], [0.1, 3.0]])
        >>> first, second, third = hashes_of(x)
        >>> bool(first == second), bool(first == third)
        (True, False)
        >>> np.array_equal(hashes_of(x.astype(np.float32)), hashes_of(x))
        True
    """
    hashes = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), _CHUNK):
        part = np.asarray(rows[start : start + _CHUNK])
        with np.errstate(over="ignore"):  # beyond float32 it is inf
            numbers = part.reshape(len(part), -1).astype("<f4")
        numbers += 0  # -0.0 becomes 0.0
        numbers[np.isnan(numbers)] = np.nan  # of which there are many
        digests = b"".join(_digests(numbers.tobytes(), len(numbers)))
        hashes[start : start + _CHUNK] = np.frombuffer(digests, dtype="<u8")
    return hashes


def _digests(rows: bytes, count: int) -> Iterator[bytes]:
    """The hash of each of several rows that stand one after another."""
    width = len(rows) // count
    for start in range(0, len(rows), width):
        yield hashlib.blake2b(rows[start : start + width], digest_size=8).digest()


@dataclass(frozen=True)
class RowHashes:
    """The hashes of the rows of a run, in ascending order.

    Attributes:
        fitted: of the rows that the training has seen, also those that chose the best epoch.
        held_out: of the test rows.

    Example:
        >>> known = RowHashes(hashes_of(np.eye(3)), hashes_of(np.zeros((1, 3))))
        >>> known.were_fitted(np.array([[0, 1, 0], [0, 2, 0]]))
        array([ True, False])
    """

    fitted: Hashes
    held_out: Hashes

    @classmethod
    def of(cls, rows: ExperimentRows, source: Splits) -> Self:
        """The hashes of an experiment's rows, as the source has them."""
        fitted = hashes_of(source.train)
        if source.test is not None:
            held_out = hashes_of(source.test)
        else:
            held_out = fitted[rows.row_numbers]
            fitted = np.delete(fitted, rows.row_numbers)
        if source.valid is not None:
            fitted = np.concatenate([fitted, hashes_of(source.valid)])
        return cls(np.sort(fitted), np.sort(held_out))

    def write(self, file: Path) -> None:
        """Eight bytes a row, in a .npz file."""
        with file.open("wb") as stream:
            np.savez(stream, fitted=self.fitted, held_out=self.held_out)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Those that a folder holds; None where it holds none that can be read."""
        try:
            with (folder / FILE).open("rb") as stream:
                arrays = np.load(stream, allow_pickle=False)
                return cls(arrays["fitted"], arrays["held_out"])
        except (OSError, EOFError, LookupError, ValueError, zipfile.BadZipFile):
            return None

    def were_fitted(self, rows: np.ndarray | SparseArray) -> npt.NDArray[np.bool_]:
        """Whether each row equals one that the training has seen."""
        return np.isin(hashes_of(rows), self.fitted)

    def compared_with(self, source: Splits) -> str:
        """What a source holds instead of the rows of the run, as a half-sentence."""
        before = np.sort(np.concatenate([self.fitted, self.held_out]))
        parts = (source.train, source.valid, source.test)
        hashes = [hashes_of(part) for part in parts if part is not None]
        now = np.sort(np.concatenate(hashes))
        if np.array_equal(before, now):
            return "these in another order, or with other digits"
        shared = _shared(before, now)
        new = len(now) - shared
        if shared == len(before):
            return f"these {shared} and {new} more"
        return f"{shared} of these {len(before)} and {new} others"


def _shared(first: Hashes, second: Hashes) -> int:
    """How many members two multisets have in common."""
    values, counts = np.unique(first, return_counts=True)
    others = np.searchsorted(second, values, "right") - np.searchsorted(second, values)
    return int(np.minimum(counts, others).sum())
