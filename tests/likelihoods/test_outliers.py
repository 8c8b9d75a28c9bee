"""One outlying cell hardly moves heavy-tailed families and the encoder's inputs, and is named."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

from pyro_vae import VAE, fit
from pyro_vae.data import statistics
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.networks import Standardize
from pyro_vae.spec import Spec

CLEAN = np.random.default_rng(0).standard_t(5, size=(900, 3)) * [1.0, 5.0, 0.2] + [
    0.0,
    10.0,
    -1.0,
]
DIRTY = CLEAN.copy()
DIRTY[417, 1] = -9999.0


def started(kind, x, **options):
    built = LIKELIHOODS.build(
        Spec(data_shape=(3,), likelihood={"kind": kind, **options}).likelihood, (3,)
    ).double()
    built.pyro_vae_start(statistics([torch.as_tensor(x)]))
    return built


def test_median_and_robust_std_are_those_of_scipy():
    found = statistics([torch.as_tensor(DIRTY)])
    np.testing.assert_allclose(found.median, np.median(DIRTY, 0), rtol=1e-12)
    np.testing.assert_allclose(
        found.robust_std,
        stats.median_abs_deviation(DIRTY, 0, scale="normal"),
        rtol=1e-4,
    )
    assert found.outlying.tolist() == [False, True, False]


def test_few_rows_and_columns_of_mostly_one_value_keep_mean_and_std():
    few = statistics([torch.tensor([[0.0], [3.0]]), torch.zeros(100, 1)])
    assert torch.equal(few.median, few.mean)
    assert torch.equal(few.robust_std, few.std)
    mostly = statistics(
        [torch.cat([torch.zeros(70, 1), torch.arange(30.0).unsqueeze(1)])]
    )
    assert torch.equal(mostly.robust_std, mostly.std)
    assert not mostly.outlying.any()


@pytest.mark.parametrize("scale", ["auto", "learned", "per_feature"])
@pytest.mark.parametrize("kind", ["laplace", "student_t"])
def test_clean_rows_keep_their_density_at_the_start(kind, scale):
    raw = torch.zeros(3, dtype=torch.float64)
    densities = [
        started(kind, x, scale=scale)(raw)
        .log_prob(torch.as_tensor(CLEAN))
        .mean()
        .detach()
        for x in (CLEAN, DIRTY)
    ]
    assert float(densities[1]) == pytest.approx(float(densities[0]), abs=0.02)


def test_the_encoder_sees_clean_rows_as_before():
    inputs = []
    for x in (CLEAN, DIRTY):
        standardize = Standardize((3,), "feature").double()
        standardize.pyro_vae_start(statistics([torch.as_tensor(x)]))
        inputs.append(standardize(torch.as_tensor(CLEAN)))
    ratio = inputs[1].std(0) / inputs[0].std(0)
    assert ((ratio > 0.7) & (ratio < 1.5)).all()


def test_a_fit_with_one_sentinel_is_as_good_on_clean_rows_and_names_the_cell():
    scores = []
    for x in (CLEAN, DIRTY):
        vae = VAE(
            data_shape=(3,), latent_dim=1, hidden_dims=(8,), likelihood="student_t"
        )
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            fit(
                vae,
                x,
                epochs=15,
                batch_size=100,
                lr=1e-3,
                validation=None,
                progress=False,
            )
        with torch.no_grad():
            rows = torch.as_tensor(CLEAN).float()
            scores.append(
                float(vae.likelihood(vae.posterior(rows).mean).log_prob(rows).mean())
            )
    assert scores[1] == pytest.approx(scores[0], abs=0.3)
    seen = [
        one for one in seen if "independent columns" not in str(one.message)
    ]  # fifteen epochs are few
    message = str(seen[0].message)
    assert "-9999 in row 417, column 1 is" in message
    far = abs(-9999 - np.median(DIRTY[:, 1])) / stats.median_abs_deviation(
        DIRTY[:, 1], scale="normal"
    )
    assert f"{far:.3g} robust standard deviations" in message
    assert len(seen) == 1


def test_ordinary_heavy_tails_and_counts_are_no_warning():
    random = np.random.default_rng(1)
    for x, likelihood in (
        (random.lognormal(0, 1, (300, 2)), "normal"),
        (random.poisson(0.3, (300, 2)), "poisson"),
    ):
        vae = VAE(
            data_shape=(2,), latent_dim=1, hidden_dims=(4,), likelihood=likelihood
        )
        fit(
            vae, x.astype(float), epochs=1, validation=None, progress=False
        )  # warnings are errors here
