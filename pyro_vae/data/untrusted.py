"""Files of strangers: sizes are believed up to what the file can hold, and nesting up to 64."""

from collections.abc import Mapping
from typing import Any

from pyro_vae.data.stored import Fault

DEEPEST = 64
"""Tables and lists inside each other in a description."""
TOO_DEEP = f"expected at most {DEEPEST} tables and lists inside each other, got more"
MOST = 5_000_000
"""Values in a description."""
FEWEST_ROWS = 10_000_000
ROWS_PER_ENTRY = 100
"""A sparse matrix may have so many rows, and more where it has entries."""
LARGEST_RATIO = 1032
"""By which deflate makes a file smaller at most."""


def require_shallow(table: Any) -> None:
    """Raise ValueError for tables and lists that are nested too deep, or hold too many values.

    Example:
        >>> require_shallow({"a": [1, 2]})
        >>> nested = []
        >>> for _ in range(100):
        ...     nested = [nested]
        >>> require_shallow(nested)
        Traceback (most recent call last):
        ValueError: expected at most 64 tables and lists inside each other, got more
    """
    level: list[Any] = [table]
    count = 0
    for _ in range(DEEPEST + 1):
        level = [inner for value in level for inner in _inside(value)]
        count += len(level)
        if not level:
            return
        if count > MOST:
            raise ValueError(f"expected at most {MOST} values, got more")
    raise ValueError(TOO_DEEP)


def _inside(value: Any) -> "list[Any]":
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def consistent(matrix: Any) -> Any:
    """A SciPy sparse matrix as CSR, whose indices lie inside it: SciPy's own code trusts them.

    Raises:
        Fault: indices outside, or so many empty rows that no file of data has them.
    """
    from scipy.sparse import csr_array

    rows = matrix.shape[0]
    if rows > max(FEWEST_ROWS, ROWS_PER_ENTRY * matrix.nnz):
        raise Fault(
            f"expected a sparse matrix with more entries, got {rows} rows with {matrix.nnz} "
            "entries; leave out the rows without any"
        )
    if matrix.format in {"csr", "csc", "bsr"}:
        try:
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise Fault(
                f"expected a sparse matrix whose indices lie inside it, got: {error}; write it "
                "again"
            ) from error
    return csr_array(matrix)


def require_member(name: str, size: int, packed: int, needed: int) -> None:
    """Raise Fault where a member of a .npz file can't hold its array.

    Arguments:
        name: of the member.
        size: bytes that it has, as the archive says.
        packed: bytes of it in the file.
        needed: bytes of the array.
    """
    if needed > size or size > LARGEST_RATIO * packed + 1024:
        raise Fault(
            f"expected {needed} bytes for array {name!r}, got {min(size, packed)}; write it again"
        )
