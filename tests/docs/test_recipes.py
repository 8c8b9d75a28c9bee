"""docs/recipes.md: each recipe stands alone after the first block, and its fact is so."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import DOCS, blocks, run

TEXT = (DOCS / "recipes.md").read_text(encoding="utf-8")
FIRST, *RECIPES = blocks(DOCS / "recipes.md")
TITLES = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
NEEDS = ("anndata", "onnxruntime")
"""Packages of a recipe that may not be installed."""


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    return run(FIRST, "recipes")[0]


def test_every_recipe_ends_in_a_fact() -> None:
    assert len(TITLES) == len(RECIPES)
    assert len(TITLES) >= 8
    for recipe in RECIPES:
        last = recipe.rstrip().split("\n\n")[-1].splitlines()[-1]
        assert last.startswith("assert "), recipe


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.param_store  # of the recipe in Pyro
@pytest.mark.parametrize("title", TITLES)
def test_its_fact_is_so(
    title: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPES[TITLES.index(title)]
    for package in NEEDS:
        if f"import {package}" in recipe:
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    exec(compile(recipe, title, "exec"), dict(names))
