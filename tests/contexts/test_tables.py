"""Contexts by the names of columns: any order, saved levels, numbers in units of their spread."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.data import table
from pyro_vae.networks.context import ContextFeatures

CONTEXT = {"columns": ["batch", "age"]}


def frame(n=60, seed=0):
    rng = np.random.default_rng(seed)
    batch = rng.choice(["a", "b", "c"], n)
    age = rng.integers(20, 80, n)
    u = np.where(batch == "b", 2.0, 0.0) + 0.1 * age + rng.normal(size=n)
    return pd.DataFrame(
        {"age": age, "u": u, "batch": batch, "v": rng.normal(size=n) > 0}
    )


@pytest.fixture(scope="module")
def fitted():
    data = frame()
    vae = VAE.from_data(data, latent_dim=1, hidden_dims=(4,), context=CONTEXT)
    pv.fit(vae, data, epochs=2, progress=False)
    return vae


def test_the_columns_are_taken_out_of_x(fitted):
    assert fitted.spec.table.names == ("u", "v")
    assert fitted.spec.context.table.names == ("batch", "age")
    assert fitted.spec.context.levels == (3, None)
    assert fitted.spec.context.width == 4
    assert "p(x | z, c)" in str(fitted)
    assert "c (2,): 'batch', 'age'" in str(fitted)


def test_numbers_are_standardised_with_the_training_rows():
    data = frame()
    vae = VAE.from_data(data, latent_dim=1, hidden_dims=(), context=CONTEXT)
    pv.fit(vae, data[:40], epochs=1, validation=data[40:], progress=False)
    for part in (vae.prior, vae.model, vae.posterior.encoder):
        age = data["age"][:40]
        np.testing.assert_allclose(part.features.mean[1], age.mean(), rtol=1e-5)
        np.testing.assert_allclose(part.features.std[1], age.std(), rtol=0.02)
    c = torch.tensor([[2.0, float(vae.model.features.mean[1])]])
    expected = torch.tensor([[0.0, 0.0, 1.0, 0.0]])
    torch.testing.assert_close(vae.model.features(c), expected, atol=1e-6, rtol=0)


def test_an_embedding_is_a_learned_vector_of_each_level():
    features = ContextFeatures([None, 3], embedding=2)
    found = features(torch.tensor([[0.5, 2.0]]))
    torch.testing.assert_close(found[0, 1:], features.embeddings["1"][2])
    found.sum().backward()
    assert features.embeddings["1"].grad.sum(1).tolist() == [0.0, 0.0, 2.0]


@pytest.mark.parametrize("kind", ["other order", "more columns", "polars", "Table"])
def test_any_table_with_the_columns_gives_the_same_numbers(fitted, kind):
    data = frame(n=8, seed=1)
    expected = pv.encode(fitted, data).loc
    other = {
        "other order": data[["v", "batch", "u", "age"]],
        "more columns": data.assign(w=1.0),
        "polars": pl.from_pandas(data),
        "Table": table(data),
    }[kind]
    if kind == "more columns":
        with pytest.warns(UserWarning, match=r"left out the columns 'w'"):
            found = pv.encode(fitted, other)
    else:
        found = pv.encode(fitted, other)
    np.testing.assert_allclose(found.loc, expected, rtol=1e-6)
    apart = pv.encode(fitted, data[["u", "v"]], context=data[["age", "batch"]])
    np.testing.assert_allclose(apart.loc, expected, rtol=1e-6)
    positions = pd.Categorical(data["batch"]).codes
    array = np.stack([positions, data["age"]], 1)
    by_number = pv.encode(fitted, data[["u", "v"]], context=array)
    np.testing.assert_allclose(by_number.loc, expected, rtol=1e-6)


def test_samples_are_given_a_context_by_name(fitted):
    one = pv.sample(fitted, 3, context={"batch": "b", "age": 30}, seed=2)
    same = pd.DataFrame({"age": [30] * 3, "batch": ["b"] * 3})
    pd.testing.assert_frame_equal(one, pv.sample(fitted, 3, context=same, seed=2))
    assert list(one.columns) == ["u", "v"]
    each = pv.sample(fitted, 2, context={"batch": ["a", "b"], "age": 30})
    assert len(each) == 2


def test_a_saved_model_has_its_levels(fitted, tmp_path):
    pv.save(fitted, tmp_path / "run")
    again = pv.load(tmp_path / "run")
    assert again.spec == fitted.spec
    data = frame(n=5, seed=3)
    how = {"num_particles": 30, "progress": False}
    np.testing.assert_array_equal(
        pv.evidence(again, data, **how).log_marginal,
        pv.evidence(fitted, data, **how).log_marginal,
    )


def test_draws_for_arviz_have_the_names_and_levels(fitted):
    data = frame(n=3, seed=4)
    constant = pv.to_arviz(fitted, data, num_samples=2)["constant_data"]
    assert constant["batch"].values.tolist() == data["batch"].tolist()
    assert constant["age"].values.tolist() == data["age"].tolist()


@pytest.mark.slow
def test_an_ensemble_and_imputation_of_a_table(fitted):
    data = frame()
    data.loc[::3, "u"] = np.nan
    vae = VAE.from_data(data, latent_dim=1, hidden_dims=(4,), context=CONTEXT)
    runs = pv.fit_ensemble(vae, data, ensemble=2, epochs=1, progress=False)
    found = pv.impute(
        [run.vae for run in runs], data, num_imputations=1, progress=False
    )
    completed = found.completed[0]
    assert list(completed.columns) == list(data.columns)
    assert not completed.isna().any().any()


BAD = {
    "unknown level": (
        lambda data: data.assign(batch="z"),
        r"context: column 'batch': expected the levels 'a', 'b', 'c', got 'z' in row 0",
    ),
    "missing number": (
        lambda data: data.assign(age=[np.nan, *data["age"][1:]]),
        r"context: column 'age': expected a value in each row, .* a missing cell in row 0",
    ),
    "missing level": (
        lambda data: data.assign(batch=[None, *data["batch"][1:]]),
        r"context: column 'batch': expected a value in each row, .* \(1 such cells\)",
    ),
    "no such column": (
        lambda data: data.drop(columns="age"),
        r"context: expected the 2 columns .* without 'age'",
    ),
    "neither": (
        lambda data: data.drop(columns=["age", "batch"]),
        r"context: expected the columns 'batch', 'age', got a table with 'u', 'v'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_cells_that_no_context_can_have(fitted, case):
    change, message = BAD[case]
    data = change(frame(n=4))
    for ask in (pv.fit, pv.evidence, pv.encode, pv.reconstruct):
        with pytest.raises(ValueError, match=message):
            ask(fitted, data)


def test_numbers_that_are_no_positions_of_levels(fitted):
    message = r"context: column 'batch': expected positions among its levels .* got 3 in row 1"
    with pytest.raises(ValueError, match=message):
        pv.sample(fitted, 2, context=[[0, 40], [3, 40]])


def test_columns_that_a_table_does_not_have():
    with pytest.raises(
        ValueError, match=r"context: .* got 'bach'; did you mean 'batch'"
    ):
        VAE.from_data(frame(), context={"columns": ["bach"]})
    with pytest.raises(
        ValueError, match=r"column 'age': expected one of .* got 'gamma'"
    ):
        VAE.from_data(frame(), context={"columns": {"age": "gamma"}})


def test_kinds_of_columns_by_name():
    data = frame().assign(batch=np.arange(60) % 3)
    kinds = {"batch": "categorical", "age": "normal"}
    vae = VAE.from_data(data, context={"columns": kinds, "embedding": 2})
    assert vae.spec.context.levels == (3, None)
    assert vae.spec.context.width == 3


def test_images_have_the_columns_of_another_table():
    labels = pd.DataFrame({"digit": ["0", "1", "0"]})
    vae = VAE(data_shape=(2, 2), latent_dim=1, context={"table": table(labels).schema})
    assert pv.encode(vae, np.zeros((3, 2, 2)), context=labels).loc.shape == (3, 1)
    assert pv.sample(vae, 2, context={"digit": "1"}).x.shape == (2, 2, 2)
