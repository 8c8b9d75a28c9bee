"""The baseline of independent columns, and the scale that columns and images start with."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from pyro_vae import VAE, Spec, fit, load, save
from pyro_vae.data import statistics
from pyro_vae.likelihoods import LIKELIHOODS, Family, Likelihood
from pyro_vae.likelihoods.continuous_bernoulli import logits_of
from tests.likelihoods.families import CASES, every_case, family, vae

RUN = {"epochs": 2, "batch_size": 20, "validation": None, "progress": False}


def baseline(kind, x, **options):
    """log p of each row with independent columns, after a short fit of the kind in float64."""
    model = VAE(
        data_shape=x.shape[1:],
        latent_dim=2,
        hidden_dims=(4,),
        likelihood={"kind": kind, **options},
    ).double()
    fit(model, x, **RUN)
    return model.likelihood.independent().log_prob(torch.as_tensor(x).double()).numpy()


def table(draw, *arguments, rows=200, columns=3):
    drawn = getattr(np.random.default_rng(0), draw)(*arguments, size=(rows, columns))
    return drawn.astype(float)


def test_normal_columns_are_those_of_scipy():
    x = table("normal") * [1e-3, 1.0, 1e6] + [5.0, 0.0, -3.0]
    np.testing.assert_allclose(
        baseline("normal", x),
        stats.norm.logpdf(x, x.mean(0), x.std(0)).sum(1),
        rtol=1e-9,
    )


@pytest.mark.parametrize(
    "options", [{"scale": 0.1}, {"scale": "learned"}, {"scale": "decoder"}]
)
def test_the_baseline_does_not_depend_on_the_options_of_the_scale(options):
    x = table("normal") * [0.1, 1.0, 10.0]
    np.testing.assert_allclose(
        baseline("normal", x, **options), baseline("normal", x), rtol=1e-12
    )


def test_bits_are_those_of_their_means():
    x = table("integers", 0, 2)
    x[:, 0] = 0
    p = (x.sum(0) + 0.5) / (len(x) + 1)
    np.testing.assert_allclose(
        baseline("bernoulli", x), stats.bernoulli.logpmf(x, p).sum(1), rtol=1e-9
    )


def test_counts_are_those_of_their_moments():
    x = table("poisson", 4.0)
    mean = x.mean(0)
    np.testing.assert_allclose(
        baseline("poisson", x), stats.poisson.logpmf(x, mean).sum(1), rtol=1e-9
    )
    p = (x.sum(0) + 0.5) / (20 * len(x) + 1)
    found = baseline("binomial", x, total_count=20)
    np.testing.assert_allclose(found, stats.binom.logpmf(x, 20, p).sum(1), rtol=1e-9)
    spread = (
        np.random.default_rng(0)
        .binomial(20, np.random.default_rng(1).beta(2.0, 3.0, (200, 3)))
        .astype(float)
    )
    m = (spread.sum(0) + 0.5) / (20 * len(spread) + 1)
    ratio = spread.var(0) / (20 * m * (1 - m))
    c = (20 - ratio) / (ratio - 1)
    expected = stats.betabinom.logpmf(spread, 20, 1e-4 + c * m, 1e-4 + c * (1 - m)).sum(
        1
    )
    np.testing.assert_allclose(
        baseline("beta_binomial", spread, total_count=20), expected, rtol=1e-5
    )
    wild = table("negative_binomial", 2.0, 0.3)
    theta = wild.mean(0) ** 2 / (wild.var(0) - wild.mean(0))
    expected = stats.nbinom.logpmf(wild, theta, theta / (theta + wild.mean(0))).sum(1)
    np.testing.assert_allclose(baseline("negative_binomial", wild), expected, rtol=1e-9)


def test_categories_have_their_shares():
    x = table("integers", 0, 3)
    shares = (np.stack([(x == k).sum(0) for k in range(3)]) + 0.5) / (len(x) + 1.5)
    expected = sum(np.log(shares[x[:, i].astype(int), i]) for i in range(3))
    for kind in ("categorical", "ordinal"):
        np.testing.assert_allclose(
            baseline(kind, x, num_classes=3), expected, rtol=1e-9
        )


def test_positive_numbers_and_proportions_are_those_of_their_moments():
    x = table("gamma", 3.0, 2.0)
    mean = x.mean(0)
    variance = x.var(0)
    gamma = stats.gamma.logpdf(x, mean**2 / variance, scale=variance / mean).sum(1)
    np.testing.assert_allclose(baseline("gamma", x), gamma, rtol=1e-9)
    spread = np.log1p(variance / mean**2)
    log_normal = stats.lognorm.logpdf(
        x, np.sqrt(spread), scale=mean * np.exp(-spread / 2)
    ).sum(1)
    for options in ({}, {"scale": 0.3}, {"scale": "learned"}):
        np.testing.assert_allclose(
            baseline("log_normal", x, **options), log_normal, rtol=1e-9
        )
    u = table("beta", 2.0, 3.0)
    c = u.mean(0) * (1 - u.mean(0)) / u.var(0) - 1
    beta = stats.beta.logpdf(u, 1e-4 + c * u.mean(0), 1e-4 + c * (1 - u.mean(0))).sum(1)
    np.testing.assert_allclose(baseline("beta", u), beta, rtol=1e-9)


@pytest.mark.parametrize("mean", [0.002, 0.1, 0.49999, 0.5, 0.7, 0.998])
def test_grey_values_have_their_mean(mean):
    built = LIKELIHOODS.build(
        Spec(data_shape=(1,), likelihood="continuous_bernoulli").likelihood, (1,)
    ).double()
    built.marginal.copy_(logits_of(torch.tensor([mean])))
    assert float(built.independent().mean) == pytest.approx(mean, rel=1e-6)


def test_columns_of_several_kinds_add_up():
    x = np.concatenate([table("normal"), table("poisson", 3.0)], 1)
    groups = [
        {"columns": "0:3", "kind": "normal"},
        {"columns": "3:6", "kind": "poisson"},
    ]
    expected = baseline("normal", x[:, :3]) + baseline("poisson", x[:, 3:])
    np.testing.assert_allclose(
        baseline("mixed", x, columns=groups), expected, rtol=1e-9
    )


@every_case
def test_every_kind_has_one_that_training_and_saving_do_not_change(name, tmp_path):
    model = vae(name)
    rows = CASES[name].rows
    assert model.likelihood.independent() is None
    model.likelihood.pyro_vae_start(statistics([rows]))
    row = model.likelihood.independent()
    assert (row.batch_shape, row.event_shape) == ((), CASES[name].data_shape)
    before = row.log_prob(rows).detach()
    assert before.isfinite().all()
    for parameter in model.parameters():
        parameter.data += 0.3
    twin = load(save(model, tmp_path / "run"))
    for likelihood in (model.likelihood, twin.likelihood):
        assert torch.equal(likelihood.independent().log_prob(rows), before)
        assert not likelihood.independent().log_prob(rows).requires_grad


GOOD = [
    name
    for name in CASES
    if "decoder" not in name and "fixed" not in name and "learned" not in name
]


@pytest.mark.parametrize("name", GOOD)
def test_it_is_about_what_an_untrained_decoder_says(name):
    """At the start zeros from the decoder give the baseline, if each column has its parameters."""
    built = family(name)
    rows = CASES[name].rows
    start = (
        built(torch.zeros(built.param_shape, dtype=torch.float64))
        .log_prob(rows)
        .mean()
        .detach()
    )
    assert float(built.independent().log_prob(rows).mean()) > float(start) - 0.05


def test_a_family_without_one_has_none():
    class Own(Family):
        def forward(self, raw):
            return torch.distributions.Independent(
                torch.distributions.Normal(raw, 1.0), 1
            )

    likelihood = Likelihood(nn.Linear(2, 3), Own((3,), (3,)))
    likelihood.pyro_vae_start(statistics([torch.randn(10, 3)]))
    assert likelihood.independent() is None


@pytest.mark.parametrize("kind", ["normal", "laplace", "student_t", "log_normal"])
def test_columns_have_a_scale_each_and_images_share_one(kind):
    for shape, expected in (((4,), (4,)), ((2, 2), ())):
        spec = Spec(data_shape=shape, likelihood=kind)
        assert spec.likelihood.scale == "auto"
        assert Spec.model_validate_json(spec.model_dump_json()) == spec
        built = LIKELIHOODS.build(spec.likelihood, shape)
        assert built.scale.raw.shape == expected
        assert ("per_feature" if expected else "learned") in repr(built)


def test_columns_of_different_units_are_not_worse_than_no_model():
    """With one scale for all columns this table was 60 nats a row below independent columns."""
    x = table("normal", rows=300) @ np.diag([1e-2, 1.0, 1e2])
    model = VAE(data_shape=(3,), latent_dim=1, hidden_dims=(8,))
    run = fit(model, x, epochs=30, lr=1e-3, validation=0.2, progress=False)
    independent = stats.norm.logpdf(x, x.mean(0), x.std(0)).sum(1).mean()
    assert run.history[-1]["val_elbo"] > independent - 0.5
