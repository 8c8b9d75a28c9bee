"""Files that hold one table, as a pandas DataFrame with notes on what was decided."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pyro_vae.data import column_formats, statistics_formats
from pyro_vae.data.arff_files import read_arff
from pyro_vae.data.names import distinct, renaming, shortened
from pyro_vae.data.stored import Contents, Fault, in_memory
from pyro_vae.data.text_files import TextOptions, read_text
from pyro_vae.data.text_layout import ROW_NAMES, Layout
from pyro_vae.data.text_lines import COMPRESSIONS, line_of

Reader = Callable[[Path, str | None], tuple[pd.DataFrame, list[str]]]

TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".amat")
FORMATS: dict[str, Reader] = {
    ".parquet": column_formats.read_parquet,
    ".feather": column_formats.read_feather,
    ".arrow": column_formats.read_feather,
    ".orc": column_formats.read_orc,
    **dict.fromkeys(column_formats.EXCEL_ENGINES, column_formats.read_excel),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), column_formats.read_json),
    ".dta": statistics_formats.read_stata,
    **dict.fromkeys((".sav", ".zsav", ".por"), statistics_formats.read_spss),
    **dict.fromkeys((".sas7bdat", ".xpt"), statistics_formats.read_sas),
    ".arff": read_arff,
    **dict.fromkeys((".fits", ".fit"), statistics_formats.read_fits),
    ".fcs": statistics_formats.read_fcs,
}
COMPRESSED_FORMATS = (".arff.gz", ".json.gz", ".jsonl.gz", ".fits.gz")


class Frame(NamedTuple):
    """A table of a file.

    Attributes:
        frame: with distinct text as names of columns.
        notes: sentences for the user on what was decided.
    """

    frame: pd.DataFrame
    notes: tuple[str, ...]


def suffix_of(path: Path) -> str | None:
    """The suffix of a file that holds a table, with that of its compression; None for others.

    Example:
        >>> suffix_of(Path("a/rows.CSV.gz")), suffix_of(Path("rows.npy"))
        ('.csv.gz', None)
    """
    name = path.name.lower()
    compressed = [text + suffix for text in TEXT for suffix in COMPRESSIONS]
    known = (*TEXT, *compressed, *FORMATS, *COMPRESSED_FORMATS)
    return next((suffix for suffix in known if name.endswith(suffix)), None)


def read_frame(
    path: Path,
    *,
    delimiter: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    dtypes: Mapping[str, Any] | None = None,
    missing: Sequence[str | float] = (),
    array: str | None = None,
) -> Frame:
    """The table of a file.

    Arguments:
        path: to text (.csv, .tsv, .txt, .dat, .data, .amat, also as .gz, .bz2, .xz or .zip),
            Parquet, Feather, Arrow, ORC, Excel, JSON records, Stata, SPSS, SAS, ARFF, FITS or FCS.
        delimiter, decimal: of text; None for those that are found.
        header: whether the first line of text has the names of the columns; None to find it out.
        dtypes: of columns by name, as pandas writes them.
        missing: cells that are missing, beside blank ones, NA and the like.
        array: the name of the sheet or table to take from a file of several.

    Raises:
        Fault: the file holds no table, or one that can be read in two ways.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "rows.csv"
        ...     _ = path.write_text("species;mass\\nAdelie;3,75\\nGentoo;5,1\\n")
        ...     frame, notes = read_frame(path)
        >>> frame["mass"].tolist(), notes
        ([3.75, 5.1], ("delimiter: ';'", 'decimal comma'))
    """
    if _is_text(path):
        _check_options("text", array=array)
        options = TextOptions(delimiter, decimal, header, dtypes, missing, codes=True)
        frame, layout = read_text(path, options)
        return Frame(_without_blank_rows(frame), layout.notes)
    _check_options(path.suffix, delimiter=delimiter, decimal=decimal)
    frame, notes = _of_format(path, array, header)
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=[name or "" for name in frame.index.names])
        notes.append("the index of the rows is kept in the first columns")
    given = [str(name) for name in frame.columns]
    names = distinct(given)
    renamed = renaming(given, names)
    frame = frame.set_axis(list(names), axis="columns")
    frame = _as_declared(frame, dtypes or {}, missing)
    return Frame(frame, (*notes, *([renamed] if renamed else [])))


def _is_text(path: Path) -> bool:
    suffix = suffix_of(path)
    return suffix is None or suffix.startswith(TEXT)


def _check_options(format_name: str, **options: str | None) -> None:
    """Raise Fault where an option has no meaning for a format."""
    for name, value in options.items():
        if value is not None:
            raise Fault(f"{name}: {format_name} has none; leave {name}= out")


def _of_format(
    path: Path, array: str | None, header: bool | None
) -> tuple[pd.DataFrame, list[str]]:
    """The table of a file that isn't text; its index are labels of the rows."""
    suffix = (suffix_of(path) or "").removesuffix(".gz")
    if suffix in column_formats.EXCEL_ENGINES:
        frame, notes = column_formats.read_excel(path, array, header)
    elif header is not None:
        raise Fault(f"header: {suffix} has its own names of columns; leave header= out")
    else:
        frame, notes = FORMATS[suffix](path, array)
    if frame.empty:
        raise Fault(
            f"expected rows, got a table of shape {frame.shape}; add some rows and columns"
        )
    return frame, notes


def _without_blank_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without the blank rows at its end, which spreadsheets write."""
    if not frame.iloc[-1].isna().all():
        return frame
    known = frame.notna().any(axis="columns").to_numpy()
    if not known.any():
        return frame
    return frame.iloc[: int(np.flatnonzero(known)[-1]) + 1]


def _as_declared(
    frame: pd.DataFrame, dtypes: Mapping[str, Any], missing: Sequence[str | float]
) -> pd.DataFrame:
    """Cells that the user calls missing, and the types that the user names."""
    unknown = [name for name in dtypes if name not in frame]
    if unknown:
        raise Fault(
            f"dtypes: expected names of columns, got {unknown[0]!r}; the names are "
            f"{shortened(list(frame.columns))}"
        )
    if missing:
        frame = frame.mask(frame.isin(list(missing)))
    for name, dtype in dtypes.items():
        try:
            frame = frame.astype({name: dtype})
        except (TypeError, ValueError) as error:
            raise Fault(
                f"dtypes: column {name!r} can't be {dtype}: {error}; leave its dtype out"
            ) from None
    return frame


def read_table(path: Path) -> Contents:
    """The numbers of a table, for `load`; a missing number is nan.

    A column without a name that counts the rows, as R and pandas write it, is left out.

    Raises:
        Fault: a column that has other cells than numbers.
    """
    layout = None
    if _is_text(path):
        frame, layout = read_text(path, TextOptions())
        given = layout.given
    else:
        frame, _ = _of_format(path, None, None)
        given = tuple(map(str, frame.columns))
    if _counts_rows(frame.iloc[:, 0], given[0]) and len(given) > 1:
        frame = frame.iloc[:, 1:]
        given = given[1:]
    for position, name in enumerate(frame.columns):
        if not pd.api.types.is_numeric_dtype(frame[name].dtype):
            _refuse_text(path, frame, position, layout)
    values = frame.to_numpy()
    if layout is not None or values.dtype == object:
        values = frame.to_numpy(dtype=float, na_value=np.nan)
    has_names = layout is None or layout.has_names
    return Contents({"": in_memory(values)}, given if has_names else None)


def _counts_rows(column: pd.Series, name: str) -> bool:
    """Whether a column without a name is 1 to n or 0 to n - 1."""
    if name not in ("", ROW_NAMES) or not pd.api.types.is_integer_dtype(column.dtype):
        return False
    steps = column.to_numpy() - np.arange(len(column))
    return bool(steps[0] in (0, 1) and (steps == steps[0]).all())


def _refuse_text(
    path: Path, frame: pd.DataFrame, position: int, layout: Layout | None
) -> None:
    """Raise Fault with the first cell of a column that is no number."""
    column = frame.iloc[:, position]
    where = ""
    if layout is not None:
        texts = column.dropna().astype("str")
        wrong = texts[pd.to_numeric(texts, errors="coerce").isna()]
        if len(wrong):
            shift = len(layout.given) - frame.shape[1]
            line = line_of(
                path, layout.dialect, layout.line, position + shift, wrong.iloc[0]
            )
            where = f", {wrong.iloc[0]!r} in line {line}"
    raise Fault(
        f"expected numbers in column {str(column.name)!r}, got {column.dtype}{where}; correct it, "
        f"or read the file as a table: pyro_vae.data.read({str(path)!r})"
    )
