"""docs/program.md: its program runs, and both ELBOs that it prints are one number."""

import re
from pathlib import Path

import pyro
import pytest

from tests.docs.pages import DOCS, blocks, program, run

PAGE = DOCS / "program.md"


@pytest.mark.slow
def test_the_page_runs_and_the_program_has_the_same_elbo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pyro.get_param_store().scope():
        _, printed = run(program(PAGE), "program_page")
    for text in blocks(PAGE, "text"):
        assert text in printed
    found = re.findall(r"(-?\d+\.\d{6}) nats per row", printed)
    assert len(found) == 4
    assert found[::2] == found[1::2]
    assert r"\begin{aligned}" in printed
