"""Samplers and densities that disagree by an error of known size are found, and no others."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pyro.distributions as dist
import pytest
import torch
import torch.distributions as td
import zuko
from torch import Tensor
from torch.distributions import Distribution

import pyro_vae as pv
from pyro_vae import VAE, checkup
from pyro_vae.analysis import samples_match_density
from pyro_vae.rng import own_seed

ZEROS = torch.zeros(2)


class Mismatch(dist.TorchDistribution):
    """The draws of one distribution with the density of another."""

    arg_constraints: ClassVar[Any] = {}

    def __init__(self, sampler: Any, density: Any) -> None:
        self.sampler = sampler
        self.density = density
        super().__init__(torch.Size(), density.event_shape)

    @property
    def support(self) -> Any:
        return self.density.support

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        drawn: Tensor = self.sampler.sample(sample_shape)
        return drawn

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = self.density.log_prob(value)
        return density


def normal(loc: float = 0.0, scale: float = 1.0, dim: int = 2) -> Distribution:
    return dist.Normal(torch.full((dim,), loc), scale).to_event(1)


def gamma(rate: float) -> Distribution:
    return dist.Gamma(torch.ones(2), rate).to_event(1)


def modes(share: float) -> Distribution:
    """Two modes, 10 standard deviations apart."""
    weights = td.Categorical(torch.tensor([share, 1 - share]))
    return td.MixtureSameFamily(
        weights,
        td.Independent(td.Normal(torch.tensor([[-5.0] * 2, [5.0] * 2]), 1.0), 1),
    )


def correlated(rho: float) -> Distribution:
    return dist.MultivariateNormal(ZEROS, torch.tensor([[1.0, rho], [rho, 1.0]]))


def clipped() -> Distribution:
    """What zuko's NAF does: draws that end at ±10, from a density that doesn't."""

    class Clipped(dist.TorchDistribution):
        arg_constraints: ClassVar[Any] = {}
        support = td.constraints.real_vector

        def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
            return normal(scale=8.0).sample(sample_shape).clamp(-10, 10)

        def log_prob(self, value: Tensor) -> Tensor:
            return normal(scale=8.0).log_prob(value)

    return Clipped(torch.Size(), torch.Size([2]))


DISAGREE: dict[str, Callable[[], Distribution]] = {
    "a shift": lambda: Mismatch(normal(0.2), normal()),
    "a scale": lambda: Mismatch(normal(scale=1.15), normal()),
    "a scale in 16 dimensions": lambda: Mismatch(
        normal(scale=1.1, dim=16), normal(dim=16)
    ),
    "tails": lambda: Mismatch(dist.StudentT(3.0, ZEROS, 1.0).to_event(1), normal()),
    "tails that are missing": lambda: Mismatch(
        normal(), dist.StudentT(3.0, ZEROS, 1.0).to_event(1)
    ),
    "shares of modes": lambda: Mismatch(modes(0.5), modes(0.7)),
    "a correlation": lambda: Mismatch(correlated(0.5), normal()),
    "a correlation that is missing": lambda: Mismatch(normal(), correlated(0.5)),
    "clipped draws": clipped,
    "another rate": lambda: Mismatch(gamma(1.2), gamma(1.0)),
    "draws outside the support": lambda: Mismatch(normal(), gamma(1.0)),
}


@pytest.mark.parametrize("name", DISAGREE)
def test_draws_from_another_density_are_found(name: str) -> None:
    found = samples_match_density(DISAGREE[name]())
    assert found.p_value < 1e-4, found


AGREE: dict[str, Callable[[], Distribution]] = {
    "normal": normal,
    "modes": lambda: modes(0.7),
    "correlated": lambda: correlated(0.9),
    "heavy tails": lambda: dist.Cauchy(ZEROS, 1.0).to_event(1),
    "positive": lambda: dist.LogNormal(ZEROS, 1.5).to_event(1),
    "bounded": lambda: dist.Uniform(ZEROS, torch.ones(2)).to_event(1),
    "a simplex": lambda: dist.Dirichlet(torch.full((3,), 0.7)),
    "tiny and large": lambda: dist.Normal(
        torch.tensor([1e6, 0.0]), torch.tensor([1e3, 1e-6])
    ).to_event(1),
    "not normalised": lambda: Mismatch(normal(), Doubled(normal())),
    "zuko's flow": lambda: zuko.flows.NSF(2, transforms=2, hidden_features=(16,))(),
}


class Doubled(Mismatch):
    def __init__(self, density: Any) -> None:
        super().__init__(density, density)

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value) + math.log(2)


@pytest.mark.parametrize("name", AGREE)
def test_draws_from_the_density_are_not(name: str) -> None:
    with own_seed(0):
        prior = AGREE[name]()
    found = samples_match_density(prior)
    assert found.p_value > 1e-3, found


@pytest.mark.slow
def test_the_p_values_are_valid() -> None:
    """Of 100 exact p-values 5 ± 2.2 are below 0.05; the correction makes them larger."""
    p_values = np.array(
        [
            samples_match_density(normal(), num_samples=400, seed=seed).p_value
            for seed in range(100)
        ]
    )
    assert (p_values < 0.05).sum() <= 5 + 3 * 2.2


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in pv.PRIORS if kind != "flat"])
def test_every_prior_of_ours_passes(kind: str) -> None:
    table = {"kind": kind, **({"top_dim": 1} if kind == "hierarchical" else {})}
    vae = pv.VAE(data_shape=(4,), latent_dim=3, prior=table, hidden_dims=(8,))
    with own_seed(0), torch.no_grad():
        for parameter in vae.prior.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        prior = vae.prior()
    assert samples_match_density(prior).p_value > 1e-3


def test_the_same_seed_gives_the_same_answer_and_no_draw_of_the_callers() -> None:
    before = torch.get_rng_state()
    assert samples_match_density(normal(), seed=np.int64(3)) == samples_match_density(
        normal(), seed=3
    )
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_checked_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^num_samples: expected at least 100, got 9$"
    ):
        samples_match_density(normal(), num_samples=9)
    with pytest.raises(
        ValueError, match=r"^prior: expected continuous vectors, got the support "
    ):
        samples_match_density(dist.Poisson(torch.ones(2)).to_event(1))


class Own(torch.nn.Module):
    """A user's prior."""

    def __init__(self, made: Distribution) -> None:
        super().__init__()
        self.made = made

    def forward(self) -> Distribution:
        return self.made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prior", "verdict"), [(normal, "pass"), (DISAGREE["clipped draws"], "fail")]
)
def test_the_check_of_a_model_finds_it(
    prior: Callable[[], Distribution], verdict: str
) -> None:
    vae = VAE(data_shape=(3,), latent_dim=2, hidden_dims=(8,), prior=Own(prior()))
    found = checkup(vae, torch.randn(10, 3), num_particles=50, progress=False)
    assert found["draws of the prior"].verdict == verdict


def test_a_prior_of_ours_is_not_asked() -> None:
    vae = VAE(data_shape=(3,), latent_dim=2, hidden_dims=(8,))
    found = checkup(vae, torch.randn(10, 3), num_particles=50, progress=False)
    assert "draws of the prior" not in {finding.name for finding in found.findings}
