"""docs/tutorial.md: its program runs, and what the page states about its numbers is so."""

import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

import pyro_vae as pv
from pyro_vae.analysis import rate
from tests.docs.pages import DOCS, blocks, run

PAGE = DOCS / "tutorial.md"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The names that the program leaves, what it prints, and the files that it writes."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        names, printed = run("\n".join(blocks(PAGE)))
    plt.close("all")
    return names, printed, sorted(path.name for path in folder.iterdir())


def test_the_pictures_of_the_page_are_those_that_it_draws(page: Any) -> None:
    shown = re.findall(r"\(images/(\S+\.png)\)", PAGE.read_text(encoding="utf-8"))
    assert page[2] == sorted(shown)
    assert all((DOCS / "images" / name).exists() for name in shown)


def test_the_autoencoder_compresses_and_does_not_generate(page: Any) -> None:
    names, _, _ = page
    held_out, train = names["held_out"], names["train"]
    decoded, energy_distance = names["decoded"], names["energy_distance"]
    of_mean_image = np.square(train.mean(0) - held_out).mean()
    assert names["squared_error"](names["autoencoder"]) < of_mean_image / 4
    assert energy_distance(train, held_out) < 0.5
    assert energy_distance(decoded(names["autoencoder"]), held_out) > 5


def test_the_vae_reconstructs_as_well_and_generates(page: Any) -> None:
    names, _, _ = page
    autoencoder, vae = names["autoencoder"], names["vae"]
    squared_error = names["squared_error"]
    distance = {
        name: names["energy_distance"](names["decoded"](model), names["held_out"])
        for name, model in {"autoencoder": autoencoder, "vae": vae}.items()
    }
    assert squared_error(vae) < 1.15 * squared_error(autoencoder)
    assert distance["vae"] < distance["autoencoder"] / 4
    codes = pv.encode(vae, names["train"]).loc
    assert abs(codes.mean(0)).max() < 0.3
    assert 0.8 < codes.std(0).mean() < 1.5


def test_the_closed_form_of_the_rate_is_that_of_the_library(page: Any) -> None:
    names, _, _ = page
    np.testing.assert_allclose(
        names["kl"], rate(names["vae"], names["held_out"]), rtol=1e-4
    )


def test_the_two_forms_of_the_elbo_agree_on_the_grid(page: Any) -> None:
    names, _, _ = page
    by_sampling = float(
        names["elbo"].mean()
    )  # the last one: of the model with two dimensions
    by_integration = float((names["exact"] - names["gap"]).mean())
    assert by_sampling == pytest.approx(by_integration, abs=0.15)
    assert float(names["gap"].min()) > 0


def test_draws_from_the_guide_are_too_few_and_fitted_proposals_are_not(
    page: Any,
) -> None:
    names, printed, _ = page
    means = [
        float(value) for value in re.findall(r"draws: mean error +(-\d+\.\d+)", printed)
    ]
    assert len(means) == 5
    assert means == sorted(means)
    assert means[-1] < -0.5
    found = pv.evidence(names["plane"], names["some"])
    assert found.trusted.all()
    error = np.abs(found.log_marginal - names["exact"].numpy())
    assert (error < 5 * found.se + 0.01).all()


def test_three_numbers_for_the_same_digits(page: Any) -> None:
    names, _, _ = page
    guide_only, found = names["guide_only"], names["found"]
    means = [
        found.elbo.mean(),
        guide_only.log_marginal.mean(),
        found.log_marginal.mean(),
    ]
    assert means == sorted(means)
    assert guide_only.trusted.mean() < 0.5
    assert found.trusted.mean() > 0.98


def test_the_printed_numbers_are_those_of_the_page(page: Any) -> None:
    """To ten per cent: training in float32 takes another course on another processor."""
    label = r"(squared error|decoded noise:|mean sd|ELBO) (-?\d+\.\d+)"
    shown = re.findall(label, "\n".join(blocks(PAGE, "text")))
    printed = re.findall(label, page[1])
    assert [name for name, _ in shown] == [name for name, _ in printed]
    for (name, expected), (_, got) in zip(shown, printed, strict=True):
        tolerance = 0.2 if name == "decoded noise:" else 0.1
        assert float(got) == pytest.approx(float(expected), rel=tolerance), name
