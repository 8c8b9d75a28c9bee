"""The command with a context in TOML and a table in CSV."""

import json

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.cli.main import main
from tests.contexts.test_tables import frame

pytestmark = pytest.mark.slow

SPEC = """
latent_dim = 1
hidden_dims = [4]

[data]
source = "rows.csv"

[context]
columns = ["batch", "age"]

[fit]
epochs = 1

[evaluate]
num_particles = 30
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    frame(40).to_csv(folder / "rows.csv", index=False)
    (folder / "spec.toml").write_text(SPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["fit", "spec.toml", "--output", "run"]) == 0
    return folder


def said(capsys, *arguments):
    """What a command says, and its status."""
    status = main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return status, out + err


def test_a_run_has_the_context_and_the_numbers_of_python(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    vae = pv.load("run")
    assert vae.spec.context.table.names == ("batch", "age")
    other = frame(40)[["v", "age", "batch", "u"]]
    other.to_csv("other.csv", index=False)
    status, text = said(capsys, "evaluate", "run", "--data", "other.csv", "--json")
    assert status == 0
    found = json.loads(text)["metrics"]
    assert "given the context of each row (batch, age)" in found["measure"]
    exact = pv.evidence(vae, other, num_particles=30, progress=False)
    assert found["log_marginal"] == pytest.approx(exact.mean_log_marginal, abs=1e-4)
    status, _ = said(capsys, "encode", "run", "--data", "rows.csv", "--output", "z.npy")
    assert status == 0
    np.testing.assert_allclose(np.load("z.npy"), pv.encode(vae, frame(40)).loc, 1e-5)


def test_samples_are_given_a_context(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    sample = ("sample", "run", "-n", 3, "--output", "drawn.csv")
    given = ("--context", "batch=b", "--context", "age=30")
    assert said(capsys, *sample, *given)[0] == 0
    assert pd.read_csv("drawn.csv").shape == (3, 2)
    for wrong, message in {
        (): "context: expected what is given with each row",
        ("--context", "batch"): "--context: expected NAME=VALUE, got 'batch'",
        ("--context", "age=old"): "--context: column 'age': expected a number",
        ("--context", "batch=z", "--context", "age=3"): "'a', 'b', 'c', got 'z'",
    }.items():
        status, text = said(capsys, *sample, *wrong)
        assert status != 0
        assert message in text


def test_check_and_anomaly_find_the_contexts(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    whole = ("run", "--data", "rows.csv", "--json")
    status, text = said(capsys, "check", *whole)
    assert status in (0, 3)
    names = [finding["name"] for finding in json.loads(text)["findings"]]
    assert "z and the context" in names
    status, text = said(capsys, "anomaly", *whole, "--output", "odd.csv")
    assert status == 0
    odd = pd.read_csv("odd.csv", index_col="row").sort_index()
    how = {"num_particles": 30, "progress": False}
    exact = pv.evidence(pv.load("run"), frame(40), **how).log_marginal
    np.testing.assert_allclose(odd["log_marginal"], exact, atol=0.3)


def test_rows_without_names_end_with_their_contexts(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    fields = {"data_shape": (2, 2), "hidden_dims": (4,), "context": {"dim": 2}}
    vae = VAE(latent_dim=1, **fields)
    pv.fit(vae, x.reshape(-1, 2, 2), context=c, epochs=1, progress=False)
    pv.save(vae, "run")
    np.save("rows.npy", np.hstack([x, c]))
    few = ("--set", "evaluate.num_particles=30")
    status, text = said(capsys, "evaluate", "run", "--data", "rows.npy", "--json", *few)
    assert status == 0
    found = json.loads(text)["metrics"]["log_marginal"]
    how = {"context": c, "num_particles": 30, "progress": False}
    exact = pv.evidence(vae, x.reshape(-1, 2, 2), **how).mean_log_marginal
    assert found == pytest.approx(exact, abs=1e-4)
    np.save("rows.npy", x)
    status, text = said(capsys, "evaluate", "run", "--data", "rows.npy", *few)
    assert status == 2
    assert "expected rows of 6 numbers, the 4 of x and then the 2 of" in text


def test_what_is_refused_before_any_work(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    np.save("rows.npy", np.zeros((10, 4)))
    setting = ("--set", "data.source=rows.npy", "--output", "new")
    status, text = said(capsys, "fit", "spec.toml", *setting)
    assert status != 0
    assert "rows.npy: expected a table with the columns of the context" in text
    assert not (home / "new").exists()
    for table in ('columns={age="normal"}', "data.columns=[u, age]", "data.drop=[age]"):
        status, text = said(capsys, "fit", "spec.toml", "--set", table)
        assert status == 2
        assert "expected columns of x, got 'age', which the context has" in text
    status, text = said(capsys, "check", "run", "--set", "evaluate=3")
    assert status == 2
    assert "expected evaluate.NAME=VALUE" in text


def test_a_row_is_shown_with_its_context(home, capsys, monkeypatch):
    monkeypatch.chdir(home)
    given = ("--set", "context={columns=[batch, age]}")
    status, text = said(capsys, "inspect", "rows.csv", "--row", 7, *given)
    assert status == 0
    shown = {line.split()[0]: line.split()[1] for line in text.splitlines()[2:] if line}
    row = frame(40).iloc[7]
    assert set(shown) == set(frame(40).columns)
    assert shown["batch"] == row["batch"]
    assert float(shown["age"]) == row["age"]


def test_a_context_may_be_a_time_or_a_duration(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = frame(40)
    rows["day"] = pd.date_range("2020-01-01", periods=40)
    rows["span"] = pd.to_timedelta(np.arange(40), "h")
    columns = {"columns": ["day", "span"]}
    vae = VAE.from_data(rows, latent_dim=1, hidden_dims=(4,), context=columns)
    pv.fit(vae, rows, epochs=1, progress=False)
    pv.save(vae, "run")
    sample = ("sample", "run", "-n", 3, "--output", "drawn.csv")
    day, span = ("--context", "day=2020-01-05"), ("--context", "span=3 hours")
    assert said(capsys, *sample, *day, *span)[0] == 0
    context = {"day": pd.Timestamp("2020-01-05"), "span": pd.Timedelta(hours=3)}
    expected = pv.sample(pv.load("run"), 3, context=context)
    pd.testing.assert_frame_equal(pd.read_csv("drawn.csv"), expected, rtol=1e-6)
    status, text = said(capsys, *sample, "--context", "day=late", *span)
    assert status == 2
    assert "column 'day': expected a time, such as '2020-01-31', got 'late'" in text
