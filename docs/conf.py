"""The settings of the documentation: `python -m sphinx -W docs site` writes it to `site`.

Pages are Markdown (MyST). The API reference comes from the docstrings of the importable package.
Nothing is read from the network, neither by the build nor by the pages.
"""

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Any, get_type_hints

import pyro_vae

project = "pyro_vae"
author = "The pyro_vae authors"
copyright = f"2026, {author}"
version = release = pyro_vae.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"pyro_vae {version}"
html_copy_source = False
smartquotes = False  # "name" in a docstring is what the user types

myst_heading_anchors = 3
suppress_warnings = ["myst.strikethrough"]

default_role = "literal"  # `x` in a docstring is code
add_module_names = False
autodoc_inherit_docstrings = False  # those of torch's Module say nothing here
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
maximum_signature_line_length = 88
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"
napoleon_use_param = False  # one line of a docstring may describe several arguments
napoleon_use_ivar = False
napoleon_use_rtype = False

_TITLE = re.compile(r"(Arguments|Attributes|Example|Raises|References|Returns):$")
_CODE = re.compile(r"(`[^`]*`)")
_MARKUP = re.compile(r"([*|\\]|_(?=\W|$))")
_ENUMERATOR = re.compile(r"(: +[A-Za-z])(\.)")
_NEXT_REFERENCE = re.compile(r"(?<!\bal)(?<=[a-z0-9)])[.;] (?=[A-Z0-9])")
_STARRED_ARGUMENT = re.compile(r"\s*\*{1,2}\w+:")


def escaped(line: str) -> str:
    """A line of a docstring without reST's markup: p(x | z) is a formula, and no substitution."""
    start = _STARRED_ARGUMENT.match(line)
    kept = start.group() if start else ""
    parts = _CODE.split(line[len(kept) :])
    parts[::2] = [_MARKUP.sub(r"\\\1", part) for part in parts[::2]]
    return kept + _ENUMERATOR.sub(r"\1\\\2", "".join(parts))


def references(text: str) -> Iterator[str]:
    """The items of a list, one for each reference of a section."""
    for reference in _NEXT_REFERENCE.split(text):
        yield f"    - {escaped(reference.removesuffix('.'))}."


def escaped_lines(lines: list[str]) -> Iterator[str]:
    """A docstring for reST: formulas escaped, examples and indented blocks as they are, and the
    references as a list.
    """
    section = ""
    in_example = in_block = False
    cited: list[str] = []
    for line in [*lines, ""]:
        text = line.strip()
        if cited and not text:
            yield from references(" ".join(cited))
            cited.clear()
        if _TITLE.match(line):
            section = line
        in_example = text.startswith(">>>") or (in_example and text != "")
        is_indented = not section and line.startswith("    ")
        if is_indented and not in_block:
            yield from ("::", "")
        in_block = is_indented or (in_block and not text)
        if in_example or is_indented:
            yield line
        elif section == "References:" and text and line != section:
            cited.append(text)
        else:
            yield escaped(line)


def process_docstring(
    app: Any, what: str, name: str, item: Any, options: Any, lines: list[str]
) -> None:
    """Called by autodoc, before napoleon.

    Napoleon reads the start of an attribute's docstring up to a colon as its type: an empty
    comment before it keeps it from that.
    """
    before = ["..", ""] if what in {"attribute", "property"} else []
    lines[:] = [*before, *escaped_lines(lines)]


def simplify_annotations(app: Any, item: Any, bound: bool) -> None:
    """Called by autodoc: `Annotated[int, Gt(gt=0)]` is written as `int`."""
    function = inspect.unwrap(getattr(item, "__func__", item))
    with contextlib.suppress(NameError, TypeError):
        function.__annotations__ = get_type_hints(function)


def process_signature(
    app: Any,
    what: str,
    name: str,
    item: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Called by autodoc: a default that a dataclass makes by a function is written as dots."""
    if signature is None or "<factory>" not in signature:
        return None
    return signature.replace("<factory>", "..."), returns


def skip_member(
    app: Any, what: str, name: str, item: Any, skip: bool, options: Any
) -> bool | None:
    """Called by autodoc: fields of a named tuple are described by their class."""
    return True if type(item).__name__ == "_tuplegetter" else None


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process_docstring, priority=400)
    app.connect("autodoc-before-process-signature", simplify_annotations)
    app.connect("autodoc-process-signature", process_signature)
    app.connect("autodoc-skip-member", skip_member)
