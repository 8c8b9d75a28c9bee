"""Check-ups: what is right passes, what is weak warns, and each contradiction is found."""

from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae import VAE
from pyro_vae.analysis.checks import Checkup, checkup, installation
from pyro_vae.analysis.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random(data_dim=5, latent_dim=2, seed=1)
X = TRUTH.sample(40, seed=2)


def verdicts(found: Checkup) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in found.findings}


class Detached(nn.Module):
    """A decoder that reports no gradient for half of what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(2, 5), nn.Linear(2, 5)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.one(z) + self.other(z).detach()
        return out


class Neighbours(nn.Module):
    """An encoder that looks at the other rows of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x - x.mean(0))
        return out


class TooDense(dist.Normal):
    """A normal whose density integrates to e."""

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = super().log_prob(value) + 0.5
        return density


class Miscounting(nn.Module):
    """A guide of such densities; its closed-form KL is that of the normal."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Distribution:
        loc = self.layer(x)
        return TooDense(loc, torch.ones_like(loc)).to_event(1)


def test_the_exact_posterior_passes() -> None:
    found = checkup(TRUTH.vae(widen=1.1), X, num_particles=500)
    assert {name for name, verdict in verdicts(found).items() if verdict != "pass"} <= {"calibration of the guide"}
    assert "fail" not in verdicts(found).values()


def test_a_narrow_guide_warns() -> None:
    found = checkup(TRUTH.vae(widen=0.5), X, num_particles=500)
    assert verdicts(found)["k-hat above 0.7"] == "warn"
    assert verdicts(found)["calibration of the guide"] == "warn"
    assert found.worst == "warn"
    assert "p < 1e-6" in str(found)
    assert str(found).splitlines()[-1].startswith("warn: the numbers agree with each other")


def test_dead_units_warn() -> None:
    vae = TRUTH.vae("mean_field")
    with torch.no_grad():
        vae.posterior.family.head.weight.zero_()
        vae.posterior.family.head.bias.zero_()
    found = checkup(vae, X, num_particles=100)
    assert verdicts(found)["use of the latent space"] == "warn"
    assert "posterior collapse" in str(found)


@pytest.mark.parametrize(
    ("broken", "parts"),
    [
        ("gradient of the loss", {"decoder": Detached(), "likelihood": {"kind": "normal", "scale": 1.0}}),
        ("rows together and alone", {"encoder": Neighbours()}),
        ("ELBO, Monte Carlo - analytic", {"guide": Miscounting()}),
    ],
)
def test_contradictions_fail(broken: str, parts: dict[str, Any]) -> None:
    found = checkup(VAE(data_shape=(5,), latent_dim=2, **parts), X.float(), num_particles=100)
    assert verdicts(found)[broken] == "fail"
    assert found.worst == "fail"


def test_an_autoencoder_has_no_evidence_to_check() -> None:
    found = checkup(VAE(data_shape=(5,), latent_dim=2, guide="delta", prior="flat"), X.float())
    assert verdicts(found) == {"gradient of the loss": "pass", "evidence": "none"}
    assert found.worst == "pass"


def test_the_model_is_left_as_it_was() -> None:
    vae = TRUTH.vae("mean_field").train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    state = torch.get_rng_state()
    first, second = (str(checkup(vae, X, num_particles=50)) for _ in range(2))
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert vae.training
    assert all(torch.equal(value, before[name]) for name, value in vae.state_dict().items())


def test_the_installation_passes() -> None:
    assert installation(seed=1).worst == "pass"
