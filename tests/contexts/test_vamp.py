"""The prior "vamp" of rows with contexts: q(z | u, c) mixed over rows that it keeps."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.networks.positive_numbers import raw_of
from tests.contexts.linear import B, Linear, W, b, s

K = 5
VAMP = {"kind": "vamp", "pseudo_inputs": K}
SPREAD = 0.8
FROZEN = {"epochs": 1, "lr": 1e-12, "validation": None, "progress": False}
"""Training that starts the pseudo-inputs, and leaves them there."""


def mixture(vae, z):
    """log 1/K Σₖ q(z | uₖ, cₖ), each from the guide of the model."""
    each = []
    for u, c in zip(vae.prior.pseudo_inputs, vae.prior.contexts, strict=True):
        each.append(vae.given(c[None]).posterior(u[None]).log_prob(z))
    return torch.stack(each).logsumexp(0) - np.log(len(each))


@pytest.fixture(scope="module")
def rows():
    return Linear(prior=False).drawn(20)


@pytest.fixture(scope="module")
def started(rows):
    """The linear model, whose prior mixes wide normals at the codes of five of its rows."""
    x, c = rows
    trained = Linear(prior=False).vae(prior=VAMP)
    pv.fit(trained, x, context=c, **FROZEN)
    vae = Linear(prior=False).vae(
        prior=VAMP
    )  # the units of decoders start from rows too
    vae.prior.load_state_dict(trained.prior.state_dict())
    with torch.no_grad():
        vae.posterior.family.head.bias[2:] = raw_of(SPREAD)
    return vae


def test_the_density_is_the_sum_written_out(started):
    z = torch.randn(6, 2, dtype=torch.float64)
    found = started.prior().log_prob(z)
    torch.testing.assert_close(found, mixture(started, z), rtol=1e-10, atol=0)


def test_pseudo_inputs_start_from_rows_with_their_contexts(started, rows):
    x, c = rows
    u, kept = started.prior.pseudo_inputs.detach().numpy(), started.prior.contexts
    nearest = np.abs(u[:, None] - x).sum(-1).argmin(1)
    assert len(set(nearest)) == K
    np.testing.assert_allclose(u, x[nearest], atol=1e-8)
    np.testing.assert_allclose(kept, c[nearest], rtol=0, atol=0)
    assert "prior.contexts" not in dict(started.model.named_parameters())


def test_evidence_is_that_of_a_mixture_of_normals(started, rows):
    """With p(x | z, c) linear and p(z) a mixture of normals, log p(x | c) is known."""
    x, c = rows
    truth = Linear(prior=False)
    u, kept = started.prior.pseudo_inputs.detach().numpy(), started.prior.contexts
    means = truth.posterior_mean(u, kept.numpy())
    covariance = SPREAD**2 * W @ W.T + s**2 * np.eye(4)
    each = [
        multivariate_normal(np.zeros(4), covariance).logpdf(x - c @ B.T - b - W @ mean)
        for mean in means
    ]
    exact = logsumexp(each, axis=0) - np.log(K)
    how = {"context": c, "num_particles": 1000, "proposal": "guide", "progress": False}
    found = pv.evidence(started, x, **how)
    error = np.sqrt((found.se**2).sum()) / len(x)
    assert abs((found.log_marginal - exact).mean()) < 3 * error < 0.03


def test_a_saved_model_and_a_copy_have_the_same_prior(started, tmp_path):
    z = torch.randn(6, 2, dtype=torch.float64)
    expected = started.prior().log_prob(z)
    loaded = pv.load(pv.save(started, tmp_path / "run"))
    twin = copy.deepcopy(started)
    for vae in (loaded, twin):
        assert torch.equal(vae.prior.contexts, started.prior.contexts)
        assert torch.equal(vae.prior().log_prob(z), expected)
    with torch.no_grad():
        twin.posterior.family.head.bias.add_(1.0)
    assert not torch.equal(twin.prior().log_prob(z), expected)
    assert torch.equal(started.prior().log_prob(z), expected)


def table(n=40):
    rng = np.random.default_rng(0)
    kind = rng.choice(["p", "q", "r"], n)
    named = {"batch": rng.choice(["a", "b", "c"], n), "age": rng.normal(size=n)}
    named |= {"x": rng.normal(size=n), "y": rng.normal(size=n)}
    return pd.DataFrame({**named, "kind": np.where(np.arange(n) < 12, kind, None)})


@pytest.fixture(scope="module")
def of_table():
    """A model with a random effect and a label, which few rows have."""
    effect = {"kind": "random_effect", "dim": 2}
    context = {"columns": {"batch": effect, "age": "normal"}, "label": "kind"}
    vae = VAE.from_data(
        table(),
        latent_dim=2,
        hidden_dims=(3,),
        prior={"kind": "vamp", "pseudo_inputs": 30},
        context={**context, "prior": False},
    )
    pv.fit(vae, table(), **FROZEN)
    with torch.no_grad():
        vae.guide.effects.locs[0].copy_(torch.randn(3, 2))
    return vae


def test_effects_are_at_their_means_and_labels_are_known(of_table):
    z = torch.randn(6, 2)
    found = of_table.prior().log_prob(z)
    torch.testing.assert_close(found, mixture(of_table, z), rtol=1e-5, atol=1e-5)
    before = found.clone()
    with torch.no_grad():
        of_table.guide.effects.locs[0].add_(1.0)
    assert not torch.equal(of_table.prior().log_prob(z), before)


def test_unknown_labels_are_each_class_as_often(of_table):
    """Of 40 rows 12 have a label, so that of 30 some have none."""
    frame, kept = table(), of_table.prior.contexts.numpy()
    ages = frame["age"].to_numpy(np.float32)
    row = np.abs(kept[:, 1][:, None] - ages).argmin(1)
    known = frame["kind"].notna().to_numpy()[row]
    names = np.array(["p", "q", "r"])[kept[:, -1].astype(int)]
    assert (names[known] == frame["kind"].to_numpy()[row][known]).all()
    counts = np.unique(names[~known], return_counts=True)[1]
    assert counts.sum() > 15
    assert np.ptp(counts) <= 1


def test_new_levels_and_unknown_labels_have_answers(of_table):
    frame = table(4).assign(batch="never seen")
    found = pv.evidence(of_table, frame, num_particles=30, proposal="guide")
    assert np.isfinite(found.log_marginal).all()
    drawn = pv.sample(of_table, 3, context={"batch": "never seen", "age": 0.5})
    assert np.isfinite(drawn[["x", "y"]]).all(axis=None)


def test_a_guide_without_the_context_is_mixed_without_it():
    context = {"dim": 2, "prior": False, "encoder": False}
    vae = VAE(data_shape=(4,), latent_dim=2, prior=VAMP, context=context)
    z = torch.randn(3, 2)
    each = [vae.posterior(u[None]).log_prob(z) for u in vae.prior.pseudo_inputs]
    expected = torch.stack(each).logsumexp(0) - np.log(K)
    torch.testing.assert_close(vae.prior().log_prob(z), expected)


def test_refining_needs_rows_and_pseudo_inputs_are_none():
    context = {"dim": 2, "prior": False}
    fields = {"data_shape": (4,), "latent_dim": 2, "context": context}
    with pytest.raises(ValueError, match=r"^vamp: pseudo-inputs are no rows"):
        VAE(**fields, prior="vamp", guide="semi_amortized")
