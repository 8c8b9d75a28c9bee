"""The compiled step follows the eager one for priors, likelihoods, guides and objectives of every
kind.

A warning that something can't be compiled is an error here.
"""

import pyro
import pytest
import torch

from pyro_vae.data import ArrayRows, Placement
from pyro_vae.experiment.description import Experiment
from pyro_vae.rng import own_seed
from pyro_vae.spec import read
from pyro_vae.training import CompiledStep, State, step
from pyro_vae.training import compiled_graph as module
from pyro_vae.training.options import make_objective
from pyro_vae.training.preparation import check_and_initialise
from pyro_vae.vae import VAE
from tests.grid.parts import GRID, LIKELIHOODS, Combination

STEPS = 50


def trained(combination, dtype, folder, make_step, steps=STEPS):
    """The losses and the parameters of a model after some steps."""
    (folder / "spec.toml").write_text(combination.toml())
    experiment = Experiment.model_validate(read(folder / "spec.toml"))
    vae = VAE.from_spec(experiment.model_fields_of()).to(dtype)
    x = combination.rows().to(dtype)
    optimizer = torch.optim.Adam(vae.parameters(), lr=1e-3, fused=True)
    state = State(vae, make_objective(experiment.fit), optimizer)
    losses = []
    with own_seed(1), pyro.validation_enabled(False):
        rows = ArrayRows(x, Placement(dtype=dtype))
        check_and_initialise(vae, {"x": rows}, rows)
        vae.train()
        for _ in range(steps):
            state, info = make_step(state, x)
            losses.append(float(info.loss))
    return torch.tensor(losses), torch.cat(
        [p.detach().flatten() for p in vae.parameters()]
    )


def agree(combination, dtype, folder, tolerance):
    """The losses agree, and so do all parameters together after the steps."""
    make_step = CompiledStep()
    ours, theirs = (
        trained(combination, dtype, folder, how) for how in (make_step, step)
    )
    assert make_step._one is not None
    torch.testing.assert_close(ours[0], theirs[0], rtol=tolerance, atol=tolerance)
    assert float((ours[1] - theirs[1]).norm()) < tolerance * float(theirs[1].norm())


LIKELY = [
    Combination("standard_normal", name, "mean_field", "elbo") for name in LIKELIHOODS
]
TRIPLES = sorted({(c.prior, c.guide, c.objective) for c in GRID})[::8]
OTHERS = [
    Combination(prior, "normal", guide, objective)
    for prior, guide, objective in TRIPLES
]


@pytest.mark.slow
@pytest.mark.parametrize("combination", LIKELY + OTHERS, ids=str)
def test_the_graph_follows_the_eager_step(combination, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_compile", lambda graph, inputs: graph.module)
    agree(combination, torch.float64, tmp_path, 1e-9)


COMPILED = [
    Combination("mixture", "bernoulli", "mean_field", "elbo"),
    Combination("vamp", "normal", "full_rank", "iwae"),
    Combination("flow", "discretized_logistic, mixture", "flow", "elbo, stl"),
    Combination("hierarchical", "poisson", "hierarchical", "renyi"),
    Combination("standard_normal", "mixed, ordinal", "mean_field", "elbo"),
    Combination(
        "student_t", "zero_inflated_negative_binomial, sized", "semi_amortized", "elbo"
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("combination", COMPILED, ids=str)
def test_the_compiled_step_follows_the_eager_one(combination, tmp_path):
    agree(combination, torch.float32, tmp_path, 1e-4)
