"""The normal guides: covariances as written, and their closed-form KL."""

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Distribution, kl_divergence

from pyro_vae.guides import FullRank, LowRank
from pyro_vae.objectives import analytic_kl
from tests.guides.families import normal_of

FEATURES = torch.randn(
    5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64
)


def normals(latent_dim: int = 4) -> dict[str, Distribution]:
    torch.manual_seed(0)
    families = {
        "full_rank": FullRank(7, latent_dim),
        "low_rank": LowRank(7, latent_dim, rank=2),
    }
    return {name: family.double()(FEATURES) for name, family in families.items()}


@pytest.mark.parametrize("name", ["full_rank", "low_rank"])
def test_the_kl_is_that_of_torch(name: str) -> None:
    q, (m, s) = normals()[name], torch.rand(2, 4, dtype=torch.float64) + 0.5
    for prior in (
        dist.Normal(m, s).to_event(1),
        dist.Normal(m, s).expand((5, 4)).to_event(1),
    ):
        kl = analytic_kl(q, prior)
        assert kl is not None
        assert kl.shape == (5,)
        torch.testing.assert_close(kl, kl_divergence(normal_of(q), normal_of(prior)))


@pytest.mark.parametrize("name", ["full_rank", "low_rank"])
def test_no_closed_form_is_made_up(name: str) -> None:
    q = normals()[name]
    zeros = torch.zeros(5, 4, dtype=torch.float64)
    assert analytic_kl(q, dist.Laplace(zeros, 1.0).to_event(1)) is None
    assert analytic_kl(q, dist.Normal(zeros, 1.0).to_event(2)) is None


def test_the_covariance_is_diagonal_plus_low_rank() -> None:
    family = LowRank(7, 4, rank=2).double()
    q = family(FEATURES)
    off_diagonal = q.covariance_matrix - q.cov_factor @ q.cov_factor.mT
    torch.testing.assert_close(off_diagonal, torch.diag_embed(q.cov_diag))
    assert q.cov_factor.shape == (5, 4, 2)
    assert torch.linalg.matrix_rank(q.cov_factor[0]) == 2


def test_the_density_is_that_of_torch() -> None:
    q = normals()["low_rank"]
    z = q.sample((3,))
    torch.testing.assert_close(q.log_prob(z), normal_of(q).log_prob(z))


def test_small_scales_stay_invertible_in_single_precision() -> None:
    family = LowRank(7, 4, rank=3)
    with torch.no_grad():
        family.head.bias -= 100
        family.factor.weight *= 10
    q = family(FEATURES.float())
    assert q.log_prob(q.rsample()).isfinite().all()


@pytest.mark.parametrize("name", ["full_rank", "low_rank"])
def test_the_density_of_a_draw_survives_a_nearly_singular_covariance(name: str) -> None:
    """As for rows far from the data: in float32, L⁻¹ would turn rounding into 10⁸ nats."""
    torch.manual_seed(1)
    family = {"full_rank": FullRank(7, 8), "low_rank": LowRank(7, 8, rank=2)}[name]
    with torch.no_grad():
        for layer in ("diagonal", "head"):
            if hasattr(family, layer):
                getattr(family, layer).bias -= 5
        for layer in ("lower", "factor"):
            if hasattr(family, layer):
                getattr(family, layer).weight *= 8
    q = family(FEATURES.float())
    with torch.no_grad():
        z = q.sample((500,))
        draws = q.log_prob(z)
        exact = -q.entropy()
    error = draws.std(0) / 500**0.5
    assert ((draws.mean(0) - exact).abs() < 5 * error).all()
    assert (
        error < 2 / 8**0.5
    ).all()  # ½ χ² of eight dimensions, from which any rounding would stand out


def test_the_density_of_a_draw_has_the_gradient_of_torch() -> None:
    torch.manual_seed(0)
    family = FullRank(7, 4).double()
    q = family(FEATURES)
    z = q.rsample((3,))
    weight = torch.randn(3, 5, dtype=torch.float64)
    parameters = list(family.parameters())
    expected, got = (
        torch.autograd.grad(
            (weight * p.log_prob(z)).sum(),
            parameters,
            retain_graph=True,
            materialize_grads=True,
        )
        for p in (normal_of(q), q)
    )
    torch.testing.assert_close(got, expected)
