"""Each row has what its likelihood conditions on, and a category is shown as a category."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from pyro_vae import VAE, class_probabilities, fit, reconstruct, to_arviz
from pyro_vae.hooks import ConditionsOnData
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.likelihoods.base import given, representative
from pyro_vae.spec import Spec
from tests.likelihoods.families import (
    CASES,
    SIZED,
    TABLE,
    WORDS,
    every_case,
    family,
    vae,
)

SIZED_KINDS = [
    "poisson",
    "negative_binomial",
    "zero_inflated_poisson",
    "zero_inflated_negative_binomial",
]


@pytest.mark.parametrize("kind", SIZED_KINDS)
def test_reconstructions_scale_with_the_size_of_the_row(kind):
    model = VAE(
        data_shape=(4,),
        latent_dim=2,
        hidden_dims=(4,),
        likelihood={"kind": kind, "size_factor": "column"},
    )
    fit(model, SIZED, epochs=1, validation=None, progress=False)
    found = reconstruct(model, SIZED)
    np.testing.assert_allclose(found[:, 3], SIZED[:, 3], rtol=1e-6)
    with torch.no_grad():
        rows = SIZED.float()
        z = model.posterior(rows).mean
        for i in (0, 7):
            expected = model.likelihood(z[i : i + 1]).counts(rows[i : i + 1, 3:]).mean
            np.testing.assert_allclose(found[i, :3], expected[0], rtol=1e-5)
    assert np.ptp(found[:, 0] / found[:, 3]) < np.ptp(found[:, 0])


def test_predictive_draws_have_the_size_of_their_row():
    model = VAE(
        data_shape=(4,),
        latent_dim=2,
        likelihood={"kind": "poisson", "size_factor": "column"},
    )
    rows = SIZED[:1].repeat(2, 1)
    rows[1, 3] = 1000 * rows[0, 3]  # the same counts, so nearly the same code
    tree = to_arviz(model, rows, num_samples=200)
    np.testing.assert_allclose(tree["constant_data"]["x[3]"].values, rows[:, 3])
    mean = tree["posterior_predictive"]["x"].values.mean((0, 1, 3))
    assert mean[1] > 100 * mean[0]


def test_words_keep_the_total_of_their_row():
    model = VAE(data_shape=(3,), latent_dim=2, likelihood="multinomial")
    np.testing.assert_allclose(
        reconstruct(model, WORDS).sum(1), WORDS.sum(1), rtol=1e-5
    )
    drawn = to_arviz(model, WORDS[:5], num_samples=20)["posterior_predictive"][
        "x"
    ].values
    np.testing.assert_array_equal(
        drawn[0].sum(-1), np.broadcast_to(WORDS[:5].sum(1), (20, 5))
    )


@every_case
def test_the_density_is_the_same_and_others_are_as_they_were(name):
    built = family(name)
    rows = CASES[name].rows[:6]
    p = built(torch.zeros(6, *built.param_shape, dtype=torch.float64))
    q = given(p, rows)
    torch.testing.assert_close(q.log_prob(rows), p.log_prob(rows))
    assert q.mean.shape == q.sample().shape == rows.shape
    if not isinstance(p, ConditionsOnData):
        assert q is p


def test_mixed_columns_are_given_what_is_theirs():
    model = vae("mixed")
    rows = TABLE[:6]
    p = model.likelihood(torch.zeros(6, 2, dtype=torch.float64))
    assert torch.equal(given(p, rows).sample()[:, 6], rows[:, 6])
    assert not torch.equal(p.sample()[:, 6], rows[:, 6])


def test_a_category_is_reconstructed_as_a_category():
    """Categories 0 and 3 at equal shares have the mean 1.5, which is none of them."""
    built = LIKELIHOODS.build(
        Spec(data_shape=(2,), likelihood=CATEGORIES).likelihood, (2,)
    )
    raw = torch.tensor([[[2.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.9, 1.0]]])
    assert representative(built(raw)).tolist() == [[0.0, 3.0]]
    p = special.softmax(raw.numpy(), 1)
    for column, found in built(raw).pyro_vae_probabilities().items():
        np.testing.assert_allclose(found, p[..., column], rtol=1e-6)


CATEGORIES = {"kind": "categorical", "num_classes": 4}


def test_probabilities_of_each_categorical_column():
    found = class_probabilities(vae("mixed"), TABLE)
    assert list(found) == [2]
    np.testing.assert_allclose(found[2].sum(1), 1)
    assert (reconstruct(vae("mixed"), TABLE)[:, 2] == found[2].argmax(1)).all()
    image = class_probabilities(
        vae("categorical, image"), CASES["categorical, image"].rows
    )
    assert {column: each.shape[1] for column, each in image.items()} == {
        0: 5,
        1: 5,
        2: 5,
        3: 5,
    }
    assert class_probabilities(vae("normal"), CASES["normal"].rows) == {}


@every_case
def test_the_modelled_numbers_are_those_with_a_density(name):
    conditioned = ("sized" in name) + (name == "mixed")
    built = family(name)
    assert built.modelled_size == math.prod(built.data_shape) - conditioned
    assert vae(name).likelihood.modelled_size == built.modelled_size


def test_one_total_for_each_column():
    x = np.stack(
        [np.random.default_rng(0).binomial(n, 0.3, 50) for n in (1, 7, 300)], 1
    )
    likelihood = {"kind": "binomial", "total_count": [1, 7, 300]}
    model = VAE(data_shape=(3,), latent_dim=1, hidden_dims=(4,), likelihood=likelihood)
    assert VAE.from_spec(model.spec.model_dump()).spec == model.spec
    fit(model, x, epochs=2, validation=None, progress=False)
    with torch.no_grad():
        p = model.likelihood(torch.zeros(50, 1))
        found = p.log_prob(torch.as_tensor(x).float()).numpy()
        logits = p.base_dist.logits.double().numpy()
        assert (p.sample().numpy() <= [1, 7, 300]).all()
    np.testing.assert_allclose(
        found,
        stats.binom.logpmf(x, [1, 7, 300], special.expit(logits)).sum(1),
        atol=1e-5,
    )
    x[4, 1] = 8
    with pytest.raises(
        ValueError,
        match=r"n = 1, 7, 300 by column, got 8 in row 4, column 1; raise total_count",
    ):
        fit(model, x, epochs=1, validation=None)


def test_totals_that_do_not_fit_the_columns_are_refused():
    for shape in ((2,), (2, 2)):
        with pytest.raises(ValueError, match="one for each column of rows"):
            VAE(
                data_shape=shape,
                likelihood={"kind": "binomial", "total_count": [1, 7, 300]},
            )


def test_a_group_of_columns_has_its_own_totals():
    groups = [
        {"columns": [0, 2], "kind": "binomial", "total_count": [1, 9]},
        {"columns": 1, "kind": "normal"},
    ]
    model = VAE(
        data_shape=(3,), latent_dim=1, likelihood={"kind": "mixed", "columns": groups}
    )
    row = model.likelihood(torch.zeros(1, 1))
    assert row.log_prob(torch.tensor([[1.0, 0.5, 9.0]])).isfinite().all()
    assert not model.likelihood.family.support.check(
        torch.tensor([[2.0, 0.5, 9.0]])
    ).all()
