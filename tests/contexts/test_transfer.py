"""`transfer` against the effects of a linear model, and on a table."""

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch

import pyro_vae as pv
from tests.contexts.linear import B, Linear, W, b, s

CHANGE = np.array([1.0, -2.0, 0.5])
DRAWS = 2000


@pytest.mark.parametrize("prior", [True, False])
def test_effects_and_draws_of_a_linear_model(prior: bool) -> None:
    truth = Linear(prior)
    x, c = truth.drawn(20)
    found = pv.transfer(
        truth.vae(),
        x,
        context=c,
        to=c + CHANGE,
        num_draws=DRAWS,
        num_particles=DRAWS,
        progress=False,
    )
    effect = (B + W @ truth.M) @ CHANGE
    np.testing.assert_allclose(found.average_effects()["effect"], effect, atol=1e-9)
    assert found.trusted.all()
    z = truth.posterior_mean(x, c) + truth.M @ CHANGE
    mean = z @ W.T + (c + CHANGE) @ B.T + b
    sd = np.sqrt(W**2 @ truth.variance + s**2)
    error = (found.draws.mean(0) - mean) / (sd / np.sqrt(DRAWS))
    assert np.abs(error).max() < 6  # of 80, with draws taken twice
    assert np.sqrt(np.square(error).mean()) < 2
    np.testing.assert_allclose(found.draws.std(0) / sd, 1.0, atol=0.1)
    low, high = found.interval(0.9)
    np.testing.assert_allclose((high - low) / (2 * 1.6449 * sd), 1.0, atol=0.15)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    site = rng.choice(["north", "south"], 200)
    return pd.DataFrame(
        {
            "wing": size + 0.3 * rng.normal(size=200) + 2.0 * (site == "south"),
            "tail": size + 0.3 * rng.normal(size=200),
            "colour": np.where(rng.random(200) < 0.5, "grey", "brown"),
            "site": site,
            "age": rng.normal(size=200),
        }
    )


def test_columns_that_change_are_named(table: pd.DataFrame) -> None:
    context = {"columns": ["site", "age"], "prior": False}
    vae = pv.VAE.from_data(table, latent_dim=1, hidden_dims=(16,), context=context)
    pv.fit(vae, table, epochs=300, lr=0.01, progress=False, validation=None)
    north = table[table["site"] == "north"]
    found = pv.transfer(vae, north, to={"site": "south"}, num_draws=20, progress=False)
    effects = found.average_effects()
    assert list(effects.index) == ["wing", "tail", "colour[brown]", "colour[grey]"]
    assert effects.loc["wing", "effect"] == pytest.approx(2.0, abs=0.5)
    assert effects.loc["tail", "effect"] == pytest.approx(0.0, abs=0.5)
    total = (
        effects.loc["colour[brown]", "effect"] + effects.loc["colour[grey]", "effect"]
    )
    assert total == pytest.approx(0.0, abs=1e-6)
    drawn = found.tables()[0]
    assert set(drawn["colour"]) <= {"grey", "brown"}
    same = pv.transfer(vae, north, to={"site": "north"}, num_draws=2, progress=False)
    assert np.abs(same.effects).max() == 0.0
    with pytest.raises(
        ValueError, match=r"to: expected columns of the context.*'colour'"
    ):
        pv.transfer(vae, north, to={"colour": "grey"})


@pytest.mark.parametrize("level", [90, 0.0, True, "0.9", np.nan])
def test_the_level_of_an_interval_is_a_share(level: object) -> None:
    truth = Linear(True)
    x, c = truth.drawn(2)
    how: dict[str, Any] = {"num_draws": 3, "num_particles": 21}
    found = pv.transfer(truth.vae(), x, context=c, to=c, **how)
    with pytest.raises(ValueError, match=r"^level: expected a number between 0 and 1"):
        found.interval(cast(float, level))
    low, high = found.interval(np.float32(0.5))
    assert (low <= high).all()


def test_a_model_without_a_context_is_refused() -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2)
    with pytest.raises(ValueError, match=r"a model with a context.*context="):
        pv.transfer(vae, torch.zeros(3, 4), to=[[1.0]])
