"""Where the table of a text file begins, and what its columns are called."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pyro_vae.data.headers import Verdict, has_header, no_header
from pyro_vae.data.names import distinct, renaming
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_dialect import (
    MISSING,
    NAMES,
    WHITE_SPACE,
    Dialect,
    Head,
    Record,
    cells_of,
)
from pyro_vae.data.text_encoding import ONE_BYTE_ENCODINGS

ROW_NAMES = "row_names"
ZERO_FIRST = re.compile(r"0\d+")


@dataclass(frozen=True)
class Layout:
    """Where the table of a file is, and what its columns are called.

    Attributes:
        dialect: of the file.
        given: the names of all columns as they are given, one for each cell of a row.
        line: lines above the first row.
        has_names: whether the file has them.
        notes: sentences for the user.
        head: the first rows.
    """

    dialect: Dialect
    given: tuple[str, ...]
    line: int
    has_names: bool
    notes: tuple[str, ...]
    head: tuple[Record, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, each one once."""
        return distinct(self.given)

    @cached_property
    def codes(self) -> dict[str, str]:
        """The columns whose digits are no numbers, such as 01234, each with such a cell.

        Zeros at the front are lost in a number.
        """
        rows = [row for row in self.head if len(row) >= len(self.given)]
        found: dict[str, str] = {}
        for position, name in enumerate(self.names):
            cells = [row[position] for row in rows if row[position] not in MISSING]
            codes = [cell for cell in cells if ZERO_FIRST.fullmatch(cell)]
            if codes and all(cell.isdecimal() for cell in cells):
                found[name] = codes[0]
        return found

    @property
    def header(self) -> str:
        """What shows the number of columns, for a message."""
        if self.line > self.dialect.first_line:
            return f"line {self.line}"
        return "most lines"


def layout_of(head: Head, header: bool | None) -> Layout:
    """Where the table begins, and the names of its columns.

    Raises:
        Fault: the first line may be a header or a row; another number of names than of cells.
    """
    dialect, records, ends = head
    width = _width(records)
    first = _without_last_blank(records[0], width)
    has_row_names = len(first) == width - 1 and _are_row_names(records[1:], width)
    if len(first) == 1 and _is_title(records, dialect):
        has_row_names = False
    if has_row_names:
        first = [ROW_NAMES, *first]
    elif len(first) != width:
        where = dialect.first_line + 1
        got = dialect.first_line + ends[min(1, len(ends) - 1)]
        cells = "1 cell" if len(first) == 1 else f"{len(first)} cells"
        raise Fault(
            f"expected {cells} as in line {where}, got {width} in line {got}; correct "
            "that line, or delete the lines above the table"
        )
    verdict, comment = _verdict(first, records[1:], dialect, header, has_row_names)
    notes = _dialect_notes(dialect)
    if verdict.why is not None:
        notes.append(f"{verdict.why} (header=False takes them for a row)")
    if verdict.is_header:
        return _with_header(dialect, first, ends[0], notes)
    if comment is not None:
        notes.append("the last comment above the table has the names of the columns")
        return Layout(dialect, comment, dialect.first_line, True, tuple(notes))
    notes.append(no_header(width))
    given = tuple(map(str, range(width)))
    return Layout(dialect, given, dialect.first_line, False, tuple(notes))


def _with_header(
    dialect: Dialect, first: Record, lines: int, notes: list[str]
) -> Layout:
    given = tuple(first)
    line = dialect.first_line + lines
    if first[0] == ROW_NAMES:
        notes.append(f"the first column has no name, and is called {ROW_NAMES!r}")
    else:
        renamed = renaming(given, distinct(given))
        notes.extend([renamed] if renamed else [])
    return Layout(dialect, given, line, True, tuple(notes))


def _width(records: Sequence[Record]) -> int:
    """The usual number of cells of a row, without a blank one after the last delimiter."""
    below = records[1:] or records
    widths = Counter(map(len, below))
    width = max(widths, key=lambda one: (widths[one], one))
    usual = [record for record in below if len(record) == width]
    is_trailing = width > 1 and not any(record[-1] for record in usual)
    header_is_shorter = len(records[0]) == width - 1 or not records[0][-1]
    return width - (is_trailing and header_is_shorter)


def _without_last_blank(record: Record, width: int) -> Record:
    """A record without the blank cell after its last delimiter."""
    if len(record) == width + 1 and not record[-1]:
        return record[:-1]
    return record


def _are_row_names(records: Sequence[Record], width: int) -> bool:
    """Whether first cells are all different, as the names of rows are where R writes them."""
    firsts = [record[0] for record in records if len(record) == width]
    return len(set(firsts)) == len(firsts) > 0


def _is_title(records: Sequence[Record], dialect: Dialect) -> bool:
    """Whether the record below the first one is a header: text above a number."""
    if len(records) < 3 or any(map(dialect.is_number, records[1])):
        return False
    return any(map(dialect.is_number, records[2]))


def _verdict(
    first: Record,
    below: Sequence[Record],
    dialect: Dialect,
    header: bool | None,
    has_row_names: bool,
) -> tuple[Verdict, tuple[str, ...] | None]:
    """Whether the first record is a header, and the names that a comment has if it isn't."""
    comment = _names_in_comment(dialect, len(first))
    if header is not None:
        return Verdict(header), comment
    if has_row_names:
        return Verdict(True), None
    rows = [_without_last_blank(record, len(first)) for record in below]
    equal = [row for row in rows if len(row) == len(first)]
    try:
        return has_header([first, *equal], dialect.is_number), comment
    except Fault:
        if comment is None:
            raise
        return Verdict(False), comment


def _names_in_comment(dialect: Dialect, width: int) -> tuple[str, ...] | None:
    """The cells of the comment above the table, if they can be the names of its columns."""
    if dialect.comment is None:
        return None
    for delimiter in (dialect.delimiter, ",", WHITE_SPACE):
        cells, _ = next(cells_of(iter([dialect.comment]), delimiter))
        names = [cell.strip() for cell in cells]
        if (
            len(names) == width
            and all(names[1:])
            and not any(map(dialect.is_number, names))
        ):
            return tuple(names)
    return None


def _dialect_notes(dialect: Dialect) -> list[str]:
    notes = []
    if dialect.delimiter not in ",\t":
        notes.append(f"delimiter: {NAMES.get(dialect.delimiter, dialect.delimiter)}")
    if dialect.decimal == ",":
        notes.append("decimal comma")
    if dialect.encoding in ONE_BYTE_ENCODINGS:
        notes.append(encoding_note(dialect.encoding))
    return notes


def encoding_note(encoding: str) -> str:
    remedy = "save it as UTF-8 if letters look wrong"
    return f"the text is not UTF-8, and is read as {encoding}; {remedy}"
