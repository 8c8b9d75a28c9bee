"""Lines of a text file: opened whatever its compression, and found again for a message."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pyro_vae.data.names import shortened
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_dialect import Dialect, Record, cells_of

HEAD_BYTES = 1 << 16
MOST_HEAD_BYTES = 1 << 24
HEAD_LINES = 10
OPENERS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
COMPRESSIONS = (*OPENERS, ".zip")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed by its suffix; of a .zip, its only file."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(_only_member(archive)) as stream,
        ):
            yield stream
        return
    with OPENERS.get(suffix, open)(path, "rb") as stream:
        yield stream


def _only_member(archive: zipfile.ZipFile) -> str:
    members = [
        name
        for name in archive.namelist()
        if not name.endswith("/") and not name.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        raise Fault(
            f"expected an archive of one file, got {len(members)} ({shortened(members)}); unpack "
            "it and give the path of one of them"
        )
    return members[0]


def head_bytes(path: Path) -> tuple[bytes, bool]:
    """The first 64 kB of a file, more if that is fewer than 20 lines; and whether that is all."""
    with opened(path) as stream:
        content = stream.read(HEAD_BYTES)
        while content.count(b"\n") < HEAD_LINES and len(content) < MOST_HEAD_BYTES:
            more = stream.read(len(content))
            if not more:
                return content, True
            content += more
        return content, not stream.read(1)


@contextmanager
def text_below(path: Path, dialect: Dialect, line: int) -> Iterator[io.TextIOWrapper]:
    """The text of a file below its first `line` lines."""
    with opened(path) as stream:
        text = io.TextIOWrapper(stream, dialect.encoding, newline="")
        for _ in range(line):
            text.readline()
        yield text


@contextmanager
def input_of_pandas(
    path: Path, dialect: Dialect, line: int
) -> Iterator[tuple[str | IO[Any], int]]:
    """What pandas is to read below the first `line` lines, and how many lines it skips itself.

    UTF-8 that isn't compressed goes by its path: pandas reads a large file in threads then (3.1,
    `mode.max_threads`), and doesn't where it is given a stream. Compressed UTF-8 goes as bytes,
    which pandas needn't decode. All else goes as text, also a file with lines that end in a
    carriage return alone, which neither a stream of bytes nor `skiprows` counts.
    """
    is_utf8 = dialect.encoding in ("utf-8", "utf-8-sig")
    if not is_utf8 or not _have_plain_ends(path, line):
        with text_below(path, dialect, line) as text:
            yield text, 0
    elif path.suffix.lower() in COMPRESSIONS:
        with opened(path) as stream:
            yield stream, line
    else:
        yield str(path.absolute()), line


def _have_plain_ends(path: Path, line: int) -> bool:
    """Whether the first lines end in a line feed, and no quote goes on beyond it."""
    with opened(path) as stream:
        above = [stream.readline().rstrip(b"\r\n") for _ in range(line)]
    return not any(b"\r" in one or one.count(b'"') % 2 for one in above)


def records(path: Path, dialect: Dialect, line: int) -> Iterator[tuple[Record, int]]:
    """The records below the first `line` lines, and the number of the line each one ends in."""
    with text_below(path, dialect, line) as text:
        for record, number in cells_of(text, dialect.delimiter):
            if any(cell.strip() for cell in record):
                yield record, line + number


def line_of(path: Path, dialect: Dialect, line: int, column: int, cell: str) -> int:
    """The line in which a column has a cell."""
    for record, number in records(path, dialect, line):
        if column < len(record) and record[column].strip() == cell.strip():
            return number
    return 0


def start_of_last_record(path: Path, dialect: Dialect, line: int) -> int:
    """The line in which the last record begins; it may be too long to be read."""
    start = end = line
    try:
        for _, number in records(path, dialect, line):
            start = end
            end = number
    except csv.Error:
        start = end
    return start + 1


def check_widths(
    path: Path, dialect: Dialect, line: int, width: int, first: str
) -> None:
    """Raise Fault at the first record with another number of cells than `width`.

    Arguments:
        line: where the rows begin.
        first: what has `width` cells, for the message.
    """
    for record, number in records(path, dialect, line):
        got = len(record)
        if (
            got == width + 1 and not record[-1].strip()
        ):  # the line ends with a delimiter
            got = width
        if got != width:
            raise Fault(
                f"expected {width} cells as in {first}, got {got} in line {number}; correct that "
                "line"
            )


def has_short_line(path: Path, dialect: Dialect, line: int, width: int) -> bool:
    """Whether some line may have fewer than `width` cells: a quick look, without quotes."""
    if len(dialect.delimiter) > 1:
        return True
    fewest = width - 1
    delimiter = dialect.delimiter
    with text_below(path, dialect, line) as text:
        return any(
            '"' in row or (row.count(delimiter) < fewest and row.strip())
            for row in text
        )
