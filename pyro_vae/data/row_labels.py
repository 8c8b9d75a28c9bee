"""The names of rows, where the data have some."""

from typing import Any

from pyro_vae.data.annotated import is_anndata
from pyro_vae.data.column_choice import label_column
from pyro_vae.data.columns import Schema
from pyro_vae.data.frames import is_frame, opened
from pyro_vae.data.tables import Table


def row_labels(x: Any, schema: Schema | None = None) -> tuple[Any, ...] | None:
    """The names of the rows, where the data have some.

    They are a column that the model knows as such, the labels of a `Table`, the index of a pandas
    DataFrame or Series, or the `obs_names` of an AnnData.

    Arguments:
        x: rows of any kind.
        schema: the columns of the model, one of which may have the names of the rows.

    Returns:
        One label for each row; None for data without names.

    Example:
        >>> import pandas as pd
        >>> row_labels(pd.DataFrame({"a": [1.0, 2.0]}, index=["first", "second"]))
        ('first', 'second')
        >>> row_labels([1.0, 2.0]) is None
        True
    """
    if isinstance(x, Table):
        return x.labels
    if schema is not None and is_frame(x):
        data = opened(x, "x")
        label = label_column(data.columns, schema)
        if label is not None:
            return tuple(data[label].to_list())
    index = x.obs_names if is_anndata(x) else getattr(x, "index", None)
    if index is None or callable(index):
        return None
    return tuple(index)
