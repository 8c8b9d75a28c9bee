"""Rows in float64 for a model in float32: harmless rounding passes, the rest is refused."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from pyro_vae import VAE, evidence, fit
from pyro_vae.analysis import encode, reconstruct

BASE = np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 2.0, 0.5]
RUN = {"epochs": 3, "batch_size": 50, "validation": None, "progress": False}


def model(**fields):
    return VAE(data_shape=(3,), latent_dim=2, hidden_dims=(6,), **fields)


def shifted(offset, column=1):
    x = BASE.copy()
    x[:, column] += offset
    return x


@pytest.mark.parametrize("offset", [1e5, 1e8, 1.7e9, 2_460_000.5, -1e12])
def test_an_offset_that_float32_does_not_hold_is_refused_with_the_column(offset):
    vae = model()
    before = {key: value.clone() for key, value in vae.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r"^x: column 1 has values around .*float32.* rounds them by up to",
    ) as found:
        fit(vae, shifted(offset), **RUN)
    assert "subtract the column's mean" in str(found.value)
    assert all(
        torch.equal(value, before[key]) for key, value in vae.state_dict().items()
    )


def test_both_remedies_work_and_the_density_knows_no_offset():
    """The right log p(x) at any offset is that without one."""
    rows = []
    for x, vae in (
        (BASE, model()),
        (shifted(1.7e9) - shifted(1.7e9).mean(0), model()),
        (shifted(1.7e9), model().double()),
    ):
        fit(vae, x, **RUN)
        rows.append(evidence(vae, x[:20], num_particles=200).log_marginal.mean())
    assert rows[1] == pytest.approx(rows[0], abs=0.05)
    assert rows[2] == pytest.approx(rows[0], abs=0.05)


def test_a_fitted_model_refuses_far_rows_too_one_by_one():
    vae = model()
    fit(vae, BASE, **RUN)
    for question in (
        encode,
        reconstruct,
        lambda vae, x: evidence(vae, x, num_particles=10),
    ):
        with pytest.raises(ValueError, match="column 1 has values around"):
            question(vae, shifted(1e8)[:1])
    assert encode(vae, BASE[:1]).loc.shape == (1, 2)


def test_the_values_that_are_lost_are_counted():
    """200 Julian dates of ten days, twenty a day, lie within 40 steps of 1/4 day in float32."""
    dates = 2_460_000.5 + np.arange(200) / 20
    x = np.stack([dates, BASE[:, 0], BASE[:, 1]], 1)
    left = len(np.unique(dates.astype(np.float32)))
    assert left < 50
    with pytest.raises(
        ValueError, match=rf"so that {left} of 200 different values are"
    ):
        fit(model(), x, **RUN)


@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_minutes_since_1970_are_refused_as_whole_numbers(dtype):
    x = (BASE * 100).astype(dtype)
    x[:, 2] += 28_400_000 * (60 if dtype == np.int64 else 1)
    with pytest.raises(ValueError, match="column 2 has values around"):
        fit(model(), x, **RUN)


def test_counts_beyond_float32_are_refused_and_only_float64_helps():
    x = 2.0**40 + np.random.default_rng(0).integers(0, 1000, (100, 3))
    with pytest.raises(ValueError, match="take a model in float64") as found:
        fit(model(likelihood="poisson"), x, **RUN)
    assert "subtract" not in str(found.value)
    fit(model(likelihood="poisson").double(), x, **RUN)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: DataLoader(TensorDataset(torch.as_tensor(x)), batch_size=50),
        list,
        lambda x: torch.as_tensor(x),
    ],
    ids=["loader", "list", "tensor"],
)
def test_all_sources_are_looked_at(make):
    with pytest.raises(ValueError, match="column 1 has values around"):
        fit(model(), make(shifted(1e8)), **RUN)
    fit(model(), make(BASE), **RUN)


def test_a_dataset_is_looked_at():
    class Own(torch.utils.data.Dataset):
        def __init__(self, x):
            self.x = x

        def __len__(self):
            return len(self.x)

        def __getitem__(self, index):
            return self.x[index]

    with pytest.raises(ValueError, match="column 1 has values around"):
        fit(model(), Own(shifted(1e8)), **RUN)
    fit(model(), Own(BASE), **RUN)


def test_validation_rows_are_looked_at():
    with pytest.raises(ValueError, match=r"^validation: column 1"):
        fit(model(), BASE, **{**RUN, "validation": shifted(1e8)})


def test_what_float32_holds_well_enough_is_taken():
    constant = BASE.copy()
    constant[:, 0] = 1e9 + 1
    for x in (shifted(1e3), shifted(2024.0), constant, shifted(1e8).astype(np.float32)):
        fit(model(), x, **RUN)
    with pytest.raises(ValueError, match="finite"):
        fit(model(), shifted(1e45), **RUN)
