"""Several models with contexts together: predictions of columns against what is exact."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

import pyro_vae as pv
from pyro_vae import VAE
from tests.contexts.linear import Linear

HOW = {"num_particles": 400, "progress": False}


@pytest.fixture(scope="module")
def vae():
    return Linear().vae(missing="at_random")


def test_a_column_given_the_others_and_the_context(vae):
    """Of a normal x | c the conditional of one column given the others is known."""
    truth = Linear()
    x, c = truth.drawn(4)
    found = pv.predict(vae, x, columns=[1], context=c, **HOW)
    others = [0, 2, 3]
    covariance = truth.covariance
    slope = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, 1])
    mean = truth.mean(c)
    exact = mean[:, 1] + (x - mean)[:, others] @ slope
    sd = np.sqrt(covariance[1, 1] - covariance[1, others] @ slope)
    error = sd / np.sqrt(HOW["num_particles"] / 2)  # about half of them are effective
    np.testing.assert_allclose(found["1"], exact, atol=3 * error)
    np.testing.assert_allclose(found["1[sd]"], sd, atol=3 * error / np.sqrt(2))
    upper = norm.ppf(0.95, exact, sd)
    np.testing.assert_allclose(found["1[95%]"], upper, atol=3 * 2.1 * error)


def frame():
    rng = np.random.default_rng(0)
    kind = rng.choice(["p", "q"], 20)
    x = rng.normal(size=20) + 9.0 * (kind == "q")
    named = {"batch": rng.choice(["a", "b"], 20), "x": x, "y": rng.normal(size=20)}
    return pd.DataFrame({**named, "kind": kind})


def member(seed=0, **changed):
    context = {"columns": ["batch"], "label": "kind"}
    fields = {"latent_dim": 1, "hidden_dims": (3,), "missing": "at_random"}
    return VAE.from_data(
        frame().assign(**changed), context=context, seed=seed, **fields
    )


@pytest.mark.slow
def test_each_model_takes_the_label_that_it_finds_most_probable():
    """The mixture is that of the answers of single models, whose labels differ."""
    members = [member(), member(seed=1)]
    rows = frame().drop(columns="kind")[:4]
    for number, vae in enumerate(members):
        with torch.no_grad():
            vae.guide.classifier.head.weight.zero_()
            vae.guide.classifier.head.bias.copy_(torch.eye(2)[number])
            decoder = vae.likelihood.decoder[1]
            decoder.weight[:, -2:] *= 20.0
    each = [pv.predict(vae, rows, columns=["x"], **HOW)["x"] for vae in members]
    together = pv.predict(members, rows, columns=["x"], **HOW)["x"]
    kinds = [
        pv.predict(vae, rows.assign(kind=kind), columns=["x"], **HOW)["x"]
        for vae, kind in zip(members, "pq", strict=True)
    ]
    for found, expected in zip(each, kinds, strict=True):
        np.testing.assert_allclose(found, expected)
    assert np.abs(each[0] - each[1]).max() > 1.0
    np.testing.assert_allclose(together, np.mean(each, 0), atol=0.02)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"batch": ["b", "c"] * 10}, "levels of the context"),
        ({"kind": ["q", "r"] * 10}, "levels of the context"),
    ],
)
def test_models_of_other_contexts_are_no_ensemble(other, what):
    with pytest.raises(ValueError, match=f"^impute: expected models .* got {what}"):
        pv.impute([member(), member(**other)], frame(), **HOW)


def test_a_model_without_a_context_is_no_member():
    plain = VAE(data_shape=(4,), latent_dim=2, missing="at_random")
    given = VAE(data_shape=(4,), latent_dim=2, missing="at_random", context={"dim": 3})
    for members in ([plain, given], [given, plain]):
        with pytest.raises(ValueError, match="got context"):
            pv.impute(members, np.zeros((2, 4)), **HOW)


def test_what_is_given_is_not_predicted():
    with pytest.raises(ValueError, match="columns"):
        pv.predict(member(), frame(), columns=["batch"], **HOW)
