"""Distributions of torch, Pyro, zuko and other libraries as parts of a model."""

import copy
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pyro
import pyro.distributions as dist
import pytest
import torch
import torch.distributions as td
import zuko
from pyro.distributions.torch_distribution import TorchDistributionMixin
from pyro.infer import SVI, Predictive, Trace_ELBO
from torch import Tensor, nn
from torch.distributions import Distribution

import pyro_vae as pv
from pyro_vae.rng import own_seed
from pyro_vae.spec import as_pyro, support_of

X = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
ZEROS, ONES = torch.zeros(2), torch.ones(2)
AFFINE = td.AffineTransform(1.0, 2.0, event_dim=1)


class Strict(dist.TorchDistribution):
    """Two standard normals that take a sample shape only as torch.Size, as gpytorch's do."""

    arg_constraints: ClassVar[Any] = {}
    support = td.constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor) -> None:
        self.loc = loc
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    def rsample(self, sample_shape: Any = torch.Size()) -> Tensor:
        shape = torch.Size([sample_shape.numel()]) + self.loc.shape
        return (self.loc + torch.randn(shape)).reshape(sample_shape + self.loc.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return dist.Normal(self.loc, 1.0).log_prob(value).sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Strict":
        return Strict(self.loc.expand(*batch_shape, -1))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return torch.ones_like(self.loc)


class Net(nn.Module):
    """A module whose network's output some distribution is made of."""

    def __init__(self, size: int, made: Callable[[Tensor], Distribution]) -> None:
        super().__init__()
        self.net, self.made = nn.Linear(size, 2 if size == 4 else 4), made

    def forward(self, inputs: Tensor) -> Distribution:
        return self.made(self.net(inputs))


def torch_normal(loc: Tensor) -> Distribution:
    return td.Independent(td.Normal(loc, torch.ones_like(loc)), 1)


def transformed(loc: Tensor) -> Distribution:
    return td.TransformedDistribution(torch_normal(loc), [AFFINE])


def zuko_normal(loc: Tensor) -> Distribution:
    return zuko.distributions.DiagNormal(loc, torch.ones_like(loc))


def pyro_normal(loc: Tensor) -> Distribution:
    return dist.Normal(loc, 1.0).to_event(1)


MADE = {
    "torch": torch_normal,
    "torch transformed": transformed,
    "Pyro": pyro_normal,
    "zuko": zuko_normal,
}
PRIORS: dict[str, Callable[[], Any]] = {
    **{name: (lambda made=made: made(ZEROS)) for name, made in MADE.items()},
    "torch, by a function": lambda: lambda: torch_normal(ZEROS),
    "torch's mixture": lambda: td.MixtureSameFamily(
        td.Categorical(ONES), torch_normal(torch.eye(2))
    ),
    "torch, full covariance": lambda: td.MultivariateNormal(ZEROS, torch.eye(2)),
    "zuko's flow": lambda: zuko.flows.NSF(2, transforms=1, hidden_features=(8,)),
    "strict": lambda: Strict(ZEROS),
}
GUIDES: dict[str, Callable[[], Any]] = {
    **{name: (lambda made=made: Net(4, made)) for name, made in MADE.items()},
    "Pyro transformed": lambda: Net(
        4, lambda loc: dist.TransformedDistribution(pyro_normal(loc), [AFFINE])
    ),
    "zuko's flow": lambda: zuko.flows.MAF(
        2, context=4, transforms=1, hidden_features=(8,)
    ),
}
LIKELIHOODS: dict[str, Callable[[], Any]] = {
    name: (lambda made=made: Net(2, made)) for name, made in MADE.items()
}
CASES = {
    f"{slot}: {name}": (slot, make)
    for slot, makes in {
        "prior": PRIORS,
        "guide": GUIDES,
        "likelihood": LIKELIHOODS,
    }.items()
    for name, make in makes.items()
}


def model_of(case: str) -> pv.VAE:
    slot, make = CASES[case]
    with own_seed(0):
        return pv.VAE(data_shape=(4,), latent_dim=2, hidden_dims=(8,), **{slot: make()})


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_every_question_is_answered(case: str) -> None:
    vae = model_of(case)
    assert len(pv.fit(vae, X, epochs=2, progress=False).history) == 2
    assert pv.evidence(vae, X[:3], num_particles=20).log_marginal.shape == (3,)
    assert pv.annealed(vae, X[:2], num_chains=2, temperatures=5).log_marginal.shape == (
        2,
    )
    assert pv.bidirectional(
        vae, num_rows=2, num_chains=2, temperatures=5
    ).lower.shape == (2,)
    assert pv.encode(vae, X).scale.shape == (20, 2)
    assert pv.reconstruct(vae, X).shape == (20, 4)
    assert pv.sample(vae, 3).mean.shape == (3, 4)
    assert pv.latent_use(vae, X).active_units <= 2
    assert pv.calibration(vae, num_rows=10, num_samples=9).rank.shape == (10, 2)
    assert dict(pv.to_arviz(vae, X[:3], num_samples=5)["prior"].sizes)["draw"] == 5
    assert pv.compare(
        {"one": vae, "two": vae}, X[:3], num_particles=5
    ).log_marginal.shape == (2, 3)


@pytest.mark.param_store
@pytest.mark.parametrize("case", CASES)
def test_it_is_a_pyro_program(case: str) -> None:
    vae = model_of(case)
    assert vae.model(n=3).shape == (3, 4)
    assert vae.guide(X).shape == (20, 2)
    assert Predictive(vae.model, num_samples=5)(n=3)["x"].shape == (5, 3, 4)
    assert Predictive(vae.model, guide=vae.guide, num_samples=5)(X[:3])["x"].shape == (
        5,
        3,
        4,
    )
    for part, inputs in (
        (vae.prior, ()),
        (vae.likelihood, (ZEROS.repeat(3, 1),)),
        (vae.posterior, (X,)),
    ):
        assert isinstance(part(*inputs), TorchDistributionMixin)


AUDITED = [
    "prior: torch",
    "prior: torch's mixture",
    "prior: zuko",
    "prior: strict",
    "likelihood: torch",
]


@pytest.mark.parametrize("case", [*AUDITED, "prior: zuko's flow"])
@pytest.mark.slow
def test_it_is_drawn_from_by_nuts(case: str) -> None:
    found = pv.audit(
        model_of(case),
        X[:1],
        num_chains=2,
        num_samples=20,
        warmup_steps=40,
        num_particles=20,
    )
    assert found.z.shape == (2, 20, 1, 2)


@pytest.mark.param_store
@pytest.mark.parametrize("case", CASES)
def test_pyros_svi_trains_it(case: str) -> None:
    vae = model_of(case)
    assert (
        SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 0.01}), Trace_ELBO()).step(X)
        > 0
    )
    pv.fit(
        vae, X, epochs=1, objective={"kind": "iwae", "num_particles": 3}, progress=False
    )


@pytest.mark.parametrize("case", CASES)
def test_it_is_saved_and_loaded_and_copied(case: str, tmp_path: Any) -> None:
    slot, make = CASES[case]
    vae = model_of(case)
    expected = pv.evidence(vae, X[:3], num_particles=5).log_marginal
    pv.save(vae, tmp_path / "run")
    for again in (pv.load(tmp_path / "run", **{slot: make()}), copy.deepcopy(vae)):
        assert (
            pv.evidence(again, X[:3], num_particles=5).log_marginal == expected
        ).all()


# The conversion


@pytest.mark.parametrize("name", MADE)
def test_a_wrapped_distribution_is_the_same_distribution(name: str) -> None:
    plain = MADE[name](torch.randn(3, 2))
    wrapped, z = as_pyro(plain), torch.randn(5, 3, 2)
    assert isinstance(wrapped, type(plain))
    assert type(wrapped).__name__ == type(plain).__name__
    assert torch.equal(wrapped.log_prob(z), plain.log_prob(z))
    torch.manual_seed(0)
    drawn = plain.rsample()
    torch.manual_seed(0)
    assert torch.equal(wrapped(), drawn)
    assert wrapped.expand((5, 3)).batch_shape == (5, 3)
    assert torch.equal(wrapped.mask(False).log_prob(z), torch.zeros(5, 3))
    assert wrapped.to_event(1).event_shape == (3, 2)
    assert as_pyro(wrapped) is wrapped


def test_it_keeps_its_closed_form_divergence() -> None:
    q, p = torch_normal(torch.ones(3, 2)), torch_normal(torch.zeros(3, 2))
    assert torch.equal(td.kl_divergence(as_pyro(q), as_pyro(p)), torch.ones(3))


def test_moments_without_a_formula_are_estimated_with_fixed_noise() -> None:
    """z = 1 + 2 ε: mean 1, std 2; the same in each call, without the caller's random numbers."""
    found, before = as_pyro(transformed(torch.zeros(3, 2))), torch.get_rng_state()
    assert torch.equal(found.mean, found.mean)
    assert torch.equal(torch.get_rng_state(), before)
    assert (found.mean - 1).abs().max() < 5 * 2 / 1000**0.5
    assert (found.stddev - 2).abs().max() < 5 * 2 / 2000**0.5
    assert as_pyro(pyro_normal(ZEROS)).mean is not None


def test_supports() -> None:
    assert as_pyro(PRIORS["zuko's flow"]()()).support == td.constraints.real_vector
    mixed = td.MixtureSameFamily(
        td.Categorical(ONES), td.Independent(td.Gamma(torch.ones(2, 3), 1.0), 1)
    )
    support = as_pyro(mixed).support
    assert td.biject_to(support)(torch.zeros(3)).tolist() == [1, 1, 1]
    assert support_of(as_pyro(td.Gamma(ONES, 1.0))) == td.constraints.nonnegative


@pytest.mark.param_store
def test_a_module_is_hooked_once_and_pickles() -> None:
    prior = Shared()
    first, second = (
        pv.VAE(data_shape=(4,), latent_dim=2, prior=prior) for _ in range(2)
    )
    assert len(prior._forward_hooks) == 1
    again = pickle.loads(pickle.dumps(second))
    assert again.model(n=2).shape == first.model(n=2).shape == (2, 4)


class Shared(nn.Module):
    def forward(self) -> Distribution:
        return torch_normal(ZEROS)
