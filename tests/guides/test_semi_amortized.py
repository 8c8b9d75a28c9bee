"""The refinement: it gains, it stops where the posterior is, and it leaves the model as it was."""

import copy
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    MultivariateNormal,
    constraints,
    kl_divergence,
)

from pyro_vae import VAE
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.guides import SemiAmortized
from pyro_vae.likelihoods.base import Family, Likelihood
from tests.guides.families import TRUTH, X, normal_of, small, untrained

ROWS = TRUTH.sample(100, seed=5)
SEMI = "semi_amortized", "semi_full_rank", "semi_low_rank"
every = pytest.mark.parametrize("name", SEMI)


def proposal(vae: VAE, x: Tensor) -> Distribution:
    """What the encoder says, before the steps."""
    q: Distribution = vae.posterior.family(
        vae.posterior.encoder(vae.posterior.standardize(x))
    )
    return q


def distance(q: Distribution, exact: MultivariateNormal) -> Tensor:
    return kl_divergence(normal_of(q), exact)


@every
@pytest.mark.parametrize("sigma", [1.0, 0.1])
def test_every_row_gains_from_an_untrained_encoder(name: str, sigma: float) -> None:
    """KL(q ‖ p(z | x)) falls, also where the posterior is a hundred times narrower than q."""
    truth = LinearGaussian.random(data_dim=8, latent_dim=3, sigma=sigma)
    x = truth.sample(50)
    vae = untrained(name, truth)
    with torch.no_grad():
        before, after = (
            distance(q, truth.posterior(x))
            for q in (proposal(vae, x), vae.posterior(x))
        )
    assert (after < before).all()
    assert after.mean() < before.mean() / 2


def refiner(truth: LinearGaussian, **options: Any) -> SemiAmortized:
    family = SemiAmortized(3, truth.weight.shape[1], **options).double()
    family.pyro_vae_bind(truth.vae().parts)
    return family


@pytest.mark.parametrize("num_particles", [2, 8])
def test_the_exact_posterior_stays(num_particles: int) -> None:
    exact = TRUTH.posterior(ROWS)
    refined = refiner(TRUTH, num_particles=num_particles, steps=10).pyro_vae_refine(
        exact, ROWS
    )
    assert distance(refined, exact).abs().max() < 1e-9


def test_many_steps_reach_the_best_independent_normal() -> None:
    """Its mean is that of the posterior, its variances are 1 / Λᵢᵢ."""
    exact = TRUTH.posterior(ROWS)
    wrong = dist.Normal(ROWS[:, :2], 3.0).to_event(1)
    refined = refiner(TRUTH, steps=200, lr=0.5).pyro_vae_refine(wrong, ROWS)
    torch.testing.assert_close(refined.mean, exact.mean, rtol=0, atol=1e-4)
    precision = exact.precision_matrix.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(
        refined.variance, 1 / precision.expand_as(refined.variance), rtol=1e-4, atol=0
    )


@every
@pytest.mark.parametrize("grad", [True, False])
def test_nothing_is_left_on_the_model(name: str, grad: bool) -> None:
    vae = small(name)
    with torch.set_grad_enabled(grad):
        q = vae.posterior(X)
    assert all(weight.grad is None for weight in vae.parameters())
    assert q.mean.requires_grad == grad
    assert torch.is_grad_enabled()
    assert not torch.equal(q.mean, proposal(vae, X).mean)


@every
def test_the_model_is_not_registered_twice(name: str) -> None:
    vae = small(name)
    assert not [path for path in vae.posterior.state_dict() if "decoder" in path]
    assert len({*vae.state_dict()}) == len(vae.state_dict())
    twin = copy.deepcopy(vae)
    prior, likelihood = twin.posterior.family._model
    assert prior is twin.prior
    assert likelihood is twin.likelihood


@every
def test_a_copy_refines_for_its_own_model(name: str) -> None:
    vae = small(name)
    with torch.no_grad():
        twin = copy.deepcopy(vae)
        before = vae.posterior(X).mean
        for weight in twin.likelihood.parameters():
            weight += 0.5
        assert torch.equal(vae.posterior(X).mean, before)
        assert not torch.equal(twin.posterior(X).mean, before)


def bias_of(vae: VAE) -> nn.Parameter:
    found: nn.Parameter = vae.posterior.family.base.head.bias
    return found


def test_steps_are_constants_to_the_encoder() -> None:
    """∂(μ + δ) / ∂μ = 1 where δ is a constant."""
    vae = small("semi_amortized")
    (slope,) = torch.autograd.grad(vae.posterior(X).mean.sum(), bias_of(vae))
    torch.testing.assert_close(slope, torch.tensor([6.0, 6.0, 0.0, 0.0]))


def test_unrolled_steps_have_their_own_gradient() -> None:
    """Against finite differences, through the steps."""
    guide = {"kind": "semi_amortized", "steps": 3, "unroll": True}
    vae = VAE(data_shape=(4,), latent_dim=2, guide=guide, hidden_dims=(8,)).double()
    x = X.double()
    bias = bias_of(vae)

    def answer() -> Tensor:
        q = vae.posterior(x)
        return (q.mean + q.stddev).square().sum()

    (slope,) = torch.autograd.grad(answer(), bias)
    for index in range(4):
        ends = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                bias[index] += step
                ends.append(float(answer()))
        with torch.no_grad():
            bias[index] += 1e-5
        assert float(slope[index]) == pytest.approx(
            (ends[0] - ends[1]) / 2e-5, rel=1e-5
        )


def test_unrolled_steps_reach_the_decoder() -> None:
    vae = small("semi_full_rank")
    weights = [*vae.likelihood.decoder.parameters()]
    assert all(
        slope.any()
        for slope in torch.autograd.grad(vae.posterior(X).mean.sum(), weights[:1])
    )
    assert not any(
        weight.requires_grad and weight.grad is not None for weight in weights
    )


# What it is given


class Positive(Family):
    """A family that has no density at zero, where a new model is tried out."""

    support = constraints.positive
    remedy = "take logarithms"

    def __init__(self) -> None:
        super().__init__((4,), (4,))

    def forward(self, raw: Tensor) -> Distribution:
        return dist.LogNormal(raw, 1.0).to_event(1)


def test_a_likelihood_that_excludes_zero() -> None:
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        likelihood=Likelihood(nn.Linear(2, 4), Positive()),
        guide="semi_amortized",
        hidden_dims=(8,),
    )
    assert vae.posterior(X.exp()).mean.isfinite().all()
    assert vae.posterior(torch.zeros(2, 4)).mean.isfinite().all()


class Echo(nn.Module):
    """A prior made of q(z | x) at learned inputs, as the VampPrior."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Parameter(torch.randn(3, 4))

    def pyro_vae_bind(self, parts: Any) -> None:
        self.parts = (parts.posterior,)

    def forward(self) -> Distribution:
        q = self.parts[0](self.inputs)
        return dist.Normal(q.mean.mean(0), 1.0).to_event(1)


def test_a_prior_made_of_the_guide() -> None:
    vae = VAE(
        data_shape=(4,),
        latent_dim=2,
        prior=Echo(),
        guide="semi_amortized",
        hidden_dims=(8,),
    )
    assert vae.posterior(X).mean.isfinite().all()
    assert not vae.posterior.family._refining


@pytest.mark.parametrize(
    "base", ["flow", "delta", "semi_amortized", {"kind": "hierarchical", "top_dim": 1}]
)
def test_a_base_that_is_no_normal_is_refused(base: Any) -> None:
    with pytest.raises(ValueError, match="'mean_field', 'full_rank' or 'low_rank'"):
        VAE(
            data_shape=(4,),
            latent_dim=2,
            guide={"kind": "semi_amortized", "base": base},
        )


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"base": "mean_feild"}, "base"),
        ({"num_particles": 3}, "num_particles"),
        ({"steps": 0}, "steps"),
        ({"lr": 0}, "lr"),
    ],
)
def test_options_are_checked(options: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=f"guide.semi_amortized.{place}"):
        VAE(data_shape=(4,), latent_dim=2, guide={"kind": "semi_amortized", **options})


def test_without_a_model_there_is_nothing_to_refine_for() -> None:
    family = SemiAmortized(8, 2)
    with pytest.raises(ValueError, match="pyro_vae_bind"):
        family.pyro_vae_refine(family(torch.zeros(3, 8)), X)
