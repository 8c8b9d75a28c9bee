"""E[x | z] along z against the linear-Gaussian model, where it is W z + b."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import pyro_vae as pv
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=3)
WEIGHT = TRUTH.weight.numpy()
BIAS = TRUTH.bias.numpy()


def test_a_step_along_a_dimension_is_its_column_of_the_decoder() -> None:
    found = pv.traverse(TRUTH.vae(), TRUTH.sample(50), dimensions=[2, 0], steps=4)
    assert found.dimensions.tolist() == [2, 0]
    slope = np.diff(found.mean, axis=1) / np.diff(found.z, axis=1)[..., None]
    for line, d in zip(slope, (2, 0), strict=True):
        np.testing.assert_allclose(line, np.tile(WEIGHT[:, d], (3, 1)))


@pytest.mark.parametrize("one", [1, np.int64(1), torch.tensor(1), np.array([1])])
def test_a_single_dimension_is_an_integer_of_any_library(one: Any) -> None:
    found = pv.traverse(TRUTH.vae(), TRUTH.sample(5), dimensions=one, steps=2)
    assert found.dimensions.tolist() == [1]


def test_dimensions_run_over_the_aggregate_posterior() -> None:
    """Over rows of the model it is the prior, a standard normal, and its mean is 0."""
    x = TRUTH.sample(2000)
    found = pv.traverse(TRUTH.vae(), x)
    ends = stats.norm.ppf([0.02, 0.98])
    np.testing.assert_allclose(found.z[:, [0, -1]], np.tile(ends, (3, 1)), atol=0.15)
    middle = found.mean[:, 4]  # the middle of nine steps
    np.testing.assert_allclose(middle, np.tile(BIAS, (3, 1)), atol=0.3)
    np.testing.assert_allclose(found.scale, x.numpy().std(0))


def test_the_dimensions_that_vary_most_come_first() -> None:
    weight = TRUTH.weight * torch.tensor([0.1, 1.0, 0.01], dtype=torch.float64)
    linear = LinearGaussian(weight, TRUTH.bias, TRUTH.sigma)
    found = pv.traverse(linear.vae(), linear.sample(200))
    assert found.dimensions.tolist() == [1, 0, 2]


def test_a_manifold_is_linear() -> None:
    found = pv.manifold(TRUTH.vae(), dimensions=(2, 1), steps=3, seed=1)
    for i, second in enumerate(found.second):
        for j, first in enumerate(found.first):
            change = found.mean[i, j] - found.mean[0, 0]
            expected = WEIGHT[:, 2] * (first - found.first[0])
            expected = expected + WEIGHT[:, 1] * (second - found.second[0])
            np.testing.assert_allclose(change, expected, atol=1e-12)
    ends = stats.norm.ppf([0.02, 0.98])
    np.testing.assert_allclose(found.first[[0, -1]], ends, atol=0.3)
    assert found.dimensions == (2, 1)
    table = found.to_dataframe()
    assert table["first"].tolist() == [*found.first] * 3
    np.testing.assert_array_equal(table["mean[4]"], found.mean[..., 4].ravel())


def test_a_seed_gives_the_same_draws_and_leaves_the_generator_alone() -> None:
    vae, x = TRUTH.vae(), TRUTH.sample(5)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    once = pv.traverse(vae, x)
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(pv.traverse(vae, x).mean, once.mean)
    assert (pv.traverse(vae, x, seed=1).z != once.z).all()


def test_a_table_has_its_units_and_its_categories_no_mean() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"day": 2459000.5 + random.normal(size=40), "kind": ["a", "b", "c", "a"] * 10}
    )
    vae = pv.VAE.from_data(frame, latent_dim=2, hidden_dims=(4,))
    pv.fit(vae, frame, epochs=1, progress=False)
    found = pv.traverse(vae, frame)
    assert found.names == pv.manifold(vae, steps=2).names == ("day", "kind")
    assert np.isnan(found.mean[..., 1]).all()
    assert (np.abs(found.mean[..., 0] - 2459000.5) < 9).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda vae, x: pv.traverse(vae, x, dimensions=[3]),
            r"^dimensions: expected some from 0 to 2, got \[3\]; the latent_dim of the model is 3$",
        ),
        (lambda vae, x: pv.traverse(vae, x, dimensions=[]), "from 0 to 2, got"),
        (lambda vae, x: pv.traverse(vae, x, steps=1), "integer of at least 2, got 1"),
        (
            lambda vae, x: pv.manifold(vae, dimensions=(1, 1)),
            r"^dimensions: expected two of the 3 of z, got \(1, 1\)",
        ),
        (lambda vae, x: pv.traverse(vae, x[:, :2]), "x: "),
    ],
)
def test_wrong_arguments(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong(TRUTH.vae(), TRUTH.sample(3))  # type: ignore[operator]


def test_one_dimension_has_no_grid() -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=1, hidden_dims=())
    with pytest.raises(ValueError, match=r"^manifold: .* got 1; take traverse\(vae, x"):
        pv.manifold(vae)
    assert pv.traverse(vae, torch.zeros(3, 4)).mean.shape == (1, 9, 4)


def test_a_flat_prior_has_no_grid() -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=2, prior="flat", guide="delta")
    with pytest.raises(ValueError, match=r"got 'flat'; use traverse\(vae, x\)"):
        pv.manifold(vae)
    assert pv.traverse(vae, torch.zeros(3, 4)).mean.shape == (2, 9, 4)
