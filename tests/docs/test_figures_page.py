"""docs/figures.md: its programs run, and its table has every result with its options."""

import inspect
import re
from pathlib import Path

import pytest

import pyro_vae as pv
from pyro_vae import analysis
from pyro_vae.plotting import dispatch
from pyro_vae.plotting.layout import layout_of
from tests.docs.pages import DOCS, blocks, program, run, small

PAGE = DOCS / "figures.md"
LINE = re.compile(r"^\| (.+?) \| `(\w+)` \| (.+) \| (.*?) ?\|$", re.MULTILINE)
LINES = LINE.findall(PAGE.read_text(encoding="utf-8"))


def test_every_result_is_in_the_table_with_its_options() -> None:
    assert dispatch.plot is pv.plot  # which registers them
    by_name = {kind.__name__: kind for kind in layout_of.registry if kind is not object}
    assert sorted(name for _, name, *_ in LINES) == sorted(by_name)
    for _, name, _, options in LINES:
        parameters = [*inspect.signature(layout_of.dispatch(by_name[name])).parameters]
        assert re.findall(r"`(\w+)`", options) == parameters[1:], name


def test_the_functions_in_the_table_give_results() -> None:
    named = {
        function
        for source, name, *_ in LINES
        for function in re.findall(r"`(\w+)", source)
        if name != "dict"
    }
    known = {*pv.__all__, *analysis.__all__}
    assert named <= known


@pytest.mark.slow
def test_the_programs_write_the_picture_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, printed = run(small(program(PAGE)).replace("num_rows=4", "num_rows=40"))
    assert [path.name for path in tmp_path.iterdir()] == ["figures.png"]
    assert [printed] == blocks(PAGE, "text")
