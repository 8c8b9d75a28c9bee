"""`pyro-vae compare`, `check` and `anomaly`: their output and their exit status."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae.experiment import run_folder
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.sources import read_source
from pyro_vae.experiment.splits import hold_out
from tests.cli.command import pyro_vae, write_data


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Three fitted models: two of the same rows, and an autoencoder of others."""
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(
            run_folder, "save_figure", lambda figure, path: path.write_text("picture")
        )
        for name, *changes in (
            ("a",),
            ("b", "fit.seed=1"),
            ("point", "guide=delta", "prior=flat", "data=bits.npy"),
        ):
            sets = [word for change in changes for word in ("--set", change)]
            assert pyro_vae("fit", "spec.toml", *sets, "--output", name).status == 0
        yield


def test_models_are_compared_on_the_same_rows() -> None:
    found = pyro_vae("compare", "a", "b", "--json").json["models"]
    assert {model["run"] for model in found} == {"a", "b"}
    best, other = found
    assert best["difference"] == 0
    assert other["difference"] == pytest.approx(
        other["log_marginal"] - best["log_marginal"]
    )
    assert other["difference"] <= 0
    assert (
        best["unreliable"] is None
    )  # 20 draws are too few to tell, and JSON has no nan


def test_models_are_compared_on_rows_that_they_were_fitted_to_with_a_word() -> None:
    done = pyro_vae("compare", "a", "b", "--data", "normal.npy")
    for run in ("a", "b"):
        assert (
            f"{run}: rows of normal.npy; 48 of 60 equal rows that the model was fitted to\n"
            in done.out
        )


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
    assert len(done.json["sentences"]) == 3


@pytest.mark.slow
def test_a_check_ends_in_three_sentences_about_its_own_numbers() -> None:
    more = ("--set", "evaluate.num_particles=200")
    done = pyro_vae("check", "a", *more)
    trust, gain, after = done.out.rstrip("\n").splitlines()[-3:]
    assert [trust, gain, after] == pyro_vae("check", "a", *more, "--json").json[
        "sentences"
    ]
    assert trust.startswith("log p(x) = -")
    assert "a model of independent columns" in gain
    assert after.startswith(("Next, because of '", "Nothing has to be done next"))
    assert "10 draws" not in trust
    few = pyro_vae("check", "a", "--set", "evaluate.num_particles=10").out
    assert "can be trusted is not known: 10 draws of a row are too few to tell" in few


@pytest.mark.slow
def test_the_commands_of_a_check_can_be_followed() -> None:
    findings = pyro_vae("check", "a", "--json").json["findings"]
    commands = [finding["command"] for finding in findings if finding["command"]]
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "pyro-vae"
        quick = ("--set", "fit.epochs=1") if words[1] == "fit" else ()
        assert pyro_vae(*words[1:], *quick).status in {0, 3}


def test_an_autoencoder_is_checked_for_what_it_has() -> None:
    done = pyro_vae("check", "point")
    assert done.status == 0
    assert "there is no log p(x) to check" in done.out


def test_the_installation_takes_no_data() -> None:
    done = pyro_vae("check", "--data", "normal.npy")
    assert done.status == 2
    assert "need the folder of a fitted model" in done.err


def test_the_commands_of_a_check_of_other_rows_and_a_bare_model(tmp_path: Path) -> None:
    pv.save(pv.load("a"), tmp_path / "bare")
    asked = (
        "--data",
        "splits.npz",
        "--set",
        "data.array=train",
        "--set",
        "evaluate.num_particles=200",
    )
    findings = pyro_vae("check", tmp_path / "bare", *asked, "--json").json["findings"]
    commands = [
        shlex.split(finding["command"]) for finding in findings if finding["command"]
    ]
    assert all(words[1] != "fit" for words in commands)
    for words in commands:
        assert words[-4:] == ["--data", "splits.npz", "--set", "data.array=train"]
        assert pyro_vae(*words[1:]).status in {0, 3}


def test_rows_are_ranked_against_the_held_out_ones() -> None:
    rows = np.load("normal.npy")
    rows[17, 2] += 50
    pd.DataFrame(rows, columns=list("abcd")).to_csv("judged.csv", index=False)
    done = pyro_vae("anomaly", "a", "--data", "judged.csv", "--output", "scores.csv")
    assert (done.status, done.err) == (0, "")
    assert "scores.csv: log p(x), p-values and columns" in done.out
    table = pd.read_csv("scores.csv")
    assert table["row"][0] == 17
    assert table["top_columns"][0].startswith("c (-")
    assert len(table) == 60
    held_out = hold_out(
        read_source(DataOptions(source="normal.npy"), None),
        DataOptions(source="normal.npy"),
    ).test
    expected = pv.anomaly(pv.load("a"), rows, reference=held_out, num_particles=20)
    np.testing.assert_allclose(table["p_value"], expected.p_value[table["row"]])
    assert table["p_value"][0] == pytest.approx(1 / 13)  # of 12 held-out rows


def test_another_reference_may_be_named() -> None:
    found = pyro_vae(
        "anomaly", "a", "--data", "normal.npy", "--reference", "table.csv", "--json"
    ).json
    assert found["rows"] == 60
    assert (
        "60 rows are reference rows too"
        in pyro_vae(
            "anomaly", "a", "--data", "normal.npy", "--reference", "normal.npy"
        ).out
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a",), "required: --data"),
        (
            ("a", "--data", "normal.npy", "--output", "scores.txt"),
            "expected a .csv file",
        ),
        (
            ("a", "--data", "normal.npy", "--top", "0"),
            "--top: expected at least 1, got 0",
        ),
        (("a", "--data", "bits.npy", "--reference", "none.npy"), "none.npy"),
        (("point", "--data", "bits.npy"), "is an autoencoder"),
    ],
)
def test_what_anomaly_refuses(arguments: tuple[str, ...], message: str) -> None:
    done = pyro_vae("anomaly", *arguments)
    assert done.status in {1, 2}
    assert message in done.err
    assert not Path("scores.txt").exists()
