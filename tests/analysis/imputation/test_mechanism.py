"""The table of what a model has learned of why cells are missing."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit

import pyro_vae as pv
from pyro_vae.likelihoods.mechanisms import PACE


def frame():
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "income": random.lognormal(3, 1, 80),
            "owner": random.random(80) < 0.5,
            "town": pd.Categorical(random.choice(["Bonn", "Kiel", "Ulm"], 80)),
        }
    )
    return table.mask(random.random(table.shape) < 0.3)


@pytest.fixture(scope="module")
def fitted():
    vae = pv.VAE.from_data(
        frame(),
        columns={"income": "log_normal"},
        latent_dim=1,
        hidden_dims=(8,),
        missing="self_masking",
    )
    pv.fit(vae, frame(), epochs=2, progress=False)
    return vae


def test_one_line_for_each_column_and_level(fitted):
    found = pv.missing_mechanism(fitted)
    table = found.to_dataframe()
    columns = ["income", "owner", "town", "town", "town"]
    assert sorted(table.index) == sorted(columns)
    assert table.loc["town", "level"].tolist() == ["Bonn", "Kiel", "Ulm"]
    assert table.loc["town", "slope"].isna().all()
    assert "town[Kiel]" in found.summary()
    assert "slope" in found._repr_html_()
    assert repr(found) == "MissingMechanism(columns=3)"


def test_probabilities_are_those_of_the_logits(fitted):
    """At the mean of log x and one standard deviation from it, with the numbers of the model."""
    table = pv.missing_mechanism(fitted).to_dataframe()
    (group,) = (
        group
        for group in fitted.likelihood.missing.mechanism.groups
        if type(group).__name__ == "OfLogNormal"
    )
    logit = group.logit
    x = torch.exp(logit.center + logit.unit * torch.tensor([[-1.0], [0.0], [1.0]]))
    expected = group.logits(x).sigmoid().flatten().tolist()
    shown = table.loc["income", ["mean - sd", "mean", "mean + sd"]].tolist()
    assert shown == pytest.approx(expected, abs=1e-5)
    slope = PACE * logit.raw.item()
    assert table.loc["income", "slope"] == pytest.approx(slope)
    assert table.loc["income", "mean"] == pytest.approx(
        expit(table.loc["income", "intercept"])
    )


def test_other_models_have_none():
    vae = pv.VAE(data_shape=(2,), latent_dim=1, missing="at_random")
    with pytest.raises(ValueError, match="missing='self_masking', got one with"):
        pv.missing_mechanism(vae)


@pytest.mark.slow
def test_the_command_fits_a_description(tmp_path):
    from tests.cli.command import pyro_vae

    frame().to_csv(tmp_path / "holes.csv", index=False)
    text = f"""
latent_dim = 1
hidden_dims = [8]
missing = {{kind = "self_masking", direction = "high"}}
[data]
source = "{tmp_path / "holes.csv"}"
[columns]
income = "log_normal"
[fit]
epochs = 2
[evaluate]
num_particles = 30
"""
    (tmp_path / "model.toml").write_text(text)
    folder = tmp_path / "run"
    done = pyro_vae("fit", tmp_path / "model.toml", "--output", folder)
    assert done.status == 0, done.err
    assert 'missing="self_masking"' in done.out
    assert pv.load(folder).spec.self_masking == "high"
    filled = ("--output", tmp_path / "filled.csv")
    asked = pyro_vae("impute", folder, "--data", tmp_path / "holes.csv", *filled)
    assert asked.status == 0, asked.err
    refused = pyro_vae(
        *("impute", folder, "--data", tmp_path / "holes.csv", "--calibrate"),
        *("--output", tmp_path / "again.csv"),
    )
    assert refused.status != 0
    assert "missing='at_random' for this" in refused.err
