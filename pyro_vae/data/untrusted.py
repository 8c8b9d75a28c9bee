"""Files of strangers: sizes are believed up to what the file can hold, and nesting up to 64."""

from collections.abc import Mapping
from typing import IO, Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipInfo

from pyro_vae.data.stored import Fault

DEEPEST = 64
"""Tables and lists inside each other in a description."""
TOO_DEEP = f"expected at most {DEEPEST} tables and lists inside each other, got more"
MOST_VALUES = 5_000_000
"""Values in a description."""
ROWS_ALWAYS_ALLOWED = 10_000_000
ROWS_PER_ENTRY = 100
"""A sparse matrix may have so many rows, and more where it has entries."""
LARGEST_RATIO = 1032
"""By which deflate makes a file smaller at most."""
CHUNK = 2**20
"""Bytes that are read together."""


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
        if count > MOST_VALUES:
            raise ValueError(f"expected at most {MOST_VALUES} values, got more")
    raise ValueError(TOO_DEEP)


def _inside(value: Any) -> list[Any]:
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
    if rows > max(ROWS_ALWAYS_ALLOWED, ROWS_PER_ENTRY * matrix.nnz):
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


def require_member(info: ZipInfo, stream: IO[bytes], needed: int) -> None:
    """Raise Fault where a member of a .npz file can't hold its array.

    What the archive says of the size is believed up to what deflate can do. Other methods can do
    more, and there the bytes are counted.

    Arguments:
        info: what the archive says of the member.
        stream: the member, after the header of its array.
        needed: bytes of the array.
    """
    held = min(info.file_size, LARGEST_RATIO * info.compress_size + 1024)
    is_denser = info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}
    if is_denser and held < needed <= info.file_size:
        held = _counted(stream, needed)
    if held < needed:
        raise Fault(
            f"expected {needed} bytes in the member {info.filename!r}, got at most {held}; write "
            "it again"
        )


def _counted(stream: IO[bytes], most: int) -> int:
    """How many bytes a stream has, up to `most`."""
    count = 0
    while count < most:
        part = stream.read(min(CHUNK, most - count))
        if not part:
            break
        count += len(part)
    return count
