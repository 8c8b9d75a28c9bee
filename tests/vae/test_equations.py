"""The equations of the variational autoencoder, each one a test against a number from outside."""

import math
from collections.abc import Callable

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from pyro_vae import ELBO, VAE
from pyro_vae.guides import FullRank, MeanField
from pyro_vae.objectives import Terms, analytic_kl
from pyro_vae.priors import StandardNormal

SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors
ROWS = 4
FEATURES = 7
LATENT = 3
FAMILIES = {"mean_field": MeanField, "full_rank": FullRank}

every_family = pytest.mark.parametrize("family", FAMILIES)


def guide_family(family: str) -> nn.Module:
    """A family in float64 whose heads have random weights."""
    generator = torch.Generator().manual_seed(0)
    module = FAMILIES[family](FEATURES, LATENT).double()
    for parameter in module.parameters():
        parameter.data.copy_(
            0.7 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        )
    return module


def features() -> Tensor:
    return torch.randn(
        ROWS, FEATURES, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


def a_posterior(family: str) -> Distribution:
    return guide_family(family)(features())


def scale_tril(q: Distribution) -> Tensor:
    """L with z = μ + L ε; diagonal for independent normals."""
    return torch.diag_embed(q.stddev) if isinstance(q, Independent) else q.scale_tril


def assert_exact_on_average(draws: Tensor, exact: Tensor) -> None:
    """The mean of independent draws (first dimension) is exact within its standard error."""
    error = (draws.mean(0) - exact).abs() / (draws.std(0) / len(draws) ** 0.5)
    assert error.max() < SIGMAS, f"{error.max():.1f} standard errors off"


# z = μ + σ ε


@every_family
def test_a_draw_is_loc_plus_scale_times_standard_noise(family: str) -> None:
    q = a_posterior(family)
    torch.manual_seed(3)
    z = q.rsample()
    torch.manual_seed(3)
    noise = torch.randn(ROWS, LATENT, dtype=torch.float64)
    torch.testing.assert_close(
        z,
        q.mean + (scale_tril(q) @ noise.unsqueeze(-1)).squeeze(-1),
        rtol=0,
        atol=1e-14,
    )


@every_family
def test_the_draw_carries_the_gradient_to_every_parameter(family: str) -> None:
    """d E f(z) / dθ by backpropagation and by differences, with the same noise."""
    module = guide_family(family)
    inputs = features()
    step = 1e-6

    def mean_of_f() -> Tensor:
        torch.manual_seed(0)
        z = module(inputs).rsample((50,))
        return (z.sin().sum(-1) + z.square().prod(-1)).mean()

    for name, parameter in module.named_parameters():
        (gradient,) = torch.autograd.grad(mean_of_f(), parameter)
        with torch.no_grad():
            numbers = parameter.view(-1)
            for i, slope in enumerate(gradient.view(-1)):
                numbers[i] += step
                above = mean_of_f()
                numbers[i] -= 2 * step
                below = mean_of_f()
                numbers[i] += step
                torch.testing.assert_close(
                    (above - below) / (2 * step),
                    slope,
                    rtol=1e-6,
                    atol=1e-7,
                    msg=lambda m, name=name: f"{name}: {m}",
                )


def test_the_gradient_is_that_of_the_expectation() -> None:
    """For f(z) = z³: d E f / dμ = 3 (μ² + σ²), d E f / dσ = 6 μ σ, on average over draws."""
    q = guide_family("mean_field")(features()[:1].expand(20_000, -1))
    torch.manual_seed(0)
    f = q.rsample().pow(3).sum()
    by_loc, by_scale = torch.autograd.grad(f, (q.base_dist.loc, q.base_dist.scale))
    loc = q.mean[0].detach()
    scale = q.stddev[0].detach()
    assert_exact_on_average(by_loc, 3 * (loc.square() + scale.square()))
    assert_exact_on_average(by_scale, 6 * loc * scale)


# KL(q ‖ p)


def kl_to_standard_normal(q: Distribution) -> Tensor:
    """½ Σ (-log σ² + σ² + μ² - 1), and with a full covariance ½ (tr Σ + μᵀ μ - d - log det Σ)."""
    if isinstance(q, Independent):
        variance = q.base_dist.scale.square()
        return 0.5 * (-variance.log() + variance + q.base_dist.loc.square() - 1).sum(-1)
    covariance = q.scale_tril @ q.scale_tril.mT
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    return 0.5 * (trace + q.loc.square().sum(-1) - LATENT - torch.logdet(covariance))


@every_family
def test_the_closed_form_kl_is_the_formula(family: str) -> None:
    q = a_posterior(family)
    p = StandardNormal(LATENT).double()()
    torch.testing.assert_close(
        analytic_kl(q, p), kl_to_standard_normal(q), rtol=1e-12, atol=1e-12
    )


@every_family
def test_the_rate_of_the_elbo_is_the_formula(family: str) -> None:
    vae = VAE(
        data_shape=(FEATURES,), latent_dim=LATENT, guide=family, hidden_dims=(8,)
    ).double()
    x = features()
    for particles in (1, 3):
        rate = ELBO(kl="analytic", num_particles=particles)(
            vae.model, vae.guide, x
        ).rate
        torch.testing.assert_close(
            rate, kl_to_standard_normal(vae.posterior(x)), rtol=1e-12, atol=1e-12
        )


@every_family
def test_the_closed_form_kl_is_torchs_own(family: str) -> None:
    """Between torch's multivariate normals, a registration that is neither Pyro's nor ours."""
    q = a_posterior(family)
    zero = torch.zeros(ROWS, LATENT, dtype=torch.float64)
    as_torch = MultivariateNormal(q.mean, scale_tril=scale_tril(q))
    standard = MultivariateNormal(zero, torch.eye(LATENT, dtype=torch.float64))
    found = analytic_kl(q, StandardNormal(LATENT).double()())
    torch.testing.assert_close(
        found, kl_divergence(as_torch, standard), rtol=1e-12, atol=1e-12
    )


def test_the_closed_form_kl_is_the_integral() -> None:
    """Σ over the independent dimensions of ∫ q(z) log (q(z) / p(z)) dz by quadrature."""
    q = a_posterior("mean_field")
    locs = q.mean.detach().numpy()
    scales = q.stddev.detach().numpy()

    def kl(loc: float, scale: float) -> float:
        def integrand(z: float) -> float:
            return norm.pdf(z, loc, scale) * (
                norm.logpdf(z, loc, scale) - norm.logpdf(z)
            )

        return quad(
            integrand, loc - 12 * scale, loc + 12 * scale, points=[loc], epsabs=1e-11
        )[0]

    integrals = np.vectorize(kl)(locs, scales).sum(-1)
    found = analytic_kl(q, StandardNormal(LATENT).double()()).detach().numpy()
    np.testing.assert_allclose(found, integrals, rtol=1e-9)


def independent(loc: float, scale: float) -> Distribution:
    spread = torch.linspace(0.5, 1.5, LATENT, dtype=torch.float64)
    return dist.Normal(loc * spread, scale / spread).to_event(1)


def correlated() -> Distribution:
    root = torch.randn(
        LATENT, LATENT, generator=torch.Generator().manual_seed(4), dtype=torch.float64
    )
    return dist.MultivariateNormal(
        root[0], root @ root.T + torch.eye(LATENT, dtype=torch.float64)
    )


PRIORS: dict[str, Callable[[], Distribution]] = {
    "standard_normal": lambda: StandardNormal(LATENT).double()(),
    "normal": lambda: independent(0.5, 2.0),
    "multivariate_normal": correlated,
}


@every_family
@pytest.mark.parametrize("prior", PRIORS)
def test_the_closed_form_kl_is_the_mean_of_log_q_minus_log_p(
    family: str, prior: str
) -> None:
    q = a_posterior(family)
    p = PRIORS[prior]()
    torch.manual_seed(0)
    z = q.sample((20_000,))
    assert_exact_on_average(
        (q.log_prob(z) - p.log_prob(z)).detach(), analytic_kl(q, p).detach()
    )


@pytest.mark.parametrize("prior", PRIORS)
def test_kl_is_zero_at_equality(prior: str) -> None:
    p = PRIORS[prior]()
    covariance = getattr(p, "covariance_matrix", torch.diag(p.variance))
    assert abs(analytic_kl(p, p)) < 1e-12
    assert abs(analytic_kl(dist.MultivariateNormal(p.mean, covariance), p)) < 1e-12


def test_our_registered_kl_takes_only_independent_normals() -> None:
    """A normal against other families, or against a matrix of normals, has no such formula."""
    q = a_posterior("full_rank")
    zero = torch.zeros(LATENT, dtype=torch.float64)
    assert analytic_kl(q, dist.Laplace(zero, 1.0).to_event(1)) is None
    assert analytic_kl(q, Independent(Normal(zero.expand(2, -1), 1.0), 2)) is None


# -ELBO = distortion + rate


@every_family
@pytest.mark.parametrize("kl", ["analytic", "monte_carlo"])
def test_minus_elbo_is_distortion_plus_rate(family: str, kl: str) -> None:
    """Each term by hand from the three modules, at the draw that the objective made."""
    vae = VAE(
        data_shape=(FEATURES,), latent_dim=LATENT, guide=family, hidden_dims=(8,)
    ).double()
    x = features()
    torch.manual_seed(0)
    terms: Terms = ELBO(kl=kl)(vae.model, vae.guide, x)
    torch.manual_seed(0)
    q = vae.posterior(x)
    p = vae.prior()
    z = q.rsample()
    rate = (
        q.log_prob(z) - p.log_prob(z)
        if kl == "monte_carlo"
        else kl_to_standard_normal(q)
    )
    torch.testing.assert_close(terms.rate, rate)
    torch.testing.assert_close(terms.distortion, -vae.likelihood(z).log_prob(x))
    torch.testing.assert_close(-terms.elbo, terms.distortion + terms.rate)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
@pytest.mark.parametrize("data_shape", [(FEATURES,), (2, 3)])
def test_a_fixed_scale_makes_the_distortion_a_squared_error(
    sigma: float, data_shape: tuple[int, ...]
) -> None:
    """Distortion = ‖x - decoder(z)‖² / (2 σ²) + (D / 2) log(2 π σ²), with its constant."""
    likelihood = {"kind": "normal", "scale": sigma}
    vae = VAE(
        data_shape=data_shape,
        latent_dim=LATENT,
        likelihood=likelihood,
        hidden_dims=(8,),
    ).double()
    x = torch.randn(
        ROWS,
        *data_shape,
        generator=torch.Generator().manual_seed(2),
        dtype=torch.float64,
    )
    torch.manual_seed(0)
    distortion = ELBO()(vae.model, vae.guide, x).distortion
    torch.manual_seed(0)
    reconstruction = vae.likelihood.decoder(vae.posterior(x).rsample())
    squared_error = (x - reconstruction).square().flatten(1).sum(1)
    size = math.prod(data_shape)
    expected = squared_error / (2 * sigma**2) + size / 2 * math.log(
        2 * math.pi * sigma**2
    )
    torch.testing.assert_close(distortion, expected, rtol=1e-12, atol=1e-12)
