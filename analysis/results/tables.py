"""Tables of text as HTML for notebooks, and the names of columns of a DataFrame."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from pyro_vae.data import Schema, Table
from pyro_vae.data.annotated import is_anndata
from pyro_vae.data.frames import is_frame, opened


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of text cells, which are escaped.

    Example:
        >>> html_table(["model", "se"], [["a<b", "0.2"]])
        '<table><tr><th>model</th><th>se</th></tr><tr><td>a&lt;b</td><td>0.2</td></tr></table>'
    """
    lines = [_html_row("th", head), *(_html_row("td", row) for row in rows)]
    return f"<table>{''.join(lines)}</table>"


def html_paragraph(text: str) -> str:
    """Lines of text as an HTML paragraph, escaped.

    Example:
        >>> html_paragraph("a < b\\nc")
        '<p>a &lt; b<br>c</p>'
    """
    return f"<p>{html.escape(text)}</p>".replace("\n", "<br>")


def yes_or_no(value: bool) -> str:
    """A truth value as a word.

    Example:
        >>> yes_or_no(True)
        'yes'
    """
    return "yes" if value else "no"


def column_labels(x: Any, schema: Schema | None = None) -> tuple[Any, ...] | None:
    """The names of the columns of the model, or else those of the data.

    Arguments:
        x: rows of any kind.
        schema: the columns of the model, by whose names a DataFrame is matched.

    Returns:
        One name for each number of a row; None where neither the model nor the data have names.

    Example:
        >>> import pandas as pd
        >>> column_labels(pd.DataFrame({"a": [1.0, 2.0]}))
        ('a',)
    """
    if schema is not None:
        return schema.names
    if isinstance(x, Table):
        return x.names
    if is_frame(x):
        return tuple(opened(x, "x").columns)
    return tuple(x.var_names) if is_anndata(x) else None


def column_names(x: Any) -> list[str] | None:
    """The names of the columns of a DataFrame, or of the variables of an AnnData.

    Returns:
        One name for each column; None where a column has none, or two have the same.

    Example:
        >>> import pandas as pd
        >>> column_names(pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 0.0]}))
        ['a', 'b']
        >>> column_names(pd.DataFrame([[1.0, 2.0]])) is None
        True
    """
    names = getattr(x, "columns", getattr(x, "var_names", None))
    if names is None or callable(names):
        return None
    found = list(names)
    are_text = all(isinstance(name, str) for name in found)
    if not are_text or len(set(found)) < len(found):
        return None
    return found


def _html_row(cell: str, texts: Sequence[str]) -> str:
    cells = "".join(f"<{cell}>{html.escape(text)}</{cell}>" for text in texts)
    return f"<tr>{cells}</tr>"
