"""Elements of a page as text: paragraphs, lists, tables, figures and sections."""

import html
import re
from collections.abc import Iterable, Sequence

from pyro_vae.analysis.results.answer import Total

CODE = re.compile(r"`([^`]+)`")
NO_BREAK = "\N{NO-BREAK SPACE}"
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The browser itself refuses to load anything from elsewhere, or to run a script."""


def inline(text: str) -> str:
    """Escaped text; what stands between backticks is code.

    Example:
        >>> inline("a < b, with `x`")
        'a &lt; b, with <code>x</code>'
    """
    together = text.replace(" ± ", f"{NO_BREAK}±{NO_BREAK}")
    together = together.replace(" %", f"{NO_BREAK}%")
    return CODE.sub(r"<code>\1</code>", html.escape(together))


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of text.

    Example:
        >>> paragraph("a & b")
        '<p>a &amp; b</p>'
    """
    return f"<p{_class(kind)}>{inline(text)}</p>"


def listing(items: Iterable[str], *, ordered: bool = False) -> str:
    """A list of sentences; nothing for none.

    Example:
        >>> listing(["a", "b"])
        '<ul><li>a</li><li>b</li></ul>'
    """
    lines = "".join(f"<li>{inline(item)}</li>" for item in items)
    name = "ol" if ordered else "ul"
    return f"<{name}>{lines}</{name}>" if lines else ""


def preformatted(text: str, label: str) -> str:
    """Lines of text as they are, in a box that scrolls where they are long."""
    attributes = f'tabindex="0" role="region" aria-label="{html.escape(label)}"'
    return f"<pre {attributes}>{html.escape(text)}</pre>"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a caption; the first cell of a row is its name.

    Example:
        >>> "<th scope='row'>k</th>" in table("numbers", ["name", "value"], [["k", "0.2"]])
        True
    """
    first = "".join(f"<th scope='col'>{inline(name)}</th>" for name in head)
    lines = "".join(_row(row) for row in rows)
    title = f"<caption>{inline(caption)}</caption>"
    inside = f"{title}<thead><tr>{first}</tr></thead><tbody>{lines}</tbody>"
    label = html.escape(caption.replace("`", ""))
    region = f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
    return f"{region}<table>{inside}</table></div>"


def totals(caption: str, found: Iterable[Total]) -> str:
    """A table of the numbers about all rows that a result has."""
    lines = [[total.name, total.shown(), total.note] for total in found]
    return table(caption, ("number", "value", "note"), lines)


def _row(row: Sequence[str]) -> str:
    name, *cells = row
    parts = [f"<th scope='row'>{inline(name)}</th>"]
    for cell in cells:
        is_number = bool(cell) and (cell[0].isdigit() or cell[0] in "-−+")
        parts.append(f"<td{_class('number' if is_number else '')}>{inline(cell)}</td>")
    return f"<tr>{''.join(parts)}</tr>"


def figure(picture: str, caption: str) -> str:
    """A picture with its caption."""
    return f"<figure>{picture}<figcaption>{inline(caption)}</figcaption></figure>"


def grid(figures: Iterable[str], kind: str = "") -> str:
    """Figures side by side, as many as there is room for."""
    classes = f"grid {kind}".rstrip()
    return f"<div{_class(classes)}>{''.join(figures)}</div>"


def details(summary: str, inside: str) -> str:
    """What is shown on a click, by the browser alone."""
    return f"<details><summary>{inline(summary)}</summary>{inside}</details>"


def section(name: str, title: str, inside: str) -> str:
    """A part of the page with its heading."""
    return f'<section id="{name}"><h2>{inline(title)}</h2>{inside}</section>'


def document(title: str, style: str, inside: str) -> str:
    """The whole page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f"<body><main>{inside}</main></body></html>\n"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
