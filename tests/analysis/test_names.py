"""The public names of the analysis, which `analysis/__init__.pyi` lists."""

import ast
from pathlib import Path

import pytest

import pyro_vae as pv
from pyro_vae import analysis

ROOT = Path(__file__).resolve().parents[2]


def test_every_name_is_importable_and_listed() -> None:
    for name in analysis.__all__:
        assert getattr(analysis, name).__class__.__name__ != "module"
    assert dir(analysis) == sorted(analysis.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        analysis.no_such_name  # noqa: B018


@pytest.mark.parametrize("folder", ["pyro_vae", "analysis"])
def test_a_stub_exports_each_of_its_names(folder: str) -> None:
    """`from .x import a as a`: without `as`, a type checker takes the name for a private one."""
    stub = ast.parse((ROOT / folder / "__init__.pyi").read_text(encoding="ascii"))
    aliases = [
        alias
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    package = {"pyro_vae": pv, "analysis": analysis}[folder]
    assert sorted(alias.name for alias in aliases) == sorted(package.__all__)
    assert all(alias.asname == alias.name for alias in aliases)
