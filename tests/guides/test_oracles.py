"""Each guide against numbers from outside, computed in NumPy from the module's own weights."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from pyro_vae.guides import Delta, FullRank, MeanField
from pyro_vae.priors import StandardNormal
from tests.quadrature import mass, vector_grid

FEATURES = 5
ROWS = 4
FLOOR = 1e-4
every_dim = pytest.mark.parametrize("latent_dim", [1, 2, 4])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(
        shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def random(family: nn.Module) -> nn.Module:
    family = family.double()
    for i, parameter in enumerate(family.parameters()):
        parameter.data.copy_(0.7 * noise(*parameter.shape, seed=i))
    return family


def features() -> Tensor:
    return noise(ROWS, FEATURES, seed=99)


def linear(layer: nn.Linear, x: Tensor) -> np.ndarray:
    return x.numpy() @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def positive(raw: np.ndarray) -> np.ndarray:
    return FLOOR + np.logaddexp(0, raw)


# Densities


@every_dim
def test_mean_field_is_scipys_normals(latent_dim: int) -> None:
    family = random(MeanField(FEATURES, latent_dim))
    z = noise(10, ROWS, latent_dim)
    head = linear(family.head, features())
    loc = head[:, :latent_dim]
    scale = positive(head[:, latent_dim:])
    found = family(features()).log_prob(z).detach().numpy()
    np.testing.assert_allclose(
        found, stats.norm.logpdf(z.numpy(), loc, scale).sum(-1), rtol=1e-11
    )


def cholesky(family: FullRank) -> np.ndarray:
    """L of each row, from the module's weights: positive on the diagonal, zero above it."""
    diagonal = positive(linear(family.diagonal, features()))
    size = diagonal.shape[1]
    below = np.tril(linear(family.lower, features()).reshape(-1, size, size), -1)
    return below + np.eye(size) * diagonal[:, None]


@every_dim
def test_full_rank_is_scipys_multivariate_normal(latent_dim: int) -> None:
    family = random(FullRank(FEATURES, latent_dim))
    z = noise(10, ROWS, latent_dim)
    loc = linear(family.loc, features())
    root = cholesky(family)
    found = family(features()).log_prob(z).detach().numpy()
    for i in range(ROWS):
        expected = stats.multivariate_normal.logpdf(
            z[:, i].numpy(), loc[i], root[i] @ root[i].T
        )
        np.testing.assert_allclose(found[:, i], expected.reshape(-1), rtol=1e-9)


@every_dim
def test_full_rank_has_the_moments_of_its_cholesky_factor(latent_dim: int) -> None:
    family = random(FullRank(FEATURES, latent_dim))
    q = family(features())
    root = cholesky(family)
    np.testing.assert_allclose(
        q.mean.detach(), linear(family.loc, features()), rtol=1e-12
    )
    np.testing.assert_allclose(
        q.covariance_matrix.detach(), root @ root.transpose(0, 2, 1), rtol=1e-11
    )
    if latent_dim > 1:
        assert abs(np.tril(q.covariance_matrix.detach(), -1)).max() > 0.1


@every_dim
def test_full_rank_with_nothing_below_the_diagonal_is_mean_field(
    latent_dim: int,
) -> None:
    full = random(FullRank(FEATURES, latent_dim))
    independent = random(MeanField(FEATURES, latent_dim))
    full.lower.weight.data.zero_()
    full.lower.bias.data.zero_()
    for name in ("weight", "bias"):
        rows = [getattr(layer, name).data for layer in (full.loc, full.diagonal)]
        getattr(independent.head, name).data.copy_(torch.cat(rows))
    z = noise(10, ROWS, latent_dim)
    torch.testing.assert_close(
        full(features()).log_prob(z), independent(features()).log_prob(z)
    )


@pytest.mark.parametrize("family", [MeanField, FullRank])
def test_a_scale_never_reaches_zero(family: type[nn.Module]) -> None:
    """Where the encoder asks for the smallest spread there is."""
    module = random(family(FEATURES, 2))
    head = module.head if isinstance(module, MeanField) else module.diagonal
    head.bias.data.fill_(-1e3)
    if isinstance(module, FullRank):
        module.lower.weight.data.zero_()
        module.lower.bias.data.zero_()
    q = module(features())
    torch.testing.assert_close(
        q.stddev, torch.full_like(q.stddev, FLOOR), rtol=1e-6, atol=0
    )
    assert q.log_prob(q.rsample()).isfinite().all()


@every_dim
def test_delta_is_its_code(latent_dim: int) -> None:
    family = random(Delta(FEATURES, latent_dim))
    q = family(features())
    code = linear(family.head, features())
    for z in (q.rsample(), q.sample(), q.mean):
        np.testing.assert_allclose(z.detach(), code, rtol=1e-12)
    assert q.log_prob(q.rsample()).tolist() == [0] * ROWS
    assert q.log_prob(q.rsample() + 1e-6).tolist() == [-torch.inf] * ROWS


# KL(N(μ, L Lᵀ) ‖ independent normals), the closed form that full_rank registers


def a_posterior(latent_dim: int) -> Distribution:
    return random(FullRank(FEATURES, latent_dim))(features())


def a_prior(latent_dim: int, rows: tuple[int, ...] = ()) -> Distribution:
    """Independent normals with locations and scales of their own, for all rows or for each."""
    loc = noise(*rows, latent_dim, seed=7)
    scale = 0.3 + noise(*rows, latent_dim, seed=8).exp()
    return dist.Normal(loc, scale).to_event(1)


def as_multivariate(p: Distribution) -> MultivariateNormal:
    return MultivariateNormal(p.mean, torch.diag_embed(p.variance))


@every_dim
@pytest.mark.parametrize("rows", [(), (ROWS,)], ids=["one prior", "a prior each row"])
def test_kl_is_torchs_between_multivariate_normals(
    latent_dim: int, rows: tuple[int, ...]
) -> None:
    q = a_posterior(latent_dim)
    p = a_prior(latent_dim, rows)
    found = kl_divergence(q, p)
    assert found.shape == (ROWS,)
    torch.testing.assert_close(
        found, kl_divergence(q, as_multivariate(p)), rtol=1e-11, atol=1e-11
    )


@every_dim
def test_kl_to_the_standard_normal_is_torchs(latent_dim: int) -> None:
    q = a_posterior(latent_dim)
    p = StandardNormal(latent_dim).double()()
    torch.testing.assert_close(
        kl_divergence(q, p),
        kl_divergence(q, as_multivariate(p)),
        rtol=1e-11,
        atol=1e-11,
    )


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("row", range(ROWS))
def test_kl_is_the_integral(latent_dim: int, row: int) -> None:
    """∫ q(z) (log q(z) - log p(z)) dz, the grid spread over q."""
    q = random(FullRank(FEATURES, latent_dim))(features()[row])
    p = a_prior(latent_dim)
    where = vector_grid(q)
    log_ratio = (q.log_prob(where.points) - p.log_prob(where.points)).detach()
    probabilities = mass(q, where)
    integral = (probabilities * log_ratio)[probabilities > 0].sum()
    torch.testing.assert_close(
        kl_divergence(q, p).detach(), integral, rtol=1e-8, atol=1e-10
    )


@every_dim
def test_kl_is_the_mean_over_draws(latent_dim: int) -> None:
    """Within four standard errors of 20000 draws, for each of the rows."""
    q = a_posterior(latent_dim)
    p = a_prior(latent_dim)
    torch.manual_seed(0)
    z = q.sample((20_000,))
    log_ratio = (q.log_prob(z) - p.log_prob(z)).detach()
    error = (log_ratio.mean(0) - kl_divergence(q, p).detach()).abs()
    assert (error < 4 * log_ratio.std(0) / len(z) ** 0.5).all()


def test_kl_to_itself_is_zero_and_its_gradient_too() -> None:
    p = a_prior(3)
    loc = p.mean.clone().requires_grad_()
    root = torch.diag(p.stddev).requires_grad_()
    kl = kl_divergence(dist.MultivariateNormal(loc, scale_tril=root), p)
    assert abs(float(kl.detach())) < 1e-12
    by_loc, by_root = torch.autograd.grad(kl, (loc, root))
    assert by_loc.abs().max() < 1e-12
    assert by_root.tril().abs().max() < 1e-12


@pytest.mark.parametrize(
    "p",
    [
        dist.Laplace(torch.zeros(2), 1.0).to_event(1),
        dist.Normal(torch.zeros(2, 2), 1.0).to_event(2),
    ],
)
def test_no_closed_form_is_claimed_elsewhere(p: Distribution) -> None:
    with pytest.raises(NotImplementedError):
        kl_divergence(dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), p)
