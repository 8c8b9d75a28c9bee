"""What the encoder gives, resampled draws and log p(x) of each row, beside the draws for ArviZ."""

import math
from dataclasses import replace
from typing import Any

import arviz as az
import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

import pyro_vae as pv
from pyro_vae.analysis.bridge.netcdf import write_netcdf
from pyro_vae.analysis.bridge.variational import resampled
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2)
ROWS = 6
DRAWS = 4000
WIDEN = 1.3
SIGMAS = 5


@pytest.fixture(scope="module")
def x() -> Tensor:
    return TRUTH.sample(ROWS, seed=1)


@pytest.fixture(scope="module")
def tree(x: Tensor) -> Any:
    vae = TRUTH.vae(widen=WIDEN)
    return pv.to_arviz(vae, x, num_samples=DRAWS, log_likelihood=True)


def test_resampled_draws_are_from_the_exact_posterior(tree: Any, x: Tensor) -> None:
    """Those of the guide are 1.3 times as wide, which the bounds would see."""
    z = tree["resampled"]["z"].values[0]
    exact = TRUTH.posterior(x)
    sd = exact.stddev.numpy()
    effective = tree["resampled"]["ess"].values[:, None]
    assert (tree["resampled"]["pareto_k"].values < 0.5).all()
    error = np.abs(z.mean(0) - exact.mean.numpy())
    assert (error < SIGMAS * sd / np.sqrt(effective)).all()
    assert (np.abs(z.std(0) / sd - 1) < SIGMAS / np.sqrt(2 * effective)).all()
    known = {tuple(draw) for draw in tree["posterior"]["z"].values[0, :, 0]}
    assert {tuple(draw) for draw in z[:, 0]} < known


def test_a_draw_has_as_many_copies_as_its_weight() -> None:
    z = torch.arange(10.0).reshape(10, 1, 1).expand(10, 3, 1)
    weight = torch.ones(10, 3)
    weight[2, 1] = 5.5  # of 14.5, so 3.8 of 10
    log_weight = weight.log()
    log_weight[:, 2] = -torch.inf
    torch.manual_seed(0)
    found = resampled(z, log_weight).squeeze(-1)
    assert found[:, 0].sort().values.tolist() == list(range(10))
    assert found[:, 0].tolist() != list(range(10))  # in no order
    assert (found[:, 1] == 2).sum() in (3, 4)
    assert found[:, 2].isnan().all()


def test_numbers_of_a_row_are_those_of_its_weights(tree: Any, x: Tensor) -> None:
    found = tree["variational"]
    log_weight = tree["sample_stats"]["log_weight"].values[0]
    weights = np.exp(log_weight - log_weight.max(0))
    mean = logsumexp(log_weight, 0) - math.log(DRAWS)
    np.testing.assert_allclose(found["log_marginal"], mean, rtol=1e-12)
    np.testing.assert_allclose(found["elbo"], log_weight.mean(0), rtol=1e-12)
    ess = weights.sum(0) ** 2 / (weights**2).sum(0)
    np.testing.assert_allclose(found["ess"], ess, rtol=1e-9)
    se = weights.std(0, ddof=1) / weights.mean(0) / math.sqrt(DRAWS)
    np.testing.assert_allclose(found["se"], se, rtol=1e-6)
    exact = TRUTH.marginal().log_prob(x).numpy()
    assert (np.abs(found["log_marginal"] - exact) < SIGMAS * se).all()
    _, k_hat = az.psislw(log_weight.T) if hasattr(az, "psislw") else (None, None)
    if k_hat is not None:
        np.testing.assert_allclose(found["pareto_k"], k_hat, atol=0.02)


def test_the_encoder_is_that_of_encode(tree: Any, x: Tensor) -> None:
    vae = TRUTH.vae(widen=WIDEN)
    codes = pv.encode(vae, x)
    found = tree["variational"]
    np.testing.assert_array_equal(found["loc"], codes.loc)
    np.testing.assert_array_equal(found["scale"], codes.scale)
    expected = pv.analysis.rate(vae, x)
    np.testing.assert_allclose(found["rate"], expected, atol=0.2)


GUIDES = {
    "mean_field": False,
    "full_rank": True,
    "flow": False,
    "low_rank": True,
    "semi_amortized": False,
}


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES)
def test_every_guide_has_a_scale_and_some_a_triangle(guide: str) -> None:
    vae = pv.VAE(data_shape=(4,), latent_dim=3, guide=guide, hidden_dims=(8,))
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    found = pv.to_arviz(vae, x, num_samples=50)["variational"]
    assert found["loc"].dims == ("observation", "latent")
    assert ("scale_tril" in found) == GUIDES[guide]
    if "scale_tril" in found:
        assert found["scale_tril"].dims == ("observation", "latent", "latent_other")
        triangle = found["scale_tril"].values
        variance = (triangle**2).sum(-1)
        np.testing.assert_allclose(found["scale"].values ** 2, variance, rtol=1e-4)


def test_evidence_of_the_same_rows_takes_its_place(x: Tensor) -> None:
    vae = TRUTH.vae(widen=WIDEN)
    found = pv.evidence(vae, x, num_particles=50)
    tree = pv.to_arviz(vae, x, num_samples=30, evidence=found)
    for name in ("elbo", "log_marginal", "se", "pareto_k", "ess"):
        np.testing.assert_array_equal(tree["variational"][name], getattr(found, name))
    other = (
        r"evidence: expected numbers of the same 6 rows in the same order, .* 6 rows"
    )
    with pytest.raises(ValueError, match=other):
        pv.to_arviz(vae, x.flip(0), num_samples=30, evidence=found)
    with pytest.raises(ValueError, match="of the same 2 rows in the same order"):
        pv.to_arviz(vae, x[:2], num_samples=30, evidence=found)
    other = replace(found, measure=replace(found.measure, given="column 3"))
    with pytest.raises(ValueError, match="evidence: expected log p of the whole rows"):
        pv.to_arviz(vae, x, num_samples=30, evidence=other)


def test_few_draws_have_no_k_hat(x: Tensor) -> None:
    tree = pv.to_arviz(TRUTH.vae(), x, num_samples=1)
    assert np.isnan(tree["variational"]["pareto_k"]).all()
    assert np.isnan(tree["variational"]["se"]).all()
    np.testing.assert_array_equal(tree["resampled"]["z"], tree["posterior"]["z"])


def test_the_likelihood_is_there_on_request(tree: Any, x: Tensor) -> None:
    z = torch.from_numpy(tree["posterior"]["z"].values[0])
    with torch.no_grad():
        expected = TRUTH.vae().likelihood(z).log_prob(x).numpy()
    np.testing.assert_allclose(tree["log_likelihood"]["x"].values[0], expected)
    without = pv.to_arviz(TRUTH.vae(), x, num_samples=3)
    groups = without.groups() if hasattr(without, "groups") else list(without)
    assert "log_likelihood" not in groups


def test_k_hat_goes_with_the_rows(tree: Any) -> None:
    some = tree["resampled"]["z"].isel(observation=[2, 4])
    by_row = tree["variational"]["pareto_k"].values
    np.testing.assert_array_equal(some["pareto_k"], by_row[[2, 4]])


@pytest.mark.slow
@pytest.mark.parametrize(
    "writer", [write_netcdf, lambda tree, path: tree.to_netcdf(path)]
)
def test_k_hat_is_a_coordinate_of_the_file_too(
    writer: Any, x: Tensor, tmp_path: Any
) -> None:
    """Also of one that the user writes."""
    tree = pv.to_arviz(TRUTH.vae(widen=WIDEN), x, num_samples=30)
    writer(tree, str(tmp_path / "draws.nc"))
    back = az.from_netcdf(str(tmp_path / "draws.nc"))["resampled"]
    assert set(back.data_vars) == {"z"}
    for name in ("z", "pareto_k", "ess"):
        np.testing.assert_array_equal(back[name], tree["resampled"][name].values)
    back.close()


@pytest.mark.parametrize("labels", [[0.0, 1.0, 2.0], [0.0, 1.0, np.nan]])
def test_evidence_of_a_model_with_a_label_is_refused(labels: list[float]) -> None:
    """It is log p(x, y) or log p(x), and the draws here are given y."""
    rows = np.random.default_rng(0).normal(size=(3, 5))
    vae = pv.VAE(data_shape=(5,), latent_dim=1, context={"label": 3}, hidden_dims=(4,))
    c = np.array(labels)
    found = pv.evidence(vae, rows, context=c, num_particles=100)
    how: dict[str, Any] = {"context": c, "num_samples": 2}
    with pytest.raises(ValueError, match=r"model with a label.*leave it out"):
        pv.to_arviz(vae, rows, evidence=found, **how)
    tree = pv.to_arviz(vae, rows, **how)
    assert tree["variational"]["log_marginal"].shape == (3,)


def test_names_of_another_table_are_refused() -> None:
    import pandas as pd

    rows = pd.DataFrame({"age": [1.5, 2.5, 1.5], "size": [0.5, 0.1, 0.9]})
    vae = pv.VAE.from_data(rows, latent_dim=1, hidden_dims=(4,))
    same = pv.to_arviz(vae, rows, num_samples=2, columns=["age", "size"])
    assert same["observed_data"]["x"]["feature"].values.tolist() == ["age", "size"]
    with pytest.raises(
        ValueError,
        match=r"columns: expected those of the model, \['age', 'size'\], got \['size', 'age'\]",
    ):
        pv.to_arviz(vae, rows, num_samples=2, columns=["size", "age"])


def test_evidence_is_an_elpd_with_the_labels_of_its_rows(x: Tensor) -> None:
    import pandas as pd

    labels = ["owl", "tit", "jay", "kea", "emu", "auk"]
    rows = pd.DataFrame(x.numpy(), index=labels, columns=list("abcde"))
    found = pv.evidence(TRUTH.vae(), rows, num_particles=50)
    elpd = found.to_elpd()
    assert elpd.pareto_k["observation"].values.tolist() == labels
    assert elpd["se"] == pytest.approx(np.sqrt(6 * found.log_marginal.var()))
    total = float(found.log_marginal.sum())
    assert elpd["elpd_loo" if hasattr(az, "from_datatree") else "elpd"] == total
