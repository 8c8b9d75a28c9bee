"""Tables as text: .csv, .tsv, .txt, .dat, .data and .amat, also compressed.

The head of the file decides how it is written; then pandas parses it once.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from pyro_vae.data import text_dialect
from pyro_vae.data.headers import Verdict, has_header
from pyro_vae.data.names import distinct, renaming, shortened
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_cells import Settings, settled
from pyro_vae.data.text_dialect import (
    ALWAYS_MISSING,
    ONE_BYTE_ENCODINGS,
    WHITE_SPACE,
    Dialect,
    Head,
    Record,
)
from pyro_vae.data.text_lines import (
    check_widths,
    has_short_line,
    head_bytes,
    line_of,
    text_below,
)

DECLARED_TEXT = ("str", "string", "object", "category")
ROW_NAMES = "row_names"


@dataclass(frozen=True)
class Layout:
    """Where the table of a file is, and what its columns are called.

    Attributes:
        dialect: of the file.
        given: the names of all columns as they are given, one for each cell of a row.
        line: lines above the first row.
        has_names: whether the file has them.
        notes: sentences for the user.
    """

    dialect: Dialect
    given: tuple[str, ...]
    line: int
    has_names: bool
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, each one once."""
        return distinct(self.given)

    @property
    def header(self) -> str:
        """What shows the number of columns, for a message."""
        if self.line > self.dialect.first_line:
            return f"line {self.line}"
        return "most lines"


@dataclass(frozen=True)
class TextOptions:
    """What the user says about a text file; the rest is found.

    Attributes:
        delimiter, decimal: None for those that are found.
        header: whether the first line has names; None to find it out.
        dtypes: of columns by name.
        missing: further cells that are missing.
    """

    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    dtypes: Mapping[str, Any] | None = None
    missing: Sequence[str | float] = ()


def read_text(path: Path, options: TextOptions) -> tuple[pd.DataFrame, Layout]:
    """The table of a text file."""
    content, is_whole = head_bytes(path)
    head = text_dialect.head_of(
        content, is_whole, _usual_delimiter(path, content, options), options.decimal
    )
    layout = layout_of(head, options.header)
    unknown = [name for name in options.dtypes or () if name not in layout.names]
    if unknown:
        raise Fault(
            f"dtypes: expected names of columns, got {unknown[0]!r}; the names are "
            f"{shortened(layout.names)}"
        )
    frame, layout = _parsed_in_its_encoding(path, layout, options)
    if frame.empty:
        raise Fault("expected rows below the names, got none; add some rows")
    return _settled(path, frame, layout, options)


def _usual_delimiter(path: Path, content: bytes, options: TextOptions) -> str | None:
    """The delimiter that the user names, or a tab where a .tsv has any."""
    if options.delimiter is None and ".tsv" in path.name.lower() and b"\t" in content:
        return "\t"
    return options.delimiter


def layout_of(head: Head, header: bool | None) -> Layout:
    """Where the table begins, and the names of its columns.

    Raises:
        Fault: the first line may be a header or a row; another number of names than of cells.
    """
    dialect, records, ends = head
    width = _width(records)
    first = _without_last_blank(records[0], width)
    has_row_names = len(first) == width - 1 and _are_row_names(records[1:], width)
    if has_row_names:
        first = [ROW_NAMES, *first]
    elif len(first) != width:
        where = dialect.first_line + 1
        got = dialect.first_line + ends[min(1, len(ends) - 1)]
        raise Fault(
            f"expected {len(first)} cells as in line {where}, got {width} in line {got}; correct "
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
    notes.append(f"no header: columns are named 0 to {width - 1}")
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
        cells, _ = next(text_dialect.cells_of(iter([dialect.comment]), delimiter))
        names = [cell.strip() for cell in cells]
        if (
            len(names) == width
            and all(names)
            and not any(map(dialect.is_number, names))
        ):
            return tuple(names)
    return None


def _dialect_notes(dialect: Dialect) -> list[str]:
    notes = []
    if dialect.delimiter not in ",\t":
        notes.append(
            f"delimiter: {text_dialect.NAMES.get(dialect.delimiter, dialect.delimiter)}"
        )
    if dialect.decimal == ",":
        notes.append("decimal comma")
    if dialect.encoding in ONE_BYTE_ENCODINGS:
        notes.append(_encoding_note(dialect.encoding))
    return notes


def _encoding_note(encoding: str) -> str:
    remedy = "save it as UTF-8 if letters look wrong"
    return f"the text is not UTF-8, and is read as {encoding}; {remedy}"


def _parsed_in_its_encoding(
    path: Path, layout: Layout, options: TextOptions
) -> tuple[pd.DataFrame, Layout]:
    """The frame; a file whose first letters are ASCII may turn out not to be UTF-8."""
    encodings = (layout.dialect.encoding, *ONE_BYTE_ENCODINGS)
    for encoding in encodings:
        dialect = replace(layout.dialect, encoding=encoding)
        notes = layout.notes
        if encoding != layout.dialect.encoding:
            notes = (*notes, _encoding_note(encoding))
        tried = replace(layout, dialect=dialect, notes=notes)
        try:
            return parsed(path, tried, options), tried
        except UnicodeDecodeError:
            if not layout.dialect.encoding.startswith(("utf-8", "cp")):
                raise
    raise Fault("expected text, got bytes that no encoding has; save the file as UTF-8")


def parsed(
    path: Path,
    layout: Layout,
    options: TextOptions,
    column: str | None = None,
) -> pd.DataFrame:
    """What pandas makes of the table, or of one column as text.

    Raises:
        Fault: lines of different lengths, or a quote that isn't closed.
    """
    dialect = layout.dialect
    names = list(layout.names)
    blank = dialect.delimiter == WHITE_SPACE
    arguments: dict[str, Any] = {"dtype": options.dtypes or None}
    if column is not None:
        arguments = {"dtype": {column: "str"}, "usecols": [column]}
    try:
        with text_below(path, dialect, layout.line) as text, warnings.catch_warnings():
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            frame = pd.read_csv(
                text,
                sep=dialect.delimiter,
                decimal=dialect.decimal,
                header=None,
                names=names,
                index_col=False,
                skipinitialspace=not blank,
                keep_default_na=False,
                na_values=_missing_cells(names, options),
                **arguments,
            )
    except pd.errors.EmptyDataError:
        return pd.DataFrame(columns=names)
    except pd.errors.ParserError as error:
        _explain(path, layout, error)
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError) as error:
        _explain_types(path, layout, options, error)
    if column is None and frame.iloc[:, -1].isna().any():
        _check_short_lines(path, layout)
    return frame


def _missing_cells(names: Iterable[str], options: TextOptions) -> Any:
    """Cells that are missing: the usual ones, and those that the user names.

    In columns that the user declares as text, only blank ones and those that the user names.
    """
    usual = [*ALWAYS_MISSING, *options.missing]
    declared = {
        name
        for name, dtype in (options.dtypes or {}).items()
        if str(dtype) in DECLARED_TEXT or dtype is str
    }
    if not declared:
        return usual
    return {
        name: ["", *options.missing] if name in declared else usual for name in names
    }


def _explain(path: Path, layout: Layout, error: Exception) -> NoReturn:
    """Raise Fault with the line at which pandas stopped."""
    check_widths(path, layout.dialect, layout.line, len(layout.given), layout.header)
    if "EOF inside string" in str(error):
        raise Fault(
            "expected a quote that is closed, got the end of the file; close it or delete it"
        ) from None
    raise error


def _explain_types(
    path: Path, layout: Layout, options: TextOptions, error: Exception
) -> NoReturn:
    """Raise Fault with the column whose cells don't have the type that the user names."""
    for name, dtype in (options.dtypes or {}).items():
        texts = parsed(path, layout, options, name)[name]
        try:
            texts.astype(dtype)
        except (TypeError, ValueError, OverflowError) as reason:
            raise Fault(
                f"dtypes: column {name!r} can't be {dtype}: {reason}; leave its type out, or name "
                "one that it can have, such as 'Int64' where cells are missing"
            ) from None
    raise error


def _check_short_lines(path: Path, layout: Layout) -> None:
    """Raise Fault at a short line, which pandas fills with missing cells."""
    width = len(layout.given)
    if has_short_line(path, layout.dialect, layout.line, width):
        check_widths(path, layout.dialect, layout.line, width, layout.header)


def _settled(
    path: Path, frame: pd.DataFrame, layout: Layout, options: TextOptions
) -> tuple[pd.DataFrame, Layout]:
    """Columns of text as numbers or times where all their cells are that."""
    settings = Settings(
        decimal=layout.dialect.decimal,
        declared=frozenset(options.dtypes or ()),
        line_of=lambda column, cell: line_of(
            path, layout.dialect, layout.line, column, cell
        ),
        as_text=lambda name: parsed(path, layout, options, name)[name],
    )
    frame, notes = settled(frame, settings)
    return frame, replace(layout, notes=(*layout.notes, *notes))
