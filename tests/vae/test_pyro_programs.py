"""`vae.model` and `vae.guide` with Pyro's tools, which take the two programs as they are."""

import copy
from collections.abc import Callable

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.inspect import get_model_relations
from pyro.ops.stats import effective_sample_size
from pyro.optim import Adam
from torch import Tensor

from pyro_vae import VAE
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors
STEPS = 60
LIKELIHOODS = {
    "normal": {"kind": "normal"},
    "bernoulli": {"kind": "bernoulli"},
    "binomial": {"kind": "binomial", "total_count": 4},
}
LOSSES = {"trace": Trace_ELBO, "mean_field": TraceMeanField_ELBO}

every_likelihood = pytest.mark.parametrize("kind", LIKELIHOODS)
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def small_vae(kind: str = "normal", seed: int = 0) -> VAE:
    return VAE(
        data_shape=(6,),
        latent_dim=2,
        likelihood=LIKELIHOODS[kind],
        hidden_dims=(16,),
        seed=seed,
    )


def rows(kind: str = "normal", n: int = 64) -> Tensor:
    """Rows with one strong common factor, in the support of the likelihood."""
    generator = torch.Generator().manual_seed(1)
    factor = (
        3
        * torch.randn(n, 1, generator=generator)
        * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    )
    if kind == "normal":
        return factor + 0.5 * torch.randn(n, 6, generator=generator)
    count = LIKELIHOODS[kind].get("total_count", 1)
    return (
        (torch.rand(count, n, 6, generator=generator) < factor.sigmoid()).float().sum(0)
    )


def parameters(vae: VAE) -> dict[str, Tensor]:
    """A copy of the parameters as they are now."""
    return {name: p.detach().clone() for name, p in vae.named_parameters()}


def unchanged(vae: VAE, before: dict[str, Tensor]) -> list[str]:
    return [name for name, p in vae.named_parameters() if torch.equal(p, before[name])]


def svi(vae: VAE, loss: type = Trace_ELBO) -> SVI:
    return SVI(vae.model, vae.guide, Adam({"lr": 0.02}), loss())


def fall(step: Callable[[Tensor], float], x: Tensor) -> float:
    """By how many nats a row the loss falls, from the first steps to the last ones."""
    losses = torch.tensor([float(step(x)) for _ in range(STEPS)]) / len(x)
    return float(losses[:10].mean() - losses[-10:].mean())


def assert_exact_on_average(draws: Tensor, exact: Tensor) -> None:
    """The mean of independent draws (first dimension) is exact within its standard error."""
    error = (draws.mean(0) - exact).abs() / (draws.std(0) / len(draws) ** 0.5)
    assert error.max() < SIGMAS, f"{error.max():.1f} standard errors off"


def assert_moments(draws: Tensor, loc: Tensor, covariance: Tensor) -> None:
    """Mean and covariance of independent vectors, shaped (draws, ..., dim)."""
    assert_exact_on_average(draws, loc)
    centred = draws - loc
    assert_exact_on_average(centred.unsqueeze(-1) * centred.unsqueeze(-2), covariance)


# Training


@pytest.mark.slow
@pytest.mark.param_store
@every_likelihood
@every_loss
def test_svi_trains_every_parameter(kind: str, loss: type) -> None:
    vae = small_vae(kind)
    x = rows(kind)
    before = parameters(vae)
    torch.manual_seed(0)
    assert fall(svi(vae, loss).step, x) > 0.5
    assert unchanged(vae, before) == []


@pytest.mark.param_store
def test_svi_keeps_all_parameters_in_the_store() -> None:
    vae = small_vae()
    svi(vae).step(rows())
    stored = {id(p) for p in dict(pyro.get_param_store().named_parameters()).values()}
    assert stored == {id(p) for p in vae.parameters()}


@pytest.mark.param_store
@every_loss
def test_two_models_trained_in_turn_by_svi_both_train(loss: type) -> None:
    x = rows()
    first = small_vae(seed=0)
    second = small_vae(seed=1)
    before = parameters(second)
    torch.manual_seed(0)
    assert fall(svi(first, loss).step, x) > 0.5
    names_of_first = set(pyro.get_param_store().keys())
    assert unchanged(second, before) == list(before)
    trained = parameters(first)
    assert fall(svi(second, loss).step, x) > 0.5
    assert unchanged(second, before) == []
    assert unchanged(first, trained) == list(trained)
    names_of_second = set(pyro.get_param_store().keys()) - names_of_first
    assert len(names_of_second) == len(names_of_first) == len(before)


@pytest.mark.param_store
def test_two_models_trained_step_by_step_by_svi_both_train() -> None:
    x = rows()
    pair = small_vae(seed=0), small_vae(seed=1)
    torch.manual_seed(0)
    first, second = (svi(vae) for vae in pair)
    losses = torch.tensor(
        [[first.step(x), second.step(x)] for _ in range(STEPS)]
    ) / len(x)
    assert (losses[:10].mean(0) - losses[-10:].mean(0)).min() > 0.5


@pytest.mark.param_store
def test_a_copy_trains_beside_its_original() -> None:
    x = rows()
    first = small_vae()
    twin = copy.deepcopy(first)
    before = parameters(twin)
    torch.manual_seed(0)
    assert fall(svi(first).step, x) > 0.5
    trained = parameters(first)
    assert fall(svi(twin).step, x) > 0.5
    assert unchanged(twin, before) == []
    assert unchanged(first, trained) == list(trained)


@pytest.mark.param_store
@pytest.mark.parametrize("local", [False, True])
@every_loss
def test_elbo_module_trains_with_a_torch_optimizer(loss: type, local: bool) -> None:
    vae = small_vae()
    x = rows()
    before = parameters(vae)
    with pyro.settings.context(module_local_params=local):
        elbo = loss()(vae.model, vae.guide)
        assert {id(p) for p in elbo.parameters()} == {id(p) for p in vae.parameters()}
        optimizer = torch.optim.Adam(elbo.parameters(), lr=0.02)

        def step(x: Tensor) -> float:
            optimizer.zero_grad()
            value = elbo(x)
            value.backward()
            optimizer.step()
            return value.item()

        torch.manual_seed(0)
        assert fall(step, x) > 0.5
    assert unchanged(vae, before) == []
    assert (len(pyro.get_param_store()) == 0) == local


# Prediction

truth = LinearGaussian.random(data_dim=4, latent_dim=2, sigma=0.5, seed=3)
DRAWS = 4000


@pytest.mark.param_store
@every_likelihood
def test_prior_predictive_shapes(kind: str) -> None:
    found = Predictive(small_vae(kind).model, num_samples=7)(n=5)
    assert {name: tuple(draws.shape) for name, draws in found.items()} == {
        "z": (7, 5, 2),
        "x": (7, 5, 6),
    }


@pytest.mark.param_store
@every_likelihood
@pytest.mark.parametrize("parallel", [False, True])
def test_posterior_predictive_shapes(kind: str, parallel: bool) -> None:
    vae = small_vae(kind)
    x = rows(kind, 3)
    predictive = Predictive(
        poutine.uncondition(vae.model),
        guide=vae.guide,
        num_samples=7,
        parallel=parallel,
    )
    found = predictive(x)
    assert {name: tuple(draws.shape) for name, draws in found.items()} == {
        "z": (7, 3, 2),
        "x": (7, 3, 6),
    }
    assert vae.likelihood.family.support.check(found["x"]).all()
    assert not torch.equal(found["x"][0], x)


@pytest.mark.param_store
def test_prior_predictive_has_the_moments_of_the_marginal() -> None:
    torch.manual_seed(0)
    found = Predictive(truth.vae().model, num_samples=DRAWS, parallel=True)(n=2)
    marginal = truth.marginal()
    assert_moments(
        found["x"].detach(),
        marginal.mean.expand(2, -1),
        marginal.covariance_matrix.expand(2, -1, -1),
    )
    eye = torch.eye(2, dtype=torch.float64)
    assert_moments(
        found["z"].detach(),
        torch.zeros(2, 2, dtype=torch.float64),
        eye.expand(2, -1, -1),
    )


@pytest.mark.param_store
def test_posterior_predictive_has_the_moments_of_the_posterior() -> None:
    vae = truth.vae()
    x = truth.sample(3)
    torch.manual_seed(0)
    program = poutine.uncondition(vae.model)
    found = Predictive(program, guide=vae.guide, num_samples=DRAWS, parallel=True)(x)
    q = truth.posterior(x)
    assert_moments(found["z"], q.mean, q.covariance_matrix)
    loc = q.mean @ truth.weight.T + truth.bias
    noise = truth.sigma**2 * torch.eye(4, dtype=torch.float64)
    covariance = truth.weight @ q.covariance_matrix @ truth.weight.T + noise
    assert_moments(found["x"].detach(), loc, covariance)


@pytest.mark.slow
@pytest.mark.param_store
def test_nuts_finds_the_exact_posterior_of_two_rows() -> None:
    x = truth.sample(2)
    torch.manual_seed(0)
    chain = MCMC(
        NUTS(truth.vae().model), num_samples=250, warmup_steps=60, disable_progbar=True
    )
    chain.run(x)
    z = chain.get_samples(group_by_chain=True)["z"]
    exact = truth.posterior(x)
    assert z.shape == (1, 250, 2, 2)
    squares = (z - exact.mean).square()
    for draws, value in ((z, exact.mean), (squares, exact.variance)):
        standard_error = (
            draws.std((0, 1)) / effective_sample_size(draws).clamp(max=250).sqrt()
        )
        assert ((draws.mean((0, 1)) - value).abs() / standard_error).max() < SIGMAS
        assert (standard_error / exact.variance.sqrt()).max() < 0.15


# Effect handlers


@every_likelihood
def test_trace_has_the_sites_and_their_densities(kind: str) -> None:
    vae = small_vae(kind)
    x = rows(kind, 3)
    with pyro.settings.context(module_local_params=True):
        trace = poutine.trace(vae.model).get_trace(x)
    trace.compute_log_prob()
    z = trace.nodes["z"]["value"]
    sites = {name for name, site in trace.nodes.items() if site["type"] == "sample"}
    assert sites == {"data", "z", "x"}
    assert z.shape == (3, 2)
    assert not trace.nodes["z"]["is_observed"]
    assert trace.nodes["x"]["is_observed"]
    assert [
        [frame.name for frame in trace.nodes[site]["cond_indep_stack"]] for site in "zx"
    ] == [
        ["data"],
        ["data"],
    ]
    torch.testing.assert_close(trace.nodes["z"]["log_prob"], vae.prior().log_prob(z))
    torch.testing.assert_close(
        trace.nodes["x"]["log_prob"], vae.likelihood(z).log_prob(x)
    )
    joint = vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x)
    torch.testing.assert_close(trace.log_prob_sum(), joint.sum())


@every_likelihood
def test_guide_trace_has_the_density_of_the_posterior(kind: str) -> None:
    vae = small_vae(kind)
    x = rows(kind, 3)
    with pyro.settings.context(module_local_params=True):
        trace = poutine.trace(vae.guide).get_trace(x)
    trace.compute_log_prob()
    assert {name for name, site in trace.nodes.items() if site["type"] == "sample"} == {
        "data",
        "z",
    }
    torch.testing.assert_close(
        trace.nodes["z"]["log_prob"],
        vae.posterior(x).log_prob(trace.nodes["z"]["value"]),
    )


@every_likelihood
def test_replay_puts_the_draws_of_the_guide_into_the_model(kind: str) -> None:
    vae = small_vae(kind)
    x = rows(kind, 3)
    with pyro.settings.context(module_local_params=True):
        q = poutine.trace(vae.guide).get_trace(x)
        p = poutine.trace(poutine.replay(vae.model, q)).get_trace(x)
    z = q.nodes["z"]["value"]
    assert p.nodes["z"]["value"] is z
    torch.testing.assert_close(
        p.nodes["x"]["fn"].log_prob(x), vae.likelihood(z).log_prob(x)
    )


def test_condition_observes_either_site() -> None:
    vae = small_vae()
    x = rows(n=3)
    z = torch.tensor([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]])
    with pyro.settings.context(module_local_params=True):
        trace = poutine.trace(poutine.condition(vae.model, {"z": z, "x": x})).get_trace(
            n=3
        )
    assert all(trace.nodes[site]["is_observed"] for site in "zx")
    joint = vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x)
    torch.testing.assert_close(trace.log_prob_sum(), joint.sum())


def test_model_returns_rows_and_guide_returns_codes() -> None:
    vae = small_vae()
    x = rows(n=3)
    with pyro.settings.context(module_local_params=True):
        assert torch.equal(vae.model(x), x)
        assert vae.model().shape == (1, 6)
        assert vae.model(n=4).shape == (4, 6)
        assert vae.guide(x).shape == (3, 2)


def test_programs_pass_pyros_own_checks_of_shapes() -> None:
    vae = small_vae()
    x = rows(n=3)
    with pyro.settings.context(module_local_params=True), pyro.validation_enabled(True):
        Trace_ELBO(max_plate_nesting=1, num_particles=2, vectorize_particles=True).loss(
            vae.model, vae.guide, x
        )


@every_likelihood
def test_inspect_names_sites_and_plate(kind: str) -> None:
    vae = small_vae(kind)
    x = rows(kind, 3)
    with pyro.settings.context(module_local_params=True):
        found = get_model_relations(vae.model, (x,))
    assert found["sample_sample"] == {"z": [], "x": ["z"]}
    assert found["sample_dist"] == {"z": "Normal", "x": kind.capitalize()}
    assert found["plate_sample"] == {"data": ["z", "x"]}
    assert found["observed"] == ["x"]
