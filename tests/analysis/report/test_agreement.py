"""Numbers that must agree: right ones pass for every likelihood, and errors in nats are found."""

from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from pyro_vae import VAE, fit
from pyro_vae.analysis.report.agreement import NATS, alone, chunks, density
from tests.likelihoods.families import CASES, every_case
from tests.likelihoods.families import vae as vae_of


@pytest.mark.slow
@every_case
def test_every_likelihood_agrees_with_itself(name: str) -> None:
    vae = vae_of(name).float()
    x = CASES[name].rows.float()
    found = density(vae, x, 0)
    assert found.verdict == "pass"
    assert found.number < 1e-4
    assert found.threshold < 1.1 * NATS
    assert alone(vae, x, 0).verdict == "pass"
    assert chunks(vae, x[:4], 0).verdict == "pass"


class Counts(nn.Module):
    """torch's Poisson: lgamma(count + 1) in float32 has the same rounding in each column."""

    def __init__(self, columns: int, rate: float) -> None:
        super().__init__()
        self.layer = nn.Linear(2, columns)
        self.rate = rate

    def forward(self, z: Tensor) -> Any:
        return dist.Poisson(self.rate * (0.001 * self.layer(z)).exp()).to_event(1)


@pytest.mark.parametrize(
    ("rate", "verdict"), [(10.0, "pass"), (1e4, "fail"), (1e6, "fail")]
)
def test_large_counts_in_float32_are_found(rate: float, verdict: str) -> None:
    x = torch.poisson(
        torch.full((20, 1000), rate), generator=torch.Generator().manual_seed(0)
    )
    vae = VAE(
        data_shape=(1000,),
        latent_dim=2,
        likelihood=Counts(1000, rate),
        hidden_dims=(8,),
    )
    fit(vae, x, epochs=1, validation=None)
    found = density(vae, x, 0)
    assert found.verdict == verdict
    assert (found.number > 0.1) == (verdict == "fail")


@pytest.mark.parametrize("columns", [64, 3072])
def test_rounding_of_long_rows_is_no_fault(columns: int) -> None:
    x = torch.randn(
        30, columns, generator=torch.Generator().manual_seed(1)
    ) * torch.linspace(0.1, 10, columns)
    vae = VAE(data_shape=(columns,), latent_dim=2, hidden_dims=(8,))
    fit(vae, x, epochs=1, validation=None)
    assert density(vae, x, 0).verdict == "pass"


def test_a_model_in_float64_is_its_own_reference() -> None:
    vae = VAE(data_shape=(3,), latent_dim=2).double()
    assert density(vae, torch.zeros(2, 3, dtype=torch.float64), 0).verdict == "none"


class Offset(nn.Module):
    """A density that is off by so many nats, in float32 alone."""

    def __init__(self, nats: float) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.nats = nats

    def forward(self, z: Tensor) -> Any:
        nats = self.nats if z.dtype == torch.float32 else 0.0

        class Off(dist.Normal):
            def log_prob(self, value: Tensor) -> Tensor:
                density: Tensor = super().log_prob(value) + nats / 3
                return density

        return Off(self.layer(z), 1.0).to_event(1)


@pytest.mark.parametrize(
    ("nats", "verdict"),
    [(0.0, "pass"), (0.0005, "pass"), (0.002, "fail"), (np.nan, "fail")],
)
def test_the_tolerance_is_in_nats(nats: float, verdict: str) -> None:
    vae = VAE(data_shape=(3,), latent_dim=2, likelihood=Offset(nats), hidden_dims=(8,))
    found = density(
        vae, torch.randn(20, 3, generator=torch.Generator().manual_seed(2)), 0
    )
    assert found.verdict == verdict


class Neighbours(nn.Module):
    """A decoder that adds a little of what it decodes beside."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)
        self.share = share

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.layer(z)
        return out + self.share * out.mean(0)


@pytest.mark.parametrize(("share", "verdict"), [(0.0, "pass"), (0.01, "fail")])
def test_a_decoder_that_mixes_draws_is_found(share: float, verdict: str) -> None:
    vae = VAE(
        data_shape=(3,), latent_dim=2, decoder=Neighbours(share), hidden_dims=(8,)
    )
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(3))
    assert chunks(vae, x, 0).verdict == verdict
    assert alone(vae, x, 0).verdict == verdict
