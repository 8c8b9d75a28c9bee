"""Where rows come from: files, arrays, memory maps, sparse matrices, Datasets, DataLoaders."""

from pyro_vae.data.arrays import ArrayRows, Selected
from pyro_vae.data.binarize import binarized
from pyro_vae.data.bits import PackedBits
from pyro_vae.data.checks import checked
from pyro_vae.data.columns import Column, Schema
from pyro_vae.data.files import Splits, load, load_splits
from pyro_vae.data.inspection import oddities, summary
from pyro_vae.data.loaders import DatasetRows, LoaderRows
from pyro_vae.data.placement import Placement
from pyro_vae.data.reading import read
from pyro_vae.data.rows import Rows, as_rows
from pyro_vae.data.sparse import SparseArray
from pyro_vae.data.summary_statistics import Statistics, statistics
from pyro_vae.data.tables import Table, table

__all__ = [
    "ArrayRows",
    "Column",
    "DatasetRows",
    "LoaderRows",
    "PackedBits",
    "Placement",
    "Rows",
    "Schema",
    "Selected",
    "SparseArray",
    "Splits",
    "Statistics",
    "Table",
    "as_rows",
    "binarized",
    "checked",
    "load",
    "load_splits",
    "oddities",
    "read",
    "statistics",
    "summary",
    "table",
]
