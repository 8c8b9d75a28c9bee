"""The site of docs/: every public name is in the API reference, and every page in the contents."""

import importlib
import importlib.util
import re
from types import ModuleType

import pytest

import pyro_vae as pv
from pyro_vae import analysis
from tests.docs.pages import DOCS

REFERENCE = "\n".join(
    path.read_text(encoding="utf-8") for path in (DOCS / "api").glob("*.md")
)


@pytest.fixture(scope="module")
def conf() -> ModuleType:
    """The settings of the site as a module; they import nothing of Sphinx."""
    spec = importlib.util.spec_from_file_location("docs_conf", DOCS / "conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_in_the_reference() -> None:
    whole = set(re.findall(r"automodule:: pyro_vae\.([\w.]+)", REFERENCE))
    shown = set(
        re.findall(
            r"auto(?:class|function):: (?:[\w.]+\.)?(\w+)$", REFERENCE, re.MULTILINE
        )
    )
    for room in whole:
        shown |= set(
            getattr(importlib.import_module(f"pyro_vae.{room}"), "__all__", ())
        )
    named = set(re.findall(r"`(?:pyro_vae\.)?([A-Z]+)`", REFERENCE))  # the registries
    rooms = {name for name in pv.__all__ if isinstance(getattr(pv, name), ModuleType)}
    public = (set(pv.__all__) - rooms) | set(analysis.__all__)
    assert sorted(public - shown - named) == []


def test_every_page_is_in_the_contents() -> None:
    contents = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = {
        path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")
    }
    listed = set(re.findall(r"^[a-z_/]+$", contents, re.MULTILINE))
    assert pages - {"index"} == listed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("p(x | z) for |z| < 1", r"p(x \| z) for \|z\| < 1"),
        ("`p | q` and p * q", r"`p | q` and p \* q"),
        ("sum_ of x_i", r"sum\_ of x_i"),
        ("    **options: c * d", r"    **options: c \* d"),
        ("    transforms: T.", r"    transforms: T\."),
    ],
)
def test_formulas_are_escaped(conf: ModuleType, line: str, expected: str) -> None:
    assert conf.escaped(line) == expected


def test_examples_stay_and_references_become_a_list(conf: ModuleType) -> None:
    docstring = [
        "References:",
        "    One (A, 2014).",
        "    Two, over",
        "    two lines (B et al., 2016). Three (C, 2017), for bits; Four (E, 2018).",
        "",
        "Example:",
        "    >>> a | b",
        "    c * d",
        "",
        "a * b",
    ]
    assert list(conf.escaped_lines(docstring)) == [
        "References:",
        "    - One (A, 2014).",
        "    - Two, over two lines (B et al., 2016).",
        "    - Three (C, 2017), for bits.",
        "    - Four (E, 2018).",
        "",
        "Example:",
        "    >>> a | b",
        "    c * d",
        "",
        r"a \* b",
        "",
    ]


def test_an_indented_block_is_literal(conf: ModuleType) -> None:
    docstring = ["The loss:", "", "    a | b", "", "    c * d", "", "a * b"]
    expected = [
        "The loss:",
        "",
        "::",
        "",
        "    a | b",
        "",
        "    c * d",
        "",
        r"a \* b",
        "",
    ]
    assert list(conf.escaped_lines(docstring)) == expected
