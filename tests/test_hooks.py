"""Hooks: those with the library's names are called, and methods with common names are not."""

from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

import pyro_vae as pv
from pyro_vae import hooks
from pyro_vae.analysis.outliers.columns import column_log_prob
from pyro_vae.data import Statistics
from pyro_vae.guides import GUIDES, MeanField
from pyro_vae.hooks import ModelParts
from pyro_vae.likelihoods.base import given, representative

X = 5 + torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
PROTOCOLS = {
    "StartsFromData": "pyro_vae_start",
    "BindsParts": "pyro_vae_bind",
    "RefinesProposal": "pyro_vae_refine",
    "ConditionsOnData": "pyro_vae_given",
    "HasRepresentative": "pyro_vae_representative",
    "HasProbabilities": "pyro_vae_probabilities",
    "HasColumnDensities": "pyro_vae_column_log_prob",
    "HasObservedDensity": "pyro_vae_observed_log_prob",
    "HasConditional": "pyro_vae_given_observed",
    "HasMissingMechanism": "pyro_vae_missing_mechanism",
    "HasTopLevel": "pyro_vae_top",
}
OF_MODULES = "start_from", "bind_parts", "refine", "independent"
OF_DISTRIBUTIONS = (
    *(
        "given",
        "representative",
        "probabilities",
        "column_log_prob",
        "observed_log_prob",
        "given_observed",
        "top",
    ),
    *("counts", "typical", "parts", "order"),
)


def with_methods(kind: type, names: tuple[str, ...]) -> Any:
    """A subclass with methods of these names, which nobody may call."""

    def refuse(self: Any, *inputs: Any) -> Any:
        raise AssertionError("called a method that means something else to its user")

    return type(kind.__name__, (kind,), dict.fromkeys(names, refuse))


Vector = with_methods(dist.Independent, OF_DISTRIBUTIONS)


def vector(loc: Tensor) -> Distribution:
    """N(loc, I)."""
    normal: Distribution = Vector(dist.Normal(loc, torch.ones_like(loc)), 1)
    return normal


class Prior(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(2))

    def forward(self) -> Distribution:
        return vector(self.loc)


class Linear(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.family = nn.Linear(in_features, out_features)
        self.family.support = dist.constraints.positive  # of something else

    def forward(self, value: Tensor) -> Distribution:
        return vector(self.family(value))


def test_methods_with_common_names_are_not_called() -> None:
    prior = with_methods(Prior, OF_MODULES)()
    likelihood = with_methods(Linear, OF_MODULES)(2, 3)
    guide = with_methods(Linear, OF_MODULES)(3, 2)
    vae = pv.VAE(
        data_shape=(3,), latent_dim=2, prior=prior, likelihood=likelihood, guide=guide
    )
    rows = X - 5  # of both signs
    run = pv.fit(vae, rows, epochs=2, validation=0.2, progress=False)
    assert run.baseline is None
    pv.evidence(vae, rows[:5], num_particles=10, progress=False)
    pv.sample(vae, 3)
    assert pv.class_probabilities(vae, rows) == {}
    p = vae.likelihood(torch.zeros(3, 2))
    assert isinstance(p, Vector)
    torch.testing.assert_close(
        torch.as_tensor(pv.reconstruct(vae, rows)[:3]).shape, X[:3].shape
    )
    assert given(p, rows[:3]) is p
    assert representative(p) is p.mean
    torch.testing.assert_close(
        column_log_prob(p, rows[:3]).sum(-1), p.log_prob(rows[:3])
    )


def test_a_family_that_refines_something_else_is_left_alone(monkeypatch: Any) -> None:
    family = with_methods(MeanField, OF_MODULES)
    monkeypatch.setitem(GUIDES._constructors, "refiner", family)
    vamp = {"kind": "vamp", "pseudo_inputs": 4}
    vae = pv.VAE(data_shape=(3,), latent_dim=2, guide="refiner", prior=vamp)
    assert vae.prior().log_prob(vae.posterior(X).sample()).shape == (40,)


# The hooks


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_class_has_a_hook_if_it_has_the_method(name: str) -> None:
    protocol = getattr(hooks, name)
    method = PROTOCOLS[name]
    assert callable(getattr(protocol, method))
    assert isinstance(with_methods(nn.Module, (method,))(), protocol)
    assert not isinstance(nn.Module(), protocol)
    assert name in hooks.__doc__


class Recorder(Prior):
    """A prior with the hooks of modules."""

    def pyro_vae_start(self, statistics: Statistics) -> None:
        self.loc.data.copy_(statistics.mean[:2])

    def pyro_vae_bind(self, parts: ModelParts) -> None:
        self.bound = (parts.prior, parts.likelihood, parts.posterior)


def test_hooks_of_modules_are_called() -> None:
    vae = pv.VAE(data_shape=(3,), latent_dim=2, prior=Recorder())
    prior = vae.prior
    assert isinstance(prior, Recorder)
    assert prior.bound == (vae.prior, vae.likelihood, vae.posterior)
    pv.fit(vae, X, epochs=1, lr=1e-9, validation=None, progress=False)
    torch.testing.assert_close(prior.loc.detach(), X.mean(0)[:2], atol=1e-3, rtol=0)


class Doubled(dist.Independent):
    """Normal vectors with the hooks of distributions."""

    def pyro_vae_given(self, x: Tensor) -> Distribution:
        return Doubled(dist.Normal(x, 1.0), 1)

    def pyro_vae_representative(self) -> Tensor:
        return 2 * self.mean

    def pyro_vae_column_log_prob(self, x: Tensor) -> Tensor:
        return self.base_dist.log_prob(x)

    def pyro_vae_probabilities(self) -> dict[int, Tensor]:
        return {1: torch.tensor([0.25, 0.75]).expand(*self.batch_shape, 2)}


def test_hooks_of_distributions_are_called() -> None:
    p = Doubled(dist.Normal(torch.ones(4, 3), 1.0), 1)
    assert torch.equal(given(p, X[:4]).mean, X[:4])
    assert torch.equal(representative(p), torch.full((4, 3), 2.0))
    torch.testing.assert_close(column_log_prob(p, X[:4]).sum(-1), p.log_prob(X[:4]))

    def likelihood(z: Tensor) -> Distribution:
        return Doubled(dist.Normal(z[..., :1].expand(*z.shape[:-1], 3), 1.0), 1)

    vae = pv.VAE(data_shape=(3,), latent_dim=2, likelihood=likelihood)
    (column,) = pv.class_probabilities(vae, X)
    assert column == 1
