"""Contexts with every prior, likelihood, guide and network; eager steps are the compiled ones."""

from itertools import product

import numpy as np
import pytest
import torch

import pyro_vae as pv
from pyro_vae import VAE
from pyro_vae.objectives import ELBO
from tests.grid.parts import GUIDES, LIKELIHOODS, PRIORS, obstacle

GIVEN = {"dim": 2, "prior": False}
PAIRS = [
    (prior, guide)
    for prior, guide in product(PRIORS, GUIDES)
    if guide != "delta" and obstacle(prior, guide, "elbo") is None
]
CALLS_OTHERS = {
    "vamp": {"prior": PRIORS["vamp"], "context": GIVEN},
    "semi_amortized": {"guide": GUIDES["semi_amortized"]},
}
"""Models whose prior or guide calls other parts, for rows with contexts."""


def contexts(n):
    return np.random.default_rng(5).normal(size=(n, 2)).astype(np.float32)


def answers(vae, x, **options):
    """Training, evidence, codes, reconstructions and samples of rows with contexts."""
    c = contexts(len(x))
    terms = ELBO(kl="auto")(
        vae.model,
        vae.guide,
        torch.cat([torch.as_tensor(x).flatten(1), torch.tensor(c)], 1),
    )
    assert terms.elbo.shape == (len(x),)
    pv.fit(vae, x, context=c, epochs=1, validation=None, progress=False)
    how = {"context": c, "progress": False, "num_particles": 30, **options}
    found = pv.evidence(vae, x, **how)
    assert np.isfinite(found.log_marginal).all()
    assert pv.reconstruct(vae, x, context=c).shape == tuple(x.shape)
    assert pv.sample(vae, 3, context=c[:1]).x.shape == (3, *x.shape[1:])
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("prior", "guide"), PAIRS)
def test_priors_and_guides(prior, guide):
    fields = {"latent_dim": 3, "hidden_dims": (4,), "context": GIVEN}
    vae = VAE(data_shape=(4,), prior=PRIORS[prior], guide=GUIDES[guide], **fields)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    answers(vae, x, proposal="guide")


QUICK = [
    {"context": {"dim": 2, "layers": "all"}, "hidden_dims": (4, 4)},
    {"guide": "full_rank"},
]
OTHERS = [
    {"encoder": "conv", "decoder": "conv", "data_shape": (1, 8, 8)},
    {"encoder": "gated_mlp", "decoder": "gated_mlp"},
    {"encoder": "residual", "hidden_dims": (4, 4)},
    {"context": {"dim": 2, "encoder": False}},
    {"context": {"dim": 2, "decoder": False}},
    {"encoder": torch.nn.Linear(4, 3)},
    {"decoder": torch.nn.Linear(4, 4)},
    {"guide": "low_rank"},
    {"guide": "flow"},
]
SLOW = [pytest.param(fields, marks=pytest.mark.slow) for fields in OTHERS]


@pytest.mark.parametrize("fields", [*QUICK, *SLOW], ids=str)
def test_networks_and_guides_of_the_conditional_prior(fields):
    likelihood = {"kind": "normal", "scale": 1.0}
    whole = {"data_shape": (4,), "latent_dim": 2, "hidden_dims": (4,)}
    whole |= {"context": {"dim": 2}, "likelihood": likelihood}
    vae = VAE(**{**whole, **fields})
    shape = vae.spec.data_shape
    rng = np.random.default_rng(0)
    answers(vae, rng.normal(size=(4, *shape)).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("other", ["", *CALLS_OTHERS])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods(name, other):
    case = LIKELIHOODS[name]
    x = case.rows[:8].float()
    fields = {"latent_dim": 2, "hidden_dims": (4,), "context": {"dim": 2}}
    fields |= CALLS_OTHERS.get(other, {})
    vae = VAE(data_shape=case.data_shape, likelihood=case.options, **fields)
    answers(vae, x.numpy(), **({"proposal": "guide"} if other else {}))


COMPILED = {"layers": {"context": {"dim": 2, "layers": "all"}}, **CALLS_OTHERS}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_run_is_the_eager_one(name):
    fields = {"latent_dim": 2, "hidden_dims": (8, 8), "context": {"dim": 2}}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 4)).astype(np.float32)
    losses = {}
    for compile in ("off", "step"):
        vae = VAE(data_shape=(4,), **{**fields, **COMPILED[name]})
        how = {"epochs": 4, "batch_size": 16, "progress": False, "compile": compile}
        run = pv.fit(vae, x, context=contexts(64), validation=16, **how)
        losses[compile] = [(row["loss"], row["val_loss"]) for row in run.history]
    np.testing.assert_allclose(losses["step"], losses["off"], rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_evidence_is_the_eager_one(name):
    x = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    fields = {"latent_dim": 2, "hidden_dims": (8,), "context": {"dim": 2}}
    vae = VAE(data_shape=(4,), **{**fields, **COMPILED[name]})
    how = {"context": contexts(4), "num_particles": 100, "progress": False}
    eager = pv.evidence(vae, x, compile="off", **how)
    compiled = pv.evidence(vae, x, compile="on", **how)
    np.testing.assert_allclose(compiled.log_marginal, eager.log_marginal, atol=1e-3)


def test_a_run_is_resumed_with_its_contexts_alone(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    c = contexts(20)
    how = {"validation": 4, "schedule": "constant", "progress": False}

    def run(epochs, context, checkpoint):
        vae = VAE(data_shape=(4,), latent_dim=1, hidden_dims=(3,), context={"dim": 2})
        file = None if checkpoint is None else tmp_path / checkpoint
        pv.fit(vae, x, context=context, epochs=epochs, checkpoint=file, **how)
        return torch.cat([one.detach().flatten() for one in vae.parameters()])

    whole = run(4, c, None)
    run(2, c, "state")
    torch.testing.assert_close(run(4, c, "state"), whole, rtol=0, atol=0)
    with pytest.raises(ValueError, match="x"):
        run(6, c + 1, "state")
