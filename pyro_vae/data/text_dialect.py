"""How a text file writes its table: encoding, delimiter, decimal mark, lines above the table.

All is decided from the head of the file.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyro_vae.data.stored import Fault
from pyro_vae.data.text_encoding import encoding_of

WHITE_SPACE = r"\s+"
DELIMITERS = ("\t", ";", "|", ",", WHITE_SPACE)
"""In order of preference where two of them divide the lines equally well."""
NAMES = {
    "\t": "tab",
    ";": "';'",
    "|": "'|'",
    ",": "','",
    WHITE_SPACE: "white space",
}
MOST_LETTERS = 1 << 14
COMMENTS = ("#", "%")
ALWAYS_MISSING = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>"),
    *("NaN", "nan", "-NaN", "-nan", "NULL", "null"),
    *("1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""Cells that are missing in all columns. "None" isn't one: it is a level of many categories."""
MISSING_AMONG_NUMBERS = (
    *("?", ".", "-", "--", "*", "..", "...", "None", "none", "NONE"),
    *("N.A.", "n.a.", "na", "Na", "NaT", "#DIV/0!", "#VALUE!", "#REF!", "#NUM!"),
)
"""Cells that are missing in a column of numbers, and text in others."""
MISSING = frozenset((*ALWAYS_MISSING, *MISSING_AMONG_NUMBERS))

NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|Inf|infinity|Infinity|INF)"
)
CURRENCIES = "%$€£¥ \xa0"
COMMA_NUMBER = re.compile(
    r"[+-]?(\d*,\d+|\d{1,3}([. '’\xa0\u202f]\d{3})*,\d+)([eE][+-]?\d+)?"
)
GROUPED = {
    ".": re.compile("[+-]?\\d{1,3}([, '\u00a0\u202f]\\d{3})+(\\.\\d*)?"),
    ",": re.compile("[+-]?\\d{1,3}([. '\u00a0\u202f]\\d{3})+(,\\d*)?"),
}
"""Numbers whose thousands are separated, by the decimal mark."""
TOKEN = re.compile(r'"((?:[^"]|"")*)"(?![^ \t\r\n])|([^ \t\r\n]+)')

Record = list[str]


@dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Attributes:
        encoding: of the text.
        delimiter: between cells; WHITE_SPACE for any run of blanks.
        decimal: the decimal mark.
        first_line: lines above the first row or header, all of them left out.
        comment: the last line of comments above, without its mark; it may have the names.
        has_blanks: whether blanks may follow a delimiter.
    """

    encoding: str
    delimiter: str
    decimal: str = "."
    first_line: int = 0
    comment: str | None = None
    has_blanks: bool = True

    def is_number(self, cell: str) -> bool:
        """Whether a cell is a number as this file writes them."""
        if self.decimal == ",":
            cell = cell.replace(".", "x").replace(",", ".")
        return NUMBER.fullmatch(cell) is not None


class Head(NamedTuple):
    """The first lines of a table: its dialect, its records and the lines that each one takes."""

    dialect: Dialect
    records: list[Record]
    ends: list[int]


def head_of(
    content: bytes,
    is_whole: bool,
    delimiter: str | None = None,
    decimal: str | None = None,
) -> Head:
    """The dialect and the first records of a text.

    Arguments:
        content: the first bytes of the file.
        is_whole: whether that is the whole file; otherwise the last line may be cut.
        delimiter: between cells; None for the one that divides the lines best.
        decimal: the decimal mark; None for the one that the numbers have.

    Raises:
        Fault: no text, no line, or numbers that may have either decimal mark.
    """
    encoding = encoding_of(content)
    text = content.decode(encoding, errors="replace")
    lines = re.split("(?<=\n)|(?<=\r)(?!\n)", text)
    if not is_whole and len(lines) > 1:
        lines.pop()
    above, comment, declared = _above(lines)
    delimiter = _known(delimiter) or declared
    lines = lines[above:]
    if not any(line.strip() for line in lines):
        raise Fault("expected at least one row, got none; write the file again")
    best = _best_delimiter(_some(lines))
    if delimiter is None:
        delimiter = best
    elif best != delimiter and not _divides(delimiter, lines) and _divides(best, lines):
        raise Fault(
            f"expected cells divided by {_shown(delimiter)}, got lines that have {_shown(best)}; "
            f"pass that as delimiter=, or leave delimiter= out"
        )
    records, ends = _records(lines, delimiter, is_whole)
    if decimal is None:
        decimal = _decimal_mark(records, delimiter)
    has_blanks = any(f"{delimiter} " in line for line in lines)
    dialect = Dialect(encoding, delimiter, decimal, above, comment, has_blanks)
    return Head(dialect, records, ends)


def _some(lines: Sequence[str]) -> Sequence[str]:
    """The first lines: three of them, and as many more as there are in 16 kB."""
    total = 0
    for count, line in enumerate(lines):
        total += len(line)
        if count >= 3 and total > MOST_LETTERS:
            return lines[:count]
    return lines


def _divides(delimiter: str, lines: Sequence[str]) -> bool:
    if delimiter == WHITE_SPACE:
        return any(len(tokens(line)) > 1 for line in lines)
    return any(delimiter in line for line in lines)


def _shown(delimiter: str) -> str:
    return NAMES.get(delimiter, repr(delimiter))


def _known(delimiter: str | None) -> str | None:
    """A delimiter as the user names it: one character, or any white space."""
    if delimiter is None:
        return None
    if delimiter in {" ", WHITE_SPACE, "whitespace", "white space"}:
        return WHITE_SPACE
    if delimiter in {"tab", r"\t"}:
        return "\t"
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise Fault(
            f"expected a delimiter of one character, or ' ' for white space, got {delimiter!r}; "
            "leave delimiter= out to have it found"
        )
    return delimiter


def _above(lines: Sequence[str]) -> tuple[int, str | None, str | None]:
    """The number of lines above the table, the last comment, the delimiter that Excel declares."""
    comment = None
    for count, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("sep=") and len(stripped) == 5:
            return count + 1, None, stripped[4]
        if stripped and not stripped.startswith(COMMENTS):
            return count, comment, None
        if stripped:
            comment = stripped.lstrip("#%").strip(" ")
    return len(lines), comment, None


def cells_of(lines: Iterator[str], delimiter: str) -> Iterator[tuple[Record, int]]:
    """The records of a text, each with the number of the line that it ends in, from 1."""
    if delimiter == WHITE_SPACE:
        for number, line in enumerate(lines, 1):
            yield tokens(line), number
        return
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    for record in reader:
        yield record, reader.line_num


def tokens(line: str) -> Record:
    """The cells of a line that are separated by white space; quotes keep blanks together."""
    found = TOKEN.finditer(line)
    return [
        token[2] if token[1] is None else token[1].replace('""', '"') for token in found
    ]


def _records(
    lines: Sequence[str], delimiter: str, is_whole: bool = True
) -> tuple[list[Record], list[int]]:
    """The records that are not blank, stripped, and the lines they end in."""
    records: list[Record] = []
    ends: list[int] = []
    try:
        for cells, number in cells_of(iter(lines), delimiter):
            if cells and any(cells):
                records.append([cell.strip() for cell in cells])
                ends.append(number)
    except csv.Error:  # a cell longer than csv takes; what was read is enough
        pass
    if not is_whole and len(records) > 2:  # a quoted cell may be cut
        del records[-1], ends[-1]
    return records, ends


def _best_delimiter(lines: Sequence[str]) -> str:
    """The delimiter that divides most lines into equally many cells, most of them numbers."""
    scores = {one: _score(_records(lines, one)[0], one) for one in DELIMITERS}
    best = max(DELIMITERS, key=lambda one: scores[one])
    return best if scores[best] > 0 else ","


def _score(records: Sequence[Record], delimiter: str) -> float:
    """The share of records of the usual width, times one plus the share of numbers.

    Words are divided by blanks too, so that lines of text need equally many of them.
    """
    if not records:
        return 0.0
    below = records[1:] or records
    widths = Counter(map(len, below))
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    if width == 1 and len(records[0]) == 1:
        return 0.0
    cells = [cell for record in below for cell in record]
    numbers = sum(_may_be_number(cell) for cell in cells) / len(cells)
    share = count / len(below)
    if delimiter == WHITE_SPACE and share < 0.9 and numbers < 1:
        return 0.0
    if (
        len(records[0]) != width
    ):  # of delimiters that fit, the header's is the better one
        share *= 0.7
    return (share if width > 1 else 0.1) * (1 + numbers)


def _may_be_number(cell: str) -> bool:
    return (
        cell in MISSING
        or NUMBER.fullmatch(cell) is not None
        or COMMA_NUMBER.fullmatch(cell) is not None
        or any(pattern.fullmatch(cell) for pattern in GROUPED.values())
    )


def _decimal_mark(records: Sequence[Record], delimiter: str) -> str:
    """The decimal mark of the numbers; a point where nothing speaks for a comma.

    Raises:
        Fault: numbers like 1,234 which may be 1.234 or 1234.
    """
    cells = [cell.strip(CURRENCIES) for record in records for cell in record]
    commas = [cell for cell in cells if COMMA_NUMBER.fullmatch(cell)]
    grouped = [cell for cell in commas if _is_grouped(cell)]
    points = [cell for cell in cells if "." in cell and _is_point_number(cell)]
    if len(commas) - len(grouped) > len(points):
        return ","
    if not grouped or points or delimiter == ",":
        return "."
    whole = [cell for cell in cells if NUMBER.fullmatch(cell)]
    if whole and all(len(cell) < 4 for cell in whole):
        return "."  # 950, 1,024: groups of thousands
    cell = grouped[0]
    raise Fault(
        f"expected clear numbers, got {cell!r}, which may be {cell.replace(',', '.')} or "
        f"{cell.replace(',', '')}; pass decimal=',' or decimal='.'"
    )


def _is_grouped(cell: str) -> bool:
    return GROUPED["."].fullmatch(cell) is not None and not cell.startswith("0")


def _is_point_number(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell) or GROUPED["."].fullmatch(cell))
