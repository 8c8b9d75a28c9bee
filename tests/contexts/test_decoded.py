"""E[x | z, c] along z in one context, where it is W z + B c + b and z ~ N(M c, diag t²)."""

import numpy as np
import pytest
import torch
from scipy import stats

import pyro_vae as pv
from pyro_vae import VAE
from tests.contexts.linear import B, Linear, W, b
from tests.contexts.test_tables import CONTEXT, frame
from tests.effects import linear as effects
from tests.labels.test_tables import a_table

ENDS = stats.norm.ppf([0.02, 0.98])
DATA, _ = effects.drawn()
AT = np.array([[0.5, -1.0, 2.0]])


@pytest.mark.parametrize("prior", [True, False])
def test_a_dimension_runs_over_its_values_in_the_context(prior):
    truth = Linear(prior)
    x, c = truth.drawn(2000)
    found = pv.traverse(truth.vae(), (x, c), context=AT, dimensions=[1, 0], steps=3)
    usual = (truth.M @ AT[0])[[1, 0], None] + truth.t[[1, 0], None] * ENDS
    np.testing.assert_allclose(found.z[:, [0, -1]], usual, atol=0.25)
    slope = np.diff(found.mean, axis=1) / np.diff(found.z, axis=1)[..., None]
    for line, d in zip(slope, (1, 0), strict=True):
        np.testing.assert_allclose(line, np.tile(W[:, d], (2, 1)))
    z = truth.M @ AT[0]
    np.testing.assert_allclose(found.mean[:, 1], [W @ z + B @ AT[0] + b] * 2, atol=0.2)
    np.testing.assert_allclose(found.scale, x.std(0))
    assert found.reading.endswith("in the context c[0] = 0.5, c[1] = -1, c[2] = 2")


def test_rows_may_end_with_their_contexts():
    truth = Linear()
    x, c = truth.drawn(20)
    how = {"context": AT[0], "steps": 2}
    whole = pv.traverse(truth.vae(), np.hstack([x, c]), **how)
    np.testing.assert_array_equal(
        whole.mean, pv.traverse(truth.vae(), (x, c), **how).mean
    )


@pytest.mark.parametrize("prior", [True, False])
def test_a_manifold_has_the_quantiles_of_the_prior_in_the_context(prior):
    truth = Linear(prior)
    found = pv.manifold(truth.vae(), context=AT, steps=3)
    mean = truth.M @ AT[0]
    for d, values in enumerate((found.first, found.second)):
        expected = mean[d] + truth.t[d] * ENDS
        np.testing.assert_allclose(values[[0, -1]], expected, atol=0.25)
    z = np.array([found.first[2], found.second[0]])
    np.testing.assert_allclose(found.mean[0, 2], W @ z + B @ AT[0] + b)
    assert "E[x | z, c]" in found.reading


@pytest.mark.parametrize(("level", "u"), [("k1", 0.7), ("never seen", 0.0)])
def test_a_level_is_decoded_at_the_mean_of_its_effect(level, u):
    vae, data = effects.exact_vae(DATA), DATA
    with torch.no_grad():
        vae.guide.effects.locs[0][1] = 0.7
    context = {"batch": level, "age": 0.5}
    found = pv.traverse(vae, data, context=context, steps=2)
    mean = found.z[0][:, None] * effects.W + u * effects.V + 0.5 * effects.B + effects.b
    np.testing.assert_allclose(found.mean[0], mean, atol=1e-5)
    shown = "a new level" if level == "never seen" else level
    assert f"in the context batch = {shown}, age = 0.5" in found.reading


def test_a_label_has_to_be_known():
    table = a_table()
    vae = VAE.from_data(
        table,
        latent_dim=2,
        hidden_dims=(2,),
        context={"columns": ["site"], "label": "species"},
    )
    at = {"site": "north", "species": "owl"}
    assert pv.traverse(vae, table, context=at, steps=2).names == ("wing", "tail")
    for one in (at | {"species": None}, {"site": "north"}):
        with pytest.raises(ValueError, match=r"^context: .* 'species' .*, got none"):
            pv.manifold(vae, context=one)


def test_rows_may_be_without_a_label_that_is_all_of_the_context():
    vae = VAE(data_shape=(4,), latent_dim=2, hidden_dims=(), context={"label": 3})
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    found = pv.traverse(vae, x, context=[1.0], steps=2)
    likely = pv.classify(vae, x).label[:, None].astype(float)
    expected = pv.traverse(vae, (x, likely), context=[1.0], steps=2)
    np.testing.assert_array_equal(found.mean, expected.mean)


def test_what_is_no_single_context_is_refused():
    truth = Linear()
    x, c = truth.drawn(3)
    vae = truth.vae()
    with pytest.raises(ValueError, match=r"^context: expected one context, .* got 3"):
        pv.traverse(vae, (x, c), context=c)
    with pytest.raises(ValueError, match=r"^x: .* pass a pair, x=\(rows, contexts\)"):
        pv.traverse(vae, x, context=AT)
    with pytest.raises(ValueError, match=r"^x: expected rows and their contexts"):
        pv.traverse(vae, (x, c, c), context=AT)
    plain = VAE(data_shape=(4,), latent_dim=2, hidden_dims=())
    with pytest.raises(ValueError, match=r"^context: expected no context, since"):
        pv.manifold(plain, context=AT)
    named = VAE.from_data(frame(), latent_dim=2, context=CONTEXT, hidden_dims=())
    remedy = r"context=\{'batch': \.\.\., 'age': \.\.\.\}$"
    with pytest.raises(ValueError, match=rf"^context: .* got none; .* {remedy}"):
        pv.manifold(named)
