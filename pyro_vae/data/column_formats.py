"""Tables whose files know the types of their columns: Parquet, Arrow, ORC, Excel, JSON."""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from pyro_vae.data.headers import Verdict, has_header, no_header
from pyro_vae.data.names import distinct, renaming, shortened
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_cells import Settings, settled
from pyro_vae.data.text_dialect import ALWAYS_MISSING, NUMBER
from pyro_vae.data.text_lines import opened

Read = tuple[pd.DataFrame, list[str]]

HEAD_ROWS = 200
EXCEL_ENGINES = {
    ".xlsx": "openpyxl",
    ".xlsm": "openpyxl",
    ".xls": "xlrd",
    ".xlsb": "pyxlsb",
    ".ods": "odf",
}
NULLABLE: dict[str, Any] = {
    "bool": pd.BooleanDtype(),
    "int8": pd.Int8Dtype(),
    "int16": pd.Int16Dtype(),
    "int32": pd.Int32Dtype(),
    "int64": pd.Int64Dtype(),
    "uint8": pd.UInt8Dtype(),
    "uint16": pd.UInt16Dtype(),
    "uint32": pd.UInt32Dtype(),
    "uint64": pd.UInt64Dtype(),
}
"""By the names of Arrow."""


@contextmanager
def needs(package: str, suffix: str) -> Iterator[None]:
    """Name the package that a format needs, where it isn't installed."""
    try:
        yield
    except ImportError as error:
        raise Fault(
            f"expected the package {package}, which reads {suffix}, got {error}; install it: pip "
            f"install {package}"
        ) from error


def read_parquet(path: Path, _: str | None = None) -> Read:
    """A Parquet file."""
    with needs("pyarrow", path.suffix):
        from pyarrow import parquet

        return _from_arrow(parquet.ParquetFile(path).read())


def read_feather(path: Path, _: str | None = None) -> Read:
    """An Arrow file or stream: .feather, .arrow, .arrows, .ipc."""
    with needs("pyarrow", path.suffix):
        import pyarrow as pa
        from pyarrow import feather, ipc

        try:
            table = feather.read_table(path, memory_map=False)
        except pa.ArrowInvalid:
            with path.open("rb") as stream:
                table = ipc.open_stream(stream).read_all()
    return _from_arrow(table)


def read_orc(path: Path, _: str | None = None) -> Read:
    """An ORC file."""
    with needs("pyarrow", path.suffix):
        from pyarrow import orc

        return _from_arrow(orc.ORCFile(path).read())


def _from_arrow(table: Any) -> Read:
    """A table of Arrow; integers and truth values with missing cells stay what they are."""
    import pyarrow as pa

    nested = [field.name for field in table.schema if pa.types.is_nested(field.type)]
    if nested:
        raise Fault(
            f"expected one value in each cell, got lists or records in {shortened(nested)}; leave "
            "these columns out of the file"
        )
    frame = table.to_pandas()
    for name, column in zip(table.column_names, table.columns, strict=True):
        is_whole = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
        if is_whole and column.null_count and name in frame.columns:
            frame[name] = NULLABLE[str(column.type)].__from_arrow__(column)
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = _plain_objects(frame[name])
    return frame, []


def _plain_objects(column: pd.Series) -> pd.Series:
    """Decimals as floats, dates as times; other objects as they are."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "decimal":
        return column.astype(float)
    if kind in {"date", "datetime"}:
        return pd.to_datetime(column)
    if kind == "empty":
        return column.astype(float)
    return column


def read_excel(
    path: Path, array: str | None = None, header: bool | None = None
) -> Read:
    """A sheet of an Excel or OpenDocument file: the one asked for, or the first with cells."""
    engine = EXCEL_ENGINES[path.suffix.lower()]
    with needs("odfpy" if engine == "odf" else engine, path.suffix):
        book = pd.ExcelFile(path, engine=engine)
    notes: list[str] = []
    with book:
        names = [str(name) for name in book.sheet_names]
        if array is not None and array not in names:
            raise Fault(
                f"expected a sheet named {array!r}, got {shortened(names)}; pass array= with one "
                "of these"
            )
        for name in [array] if array is not None else names:
            cells = pd.read_excel(
                book,
                sheet_name=name,
                header=None,
                keep_default_na=False,
                na_values=[""],
            )
            cells = cells.dropna(how="all").dropna(how="all", axis="columns")
            if not cells.empty:
                break
    if cells.empty:
        raise Fault("expected at least one row, got none; add some rows")
    if array is None and len(names) > 1:
        notes.append(
            f"sheet {name!r} of {shortened(names)} is read; array= names another one"
        )
    frame, more = _sheet(cells, header)
    return frame, [*notes, *more]


def _sheet(cells: pd.DataFrame, header: bool | None) -> Read:
    """A sheet whose first row may have the names of the columns."""
    texts = [
        ["" if pd.isna(cell) else str(cell).strip() for cell in row]
        for row in cells.head(HEAD_ROWS).itertuples(index=False)
    ]
    if header is None:
        verdict = has_header(texts, lambda cell: NUMBER.fullmatch(cell) is not None)
    else:
        verdict = Verdict(header)
    notes = [verdict.why] if verdict.why else []
    names = tuple(map(str, range(cells.shape[1])))
    if verdict.is_header:
        names = distinct(texts[0])
        renamed = renaming(texts[0], names)
        notes.extend([renamed] if renamed else [])
        cells = cells.iloc[1:]
    else:
        notes.append(no_header(len(names)))
    if cells.empty:
        raise Fault("expected rows below the names, got none; add some rows")
    rows = [int(label) + 1 for label in cells.index]
    frame = cells.set_axis(list(names), axis="columns").reset_index(drop=True)
    frame = frame.infer_objects()
    texts_of = {name: _as_text(frame[name]) for name in names if _is_mixed(frame[name])}
    frame = frame.assign(**texts_of)
    settings = Settings(
        decimal=".",
        declared=frozenset(),
        line_of=lambda column, cell: _row_of(frame, rows, column, cell),
        as_text=lambda name: _as_text(frame[name]),
        row_word="row",
    )
    frame, more = settled(frame, settings)
    return frame, [*notes, *more]


def _is_mixed(column: pd.Series) -> bool:
    return column.dtype == object and pd.api.types.infer_dtype(
        column, skipna=True
    ) not in {
        "boolean",
        "integer",
        "floating",
        "mixed-integer-float",
        "datetime",
        "date",
    }


def _as_text(column: pd.Series) -> pd.Series:
    """The cells of a column as text; the usual marks of missing ones are missing."""
    text = column.where(column.isna(), column.map(str))
    return text.mask(text.isin(ALWAYS_MISSING))


def _row_of(frame: pd.DataFrame, rows: list[int], column: int, cell: str) -> int:
    found = frame.iloc[:, column].astype("str").str.strip() == cell
    return next(itertools.compress(rows, found), 0)


def read_json(path: Path, _: str | None = None) -> Read:
    """A list of flat records, or one record a line (.jsonl, .ndjson)."""
    with opened(path) as stream:
        text = stream.read().decode("utf-8-sig")
    if ".json" in path.suffixes or path.suffix.lower() == ".json":
        records = json.loads(text)
    else:
        records = [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(records, dict) and all(isinstance(v, list) for v in records.values()):
        records = [
            dict(zip(records, row, strict=True))
            for row in zip(*records.values(), strict=True)
        ]
    is_flat = isinstance(records, list) and all(map(_is_flat, records))
    if not is_flat or not records:
        raise Fault(
            'expected a list of records such as [{"a": 1, "b": "x"}, ...] without lists inside, '
            "got another JSON; save the table as CSV or Parquet"
        )
    return pd.DataFrame(records), []


def _is_flat(record: Any) -> bool:
    return isinstance(record, dict) and not any(
        isinstance(value, dict | list) for value in record.values()
    )
