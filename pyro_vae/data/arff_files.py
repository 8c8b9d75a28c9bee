"""ARFF, the format of Weka and OpenML: attributes with their types, then lines of cells.

Nominal attributes become categories with the levels that are declared. SciPy's reader has no text,
no letters beyond ASCII and no missing level, so the lines are given to pandas.
"""

import gzip
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pyro_vae.data.names import distinct, renaming
from pyro_vae.data.stored import Fault
from pyro_vae.data.text_encoding import encoding_of

QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
ATTRIBUTE = re.compile(
    rf"@attribute\s+({QUOTED}|\S+?)\s*(\{{.*\}}|\s\S.*)$", re.IGNORECASE
)
LEVEL = re.compile(rf"\s*({QUOTED}|[^,]*?)\s*(?:,|$)")
NUMERIC = ("numeric", "real", "integer")
JAVA_TIMES = {
    "yyyy": "%Y",
    "yy": "%y",
    "MM": "%m",
    "dd": "%d",
    "HH": "%H",
    "hh": "%I",
    "mm": "%M",
    "ss": "%S",
    "SSS": "%f",
    "a": "%p",
    "'": "",
}
"""What stands for a part of a time in Java's SimpleDateFormat, and in Python."""
ISO = "yyyy-MM-dd'T'HH:mm:ss"


@dataclass(frozen=True)
class Attribute:
    """A column: its name, "number", "text", "time" or "nominal", its levels or format."""

    name: str
    kind: str
    levels: tuple[str, ...] = ()
    format: str = ""


def read_arff(path: Path, _: str | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The table of an ARFF file, and sentences on it.

    Raises:
        Fault: sparse lines, relational attributes, cells that the attribute doesn't have.
    """
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as stream:
        content = stream.read()
    lines = content.decode(encoding_of(content)).splitlines()
    attributes, start = _attributes(lines)
    rows = [line for line in lines[start:] if line.strip() and line.lstrip()[0] != "%"]
    if not attributes or not rows:
        raise Fault(
            "expected @attribute lines and rows below @data, got none; add them"
        )
    if rows[0].lstrip().startswith("{"):
        raise Fault(
            "expected rows with all cells, got sparse ARFF; save it as dense ARFF "
            "(weka.filters.unsupervised.instance.SparseToNonSparse) or CSV"
        )
    given = [attribute.name for attribute in attributes]
    names = distinct(given)
    cells = _cells(rows, len(attributes))
    columns = {
        name: _column(cells[i], attribute)
        for i, (name, attribute) in enumerate(zip(names, attributes, strict=True))
    }
    note = renaming(given, names)
    return pd.DataFrame(columns), [note] if note else []


def _attributes(lines: list[str]) -> tuple[list[Attribute], int]:
    """The attributes, and the number of lines up to @data."""
    found: list[Attribute] = []
    for number, line in enumerate(lines, 1):
        words = line.strip()
        if words.lower().startswith("@data"):
            return found, number
        if words.lower().startswith("@attribute"):
            found.append(_attribute(words, number))
    return found, len(lines)


def _attribute(line: str, number: int) -> Attribute:
    match = ATTRIBUTE.match(line)
    if match is None:
        raise Fault(f"expected '@attribute NAME TYPE' in line {number}, got {line!r}")
    name, declared = _unquoted(match[1]), match[2].strip()
    if declared.startswith("{"):
        levels = LEVEL.findall(declared[1:-1].strip())
        if levels and levels[-1] == "":  # LEVEL matches once more at the end
            levels.pop()
        return Attribute(name, "nominal", tuple(map(_unquoted, levels)))
    kind, _, rest = declared.partition(" ")
    if kind.lower() in NUMERIC:
        return Attribute(name, "number")
    if kind.lower() == "string":
        return Attribute(name, "text")
    if kind.lower() == "date":
        return Attribute(
            name, "time", format=_python_format(_unquoted(rest.strip()) or ISO)
        )
    raise Fault(
        f"expected a number, text, date or levels for attribute {name!r} in line {number}, got "
        f"{kind!r}; leave it out of the file"
    )


def _unquoted(word: str) -> str:
    if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return word


def _python_format(java: str) -> str:
    parts = sorted(JAVA_TIMES, key=len, reverse=True)
    pattern = "|".join(map(re.escape, parts))
    return re.sub(pattern, lambda part: JAVA_TIMES[part.group()], java)


def _cells(rows: list[str], width: int) -> pd.DataFrame:
    """The cells as text."""
    singles = sum(row.count("'") for row in rows[:200])
    doubles = sum(row.count('"') for row in rows[:200])
    try:
        cells = pd.read_csv(
            io.StringIO("\n".join(rows)),
            sep="\t" if "\t" in rows[0] and "," not in rows[0] else ",",
            header=None,
            dtype="str",
            quotechar="'" if singles > doubles else '"',
            escapechar="\\",
            skipinitialspace=True,
            keep_default_na=False,
            na_values=["?"],
        )
    except pd.errors.ParserError as error:
        raise Fault(
            f"expected {width} cells in each row below @data, got {error}"
        ) from None
    if cells.shape[1] != width:
        raise Fault(
            f"expected {width} cells in each row below @data, one for each attribute, got "
            f"{cells.shape[1]}"
        )
    return cells.apply(lambda column: column.str.strip())


def _column(cells: pd.Series, attribute: Attribute) -> pd.Series:
    if attribute.kind == "text":
        return cells
    if attribute.kind == "nominal":
        known = cells.where(cells.isin(attribute.levels))
        column = pd.Series(pd.Categorical(known, categories=attribute.levels))
        expected = f"one of its {len(attribute.levels)} levels"
    elif attribute.kind == "number":
        column = pd.to_numeric(cells, errors="coerce")
        expected = "numbers"
    else:
        column = pd.to_datetime(cells, format=attribute.format, errors="coerce")
        expected = f"times as {attribute.format}"
    wrong = column.isna() & cells.notna()
    if wrong.any():
        row = int(wrong.argmax())
        raise Fault(
            f"column {attribute.name!r}: expected {expected}, got {cells[row]!r} in row {row} "
            "below @data; correct it"
        )
    return column
