"""Pages that answer one question each: their programs run, and what they state is so."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.docs.pages import DOCS, blocks, program, run, small

QUICK = (
    "arviz",
    "context",
    "counts",
    "imputation",
    "labels",
    "missing_cells",
    "scikit_learn",
)
SLOW = ("log_evidence", "priors")


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The inplace keyword",
    "ignore:delta_grad == 0.0",
    "ignore:.*are not to be trusted",  # of few draws and one epoch
)  # az.compare
@pytest.mark.parametrize("name", QUICK)
def test_the_program_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, printed = run(small(program(DOCS / f"{name}.md")), name)
    plt.close("all")
    assert printed.strip()
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[dict[str, Any], str]]:
    """The names that each slow page leaves, and what it prints; it leaves no file."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        found = {name: run(program(DOCS / f"{name}.md"), name) for name in SLOW}
    plt.close("all")
    assert not list(folder.iterdir())
    return found


def numbers(text: str, label: str) -> list[float]:
    """The number that follows each occurrence of a label."""
    return [
        float(found) for found in re.findall(rf"{re.escape(label)} +(-?\d+\.\d+)", text)
    ]


@pytest.mark.slow
def test_a_vamp_prior_is_better_on_the_digits(whole: Any) -> None:
    comparison = whole["priors"][0]["comparison"]
    assert comparison.names == ("vamp", "standard_normal")
    assert comparison.difference[1] < -3 * comparison.difference_se[1]
    assert (comparison.mean_se > 1).all()
    assert whole["priors"][0]["match"].p_value > 0.001


@pytest.mark.slow
def test_fitted_proposals_are_trusted_and_higher(whole: Any) -> None:
    names, _ = whole["log_evidence"]
    found, guide_only = names["found"], names["guide_only"]
    assert found.trusted.mean() > 0.98
    assert guide_only.trusted.mean() < 0.5
    assert found.log_marginal.mean() > guide_only.log_marginal.mean() + 0.5
    assert found.elbo.mean() < guide_only.log_marginal.mean()


@pytest.mark.slow
def test_annealing_agrees(whole: Any) -> None:
    names, _ = whole["log_evidence"]
    assert abs(names["difference"].mean()) < 0.5
    bounds = names["bounds"]
    assert 0 < bounds.gap.mean() < 0.5
    gaps = names["gaps"]
    assert gaps.amortization_gap.mean() > gaps.approximation_gap.mean() > 0
    np.testing.assert_allclose(
        gaps.inference_gap,
        gaps.amortization_gap + gaps.approximation_gap,
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_printed_numbers_are_those_of_the_page(name: str, whole: Any) -> None:
    """To ten per cent: training in float32 takes another course on another processor."""
    shown = "\n".join(blocks(DOCS / f"{name}.md", "text"))
    for label in (
        "log p(x)",
        "ELBO",
        "guide only:",
        "by default:",
        "vamp",
        "standard_normal",
    ):
        expected = numbers(shown, label)
        assert numbers(whole[name][1], label) == pytest.approx(expected, rel=0.1), label
