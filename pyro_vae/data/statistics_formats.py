"""Files of other programs: Stata, SPSS, SAS, FITS tables, FCS of flow cytometers."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pyro_vae.data.column_formats import Read, needs
from pyro_vae.data.names import shortened
from pyro_vae.data.stored import Fault


def read_stata(path: Path, _: str | None = None) -> Read:
    """A Stata file; labelled values are categories without an order, for Stata has none."""
    numbers = pd.read_stata(path, convert_categoricals=False)
    with pd.read_stata(path, iterator=True) as reader:
        label_sets = reader.value_labels()
    try:
        labelled = pd.read_stata(path, order_categoricals=False)
    except ValueError:  # two values have the same label
        return numbers, ["values are kept, because some have the same label"]
    notes = []
    for name in labelled.columns[labelled.dtypes == "category"]:
        column = labelled[name]
        if all(isinstance(label, str) for label in column.cat.categories):
            label_of = _label_set(numbers[name], column, label_sets)
            numbers[name] = _categories(numbers[name], label_of, is_ordered=False)
        else:
            notes.append(
                f"column {name!r}: values are kept, because only some have a label"
            )
    return numbers, notes


def _label_set(
    values: pd.Series, labels: pd.Series, label_sets: Mapping[str, Mapping[Any, str]]
) -> Mapping[Any, str]:
    """All labels of a column: pandas leaves out those that no row has.

    The set that has the labels of the rows, if there is one; otherwise only these labels.
    """
    pairs = pd.DataFrame({"value": values, "label": labels.astype("str")}).dropna()
    seen = dict(pairs.drop_duplicates().itertuples(index=False))
    fitting = [
        label_of
        for label_of in label_sets.values()
        if all(label_of.get(value) == label for value, label in seen.items())
    ]
    if fitting and all(label_of == fitting[0] for label_of in fitting):
        return fitting[0]
    return seen


def read_spss(path: Path, _: str | None = None) -> Read:
    """An SPSS file; labelled values are categories, with an order where SPSS calls them ordinal."""
    with needs("pyreadstat", path.suffix):
        import pyreadstat

        read = (
            pyreadstat.read_por
            if path.suffix.lower() == ".por"
            else pyreadstat.read_sav
        )
    numbers, meta = read(path)
    return _labelled(numbers, meta.variable_value_labels, meta.variable_measure)


def _labelled(
    frame: pd.DataFrame,
    labels: Mapping[str, Mapping[Any, str]],
    measures: Mapping[str, str],
) -> Read:
    """Labels in place of the values, in columns all of whose values have one."""
    notes = []
    changed = {}
    for name, label_of in labels.items():
        if name not in frame:
            continue
        values = frame[name]
        known = values.dropna()
        has_label = known.isin(list(label_of))
        if has_label.all():
            changed[name] = _categories(
                values, label_of, measures.get(name) == "ordinal"
            )
        elif has_label.any() or not known.empty:
            notes.append(
                f"column {name!r}: values are kept, because only some have a label "
                f"({shortened(list(label_of))})"
            )
    return frame.assign(**changed), notes


def _categories(
    values: pd.Series, label_of: Mapping[Any, str], is_ordered: bool
) -> pd.Series:
    """Categories in the order of their values; two values with one label keep their values."""
    labels = {value: label_of[value] for value in sorted(label_of)}
    if len(set(labels.values())) < len(labels):
        labels = {value: f"{value} {label}" for value, label in labels.items()}
    return pd.Series(
        pd.Categorical(
            values.map(labels), categories=list(labels.values()), ordered=is_ordered
        ),
        index=values.index,
    )


def read_sas(path: Path, _: str | None = None) -> Read:
    """A SAS file: .sas7bdat, or the transport format .xpt."""
    if path.suffix.lower() == ".sas7bdat":
        return pd.read_sas(path, format="sas7bdat", encoding="infer"), []
    reader = pd.read_sas(path, format="xport", encoding="cp1252", iterator=True)
    with reader:
        # pandas takes blanks in the text of the last rows for the blanks that fill the file.
        content = path.read_bytes()[reader.record_start :].rstrip(b" ")
        reader.nobs = math.ceil(len(content) / reader.record_length)
        return reader.read(), []


def read_fits(path: Path, array: str | None = None) -> Read:
    """A table of a FITS file: the one asked for by name, or the first."""
    with needs("astropy", path.suffix):
        from astropy.io import fits
        from astropy.table import Table
    with fits.open(path) as units:
        tables = [
            unit.name or str(i)
            for i, unit in enumerate(units)
            if hasattr(unit, "columns")
        ]
    if not tables or (array is not None and array not in tables):
        raise Fault(
            f"expected a table{'' if array is None else f' named {array!r}'}, got "
            f"{shortened(tables) or 'only images'}; pass array= with one of these"
        )
    name = tables[0] if array is None else array
    hdu: str | int = int(name) if name.isdigit() else name
    table = Table.read(path, format="fits", hdu=hdu)
    wide = [column for column in table.colnames if len(table[column].shape) > 1]
    notes = []
    if wide:
        table.remove_columns(wide)
        notes.append(f"left out, because a cell has several numbers: {shortened(wide)}")
    if len(tables) > 1 and array is None:
        notes.append(
            f"table {name!r} of {shortened(tables)} is read; array= names another one"
        )
    return table.to_pandas(), notes


def read_fcs(path: Path, _: str | None = None) -> Read:
    """The events of a flow cytometer, on the scale of the instrument; markers name the channels."""
    with needs("flowio", path.suffix):
        from flowio import FlowData
    data = FlowData(str(path))
    values = data.as_array(preprocess=True)
    channels = zip(data.pns_labels, data.pnn_labels, strict=True)
    names = [marker or channel for marker, channel in channels]
    return pd.DataFrame(values, columns=names), []
