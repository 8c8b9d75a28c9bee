"""Tables of text as HTML for notebooks, and the names of rows and columns of a DataFrame."""

import html
from collections.abc import Iterable, Sequence
from typing import Any


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


def row_labels(x: Any) -> tuple[Any, ...] | None:
    """The names of the rows, where the data have some.

    They are the index of a pandas DataFrame or Series, the `obs_names` of an AnnData, or the
    `labels` of a table, which has `values` beside them: those of a Dataset are classes.

    Returns:
        One label for each row; None for data without names.

    Example:
        >>> import pandas as pd
        >>> row_labels(pd.DataFrame({"a": [1.0, 2.0]}, index=["first", "second"]))
        ('first', 'second')
        >>> row_labels([1.0, 2.0]) is None
        True
    """
    # first, since of a DataFrame the other attributes may be columns
    index = getattr(x, "index", None)
    if index is not None and not callable(index):
        return tuple(index)
    labels = getattr(x, "obs_names", None)
    if labels is None and hasattr(x, "values"):
        labels = getattr(x, "labels", None)
    if labels is None:
        return None
    return tuple(labels)


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
