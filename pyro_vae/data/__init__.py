"""Where rows come from: files and the bundled digits, arrays, memmaps, Datasets and DataLoaders."""

from pyro_vae.data.files import Splits, load, load_splits
from pyro_vae.data.rows import (
    ArrayRows,
    DatasetRows,
    LoaderRows,
    Rows,
    Statistics,
    Target,
    as_rows,
    checked,
    statistics,
)

__all__ = [
    "ArrayRows",
    "DatasetRows",
    "LoaderRows",
    "Rows",
    "Splits",
    "Statistics",
    "Target",
    "as_rows",
    "checked",
    "load",
    "load_splits",
    "statistics",
]
