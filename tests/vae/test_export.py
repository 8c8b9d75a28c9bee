"""The programs of docs/export.md and docs/threads.md run, and what they say is so."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import pyro_vae as pv

ROOT = Path(__file__).parents[2]
X = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
GUIDES: dict[str, Any] = {
    "mean_field": "mean_field",
    "full_rank": "full_rank",
    "low_rank": "low_rank",
    "hierarchical": {"kind": "hierarchical", "top_dim": 1},
    "flow": "flow",
    "coupling": {"kind": "flow", "transform": "coupling"},
    "delta": "delta",
    "spline": {"kind": "flow", "transform": "spline"},
}
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning"
)


def program(page: str) -> str:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    names: dict[str, Any] = {}
    with contextlib.chdir(tmp_path_factory.mktemp("export")):
        exec(program("export"), names)
    return names


def test_the_exported_programs_are_the_model(page: dict[str, Any]) -> None:
    vae = page["vae"]
    x = page["x"]
    codes = pv.encode(vae, x)
    for rows in (1, 7, 50):
        loc, scale = page["encoder"].module()(x[:rows])
        torch.testing.assert_close(loc, torch.from_numpy(codes.loc[:rows]))
        torch.testing.assert_close(scale, torch.from_numpy(codes.scale[:rows]))
        torch.testing.assert_close(
            page["decoder"].module()(loc),
            torch.from_numpy(pv.reconstruct(vae, x[:rows])),
        )


def test_the_files_of_the_page_estimate_log_p(page: dict[str, Any]) -> None:
    vae = page["vae"]
    x = page["x"][:7]
    expected = pv.evidence(vae, x, num_particles=2000, progress=False).log_marginal
    found = page["log_p"].detach().numpy()
    assert found.mean() == pytest.approx(expected.mean(), abs=0.1)


def a_vae(guide: Any) -> pv.VAE:
    prior = "flat" if guide == "delta" else "standard_normal"
    return pv.VAE(
        data_shape=(4,), latent_dim=2, hidden_dims=(8,), prior=prior, guide=guide
    )


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.slow
def test_every_guide_is_exported_with_any_number_of_rows(
    name: str, page: dict[str, Any]
) -> None:
    vae = a_vae(GUIDES[name])
    encoder = page["exported"](page["Codes"](vae), X)
    codes = pv.encode(vae, X)
    for rows in (2, 30):
        for found, expected in zip(
            encoder.module()(X[:rows]), (codes.loc, codes.scale), strict=True
        ):
            torch.testing.assert_close(found, torch.from_numpy(expected[:rows]))


def test_the_other_guides_are_those_that_the_page_names(page: dict[str, Any]) -> None:
    kinds = {
        name if isinstance(guide, str) else guide["kind"]
        for name, guide in GUIDES.items()
    }
    assert set(pv.GUIDES) - kinds == {"semi_amortized"}
    with pytest.raises(
        Exception,
        match=r"guide 'semi_amortized': its steps take gradients, which .* torch.export",
    ):
        page["exported"](page["Codes"](a_vae("semi_amortized")), X)


@pytest.mark.slow
def test_threads_take_turns_as_their_page_says(tmp_path: Path) -> None:
    command = [sys.executable, "-c", program("threads")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
