"""`pyro-vae compare` and `pyro-vae check`: what they say, and with which exit status."""

from collections.abc import Iterator

import pytest

from pyro_vae import outputs
from tests.cli.command import pyro_vae, write_data


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Three fitted models: two of the same rows, and an autoencoder of others."""
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(outputs, "save_figure", lambda figure, path: path.write_text("picture"))
        for name, *changes in (("a",), ("b", "fit.seed=1"), ("point", "guide=delta", "prior=flat", "data=bits.npy")):
            sets = [word for change in changes for word in ("--set", change)]
            assert pyro_vae("fit", "spec.toml", *sets, "--output", name).status == 0
        yield


def test_models_are_compared_on_the_same_rows() -> None:
    found = pyro_vae("compare", "a", "b", "--json").json["models"]
    assert {model["run"] for model in found} == {"a", "b"}
    best, other = found
    assert best["difference"] == 0
    assert other["difference"] == pytest.approx(other["log_marginal"] - best["log_marginal"])
    assert other["difference"] <= 0
    assert best["unreliable"] is None  # 20 draws are too few to tell, and JSON has no nan


def test_models_are_compared_on_rows_that_they_were_fitted_to_with_a_word() -> None:
    done = pyro_vae("compare", "a", "b", "--data", "normal.npy")
    for run in ("a", "b"):
        assert f"{run}: rows of normal.npy; 48 of them equal rows that the model was fitted to\n" in done.out


def test_models_of_other_rows_are_not_compared() -> None:
    done = pyro_vae("compare", "a", "point")
    assert done.status == 2
    assert "expected the test rows of a, got others" in done.err


def test_one_model_is_no_comparison() -> None:
    assert pyro_vae("compare", "a").status == 2


def test_the_status_of_a_check_is_that_of_its_worst_line() -> None:
    done = pyro_vae("check", "a", "--json")
    verdicts = {finding["verdict"] for finding in done.json["findings"]}
    assert "fail" not in verdicts
    assert done.status == (3 if "warn" in verdicts else 0)


def test_an_autoencoder_is_checked_for_what_it_has() -> None:
    done = pyro_vae("check", "point")
    assert done.status == 0
    assert "there is no log p(x) to check" in done.out


def test_the_installation_takes_no_data() -> None:
    done = pyro_vae("check", "--data", "normal.npy")
    assert done.status == 2
    assert "need the folder of a fitted model" in done.err
