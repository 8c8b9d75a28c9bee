"""Tables as text: .csv, .tsv, .txt, .dat, .data and .amat, also compressed.

The head of the file decides how it is written; then pandas parses it once.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd

from pyro_vae.data.names import shortened
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_cells import Settings, settled
from pyro_vae.data.text_dialect import ALWAYS_MISSING, Record, head_of
from pyro_vae.data.text_encoding import ONE_BYTE_ENCODINGS
from pyro_vae.data.text_layout import Layout, encoding_note, layout_of
from pyro_vae.data.text_lines import (
    check_widths,
    has_short_line,
    head_bytes,
    input_of_pandas,
    line_of,
    start_of_last_record,
)

DECLARED_TEXT = ("str", "string", "object", "category")


@dataclass(frozen=True)
class TextOptions:
    """What the user says about a text file; the rest is found.

    Attributes:
        delimiter, decimal: None for those that are found.
        header: whether the first line has names; None to find it out.
        dtypes: of columns by name.
        missing: further cells that are missing.
        codes: whether digits such as 01234 are text, and not the number 1234.
    """

    delimiter: str | None = None
    decimal: str | None = None
    header: bool | None = None
    dtypes: Mapping[str, Any] | None = None
    missing: Sequence[str | float] = ()
    codes: bool = False

    @property
    def types_for_pandas(self) -> dict[str, Any]:
        """The types without those of times, which pandas' parser doesn't take."""
        return {
            name: dtype
            for name, dtype in (self.dtypes or {}).items()
            if not str(dtype).startswith("datetime64")
        }


def read_text(path: Path, options: TextOptions) -> tuple[pd.DataFrame, Layout]:
    """The table of a text file."""
    content, is_whole = head_bytes(path)
    head = head_of(
        content, is_whole, _usual_delimiter(path, content, options), options.decimal
    )
    layout = layout_of(head, options.header)
    if options.codes:
        layout = replace(layout, head=_rows_of(head.records, layout))
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


def _rows_of(records: Sequence[Record], layout: Layout) -> tuple[Record, ...]:
    """The records below the names."""
    is_first_a_row = layout.line == layout.dialect.first_line
    return tuple(records if is_first_a_row else records[1:])


def _usual_delimiter(path: Path, content: bytes, options: TextOptions) -> str | None:
    """The delimiter that the user names, or a tab where a .tsv has any."""
    if options.delimiter is None and ".tsv" in path.name.lower() and b"\t" in content:
        return "\t"
    return options.delimiter


def _parsed_in_its_encoding(
    path: Path, layout: Layout, options: TextOptions
) -> tuple[pd.DataFrame, Layout]:
    """The frame; a file whose first letters are ASCII may turn out not to be UTF-8."""
    encodings = (layout.dialect.encoding, *ONE_BYTE_ENCODINGS)
    for encoding in encodings:
        dialect = replace(layout.dialect, encoding=encoding)
        notes = layout.notes
        if encoding != layout.dialect.encoding:
            notes = (*notes, encoding_note(encoding))
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
    dtypes = dict.fromkeys(layout.codes, "str") | options.types_for_pandas
    arguments: dict[str, Any] = {"dtype": dtypes or None}
    if column is not None:
        arguments = {"dtype": {column: "str"}, "usecols": [column]}
    if pd.__version__ < "3":  # later ones always read the nearest number
        arguments["float_precision"] = "round_trip"
    try:
        with (
            input_of_pandas(path, dialect, layout.line) as (source, skipped),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            frame = pd.read_csv(
                source,
                skiprows=skipped,
                compression=None,
                encoding=dialect.encoding,
                sep=dialect.delimiter,
                decimal=dialect.decimal,
                header=None,
                names=names,
                index_col=False,
                skipinitialspace=dialect.has_blanks,
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
    except (TypeError, ValueError, OverflowError) as error:
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
    if "EOF inside string" in str(error):
        line = start_of_last_record(path, layout.dialect, layout.line)
        raise Fault(
            f"expected a quote that is closed, got the end of the file; close the one that opens "
            f"in line {line}, or delete it"
        ) from None
    check_widths(path, layout.dialect, layout.line, len(layout.given), layout.header)
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
    if options.dtypes:
        raise Fault(
            f"dtypes: expected types that the cells can have, got {error}; leave them out"
        )
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
    declared = frozenset(options.types_for_pandas)
    codes = {name: one for name, one in layout.codes.items() if name not in declared}
    settings = Settings(
        decimal=layout.dialect.decimal,
        declared=declared | frozenset(codes),
        line_of=lambda column, cell: line_of(
            path, layout.dialect, layout.line, column, cell
        ),
        as_text=lambda name: parsed(path, layout, options, name)[name],
    )
    frame, notes = settled(frame, settings)
    code_notes = [
        f"column {name!r}: text, because a number loses the zeros of {code!r}; "
        f"dtypes={{{name!r}: 'float'}} makes numbers of it"
        for name, code in codes.items()
    ]
    for name, dtype in (options.dtypes or {}).items():
        if name not in options.types_for_pandas:
            frame = _as_times(frame, name, dtype)
    return frame, replace(layout, notes=(*layout.notes, *code_notes, *notes))


def _as_times(frame: pd.DataFrame, name: str, dtype: Any) -> pd.DataFrame:
    if not pd.api.types.is_datetime64_any_dtype(frame[name].dtype):
        raise Fault(
            f"dtypes: column {name!r} can't be {dtype}, because its cells are no times in ISO 8601 "
            f"(YYYY-MM-DD hh:mm:ss), such as {frame[name].iloc[0]!r}; write them so"
        )
    return frame.astype({name: dtype})
