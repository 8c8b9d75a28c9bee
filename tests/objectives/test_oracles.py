"""The ELBO where every answer is known: probabilistic PCA with right and with wrong guides."""

import math
from collections.abc import Callable

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal, kl_divergence

from pyro_vae import ELBO, VAE
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.objectives import Terms, analytic_kl

SIGMAS = 5  # a mean of draws may miss its exact value by this many standard errors
ROWS = 4
COPIES = 5000
KLS = "analytic", "monte_carlo"
truth = LinearGaussian.random(data_dim=5, latent_dim=2, sigma=0.5, seed=0)


class Wrong(nn.Module):
    """q(z | x): the exact posterior, moved by `shift`, its standard deviations times `widen`."""

    def __init__(self, widen: float, shift: float) -> None:
        super().__init__()
        self.widen = widen
        self.shift = shift

    def forward(self, x: Tensor) -> Distribution:
        exact = truth.posterior(x, self.widen)
        return dist.MultivariateNormal(
            exact.loc + self.shift, scale_tril=exact.scale_tril
        )


class Independent(Wrong):
    """The same with independent dimensions, the guide of the VAE."""

    def forward(self, x: Tensor) -> Distribution:
        q = super().forward(x)
        return dist.Normal(q.loc, q.stddev).to_event(1)


GUIDES: dict[str, Callable[[], nn.Module]] = {
    "exact": lambda: Wrong(1.0, 0.0),
    "wide": lambda: Wrong(2.0, 0.0),
    "narrow": lambda: Wrong(0.4, 0.0),
    "shifted": lambda: Wrong(1.0, 0.3),
    "wide_shifted": lambda: Wrong(1.5, -0.5),
    "independent": lambda: Independent(1.0, 0.0),
    "independent_shifted": lambda: Independent(0.7, 0.2),
}

every_guide = pytest.mark.parametrize("guide", GUIDES)
every_kl = pytest.mark.parametrize("kl", KLS)


STANDARD = MultivariateNormal(
    torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64)
)


def as_multivariate(q: Distribution) -> MultivariateNormal:
    return (
        q
        if isinstance(q, MultivariateNormal)
        else MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    )


def gap(vae: VAE, x: Tensor) -> Tensor:
    """KL(q(z | x) ‖ p(z | x)) of each row."""
    return kl_divergence(as_multivariate(vae.posterior(x)), truth.posterior(x))


def expected_log_likelihood(vae: VAE, x: Tensor) -> Tensor:
    """E_q log N(x | W z + b, σ² I) for q = N(m, S).

    -½ [D log 2πσ² + (‖x - W m - b‖² + tr W S Wᵀ) / σ²]
    """
    q = as_multivariate(vae.posterior(x))
    decoder = vae.likelihood.decoder
    residual = x - q.mean @ decoder.weight.T - decoder.bias
    trace = (
        (decoder.weight @ q.covariance_matrix @ decoder.weight.T)
        .diagonal(dim1=-2, dim2=-1)
        .sum(-1)
    )
    variance = truth.sigma**2
    return -0.5 * (
        x.shape[1] * math.log(2 * math.pi * variance)
        + (residual.square().sum(1) + trace) / variance
    )


def draws(objective: ELBO, vae: VAE, x: Tensor, copies: int = COPIES) -> Terms:
    """The terms of independent repetitions, (copies, rows): copies of a row are rows of a batch."""
    torch.manual_seed(0)
    with torch.no_grad():
        terms = objective(vae.model, vae.guide, x.repeat(copies, 1))
    rate, distortion, loss = (
        term.unflatten(0, (copies, len(x)))
        for term in (terms.rate, terms.distortion, terms.loss)
    )
    return Terms(rate, distortion, terms.kl, loss)


def z_scores(draws: Tensor, exact: Tensor) -> Tensor:
    """(mean - exact) in standard errors, plus rounding: the exact posterior has no error at all."""
    return (draws.mean(0) - exact) / (
        draws.std(0) / len(draws) ** 0.5 + 1e-12 * (1 + exact.abs())
    )


# ELBO = log p(x) - KL(q(z | x) ‖ p(z | x)) = E_q log p(x | z) - KL(q(z | x) ‖ p(z))


@every_guide
def test_both_ways_of_writing_the_elbo_agree(guide: str) -> None:
    """Closed forms on both sides."""
    vae = truth.vae(GUIDES[guide]())
    x = truth.sample(ROWS)
    one = truth.marginal().log_prob(x) - gap(vae, x)
    rate = analytic_kl(vae.posterior(x), vae.prior())
    assert rate is not None
    torch.testing.assert_close(
        expected_log_likelihood(vae, x) - rate, one, rtol=0, atol=1e-9
    )


@every_guide
@every_kl
def test_the_elbo_misses_the_evidence_by_the_divergence(guide: str, kl: str) -> None:
    """log p(x) - ELBO = KL(q(z | x) ‖ p(z | x)) ≥ 0, row by row."""
    vae = truth.vae(GUIDES[guide]())
    x = truth.sample(ROWS)
    expected = gap(vae, x).detach()
    assert (
        (expected.abs() < 1e-9).all() if guide == "exact" else (expected > 0.005).all()
    )
    elbo = draws(ELBO(kl=kl), vae, x).elbo
    assert z_scores(truth.marginal().log_prob(x) - elbo, expected).abs().max() < SIGMAS


@every_guide
@every_kl
def test_rate_and_distortion_are_each_exact(guide: str, kl: str) -> None:
    vae = truth.vae(GUIDES[guide]())
    x = truth.sample(ROWS)
    terms = draws(ELBO(kl=kl), vae, x)
    exact_rate = kl_divergence(as_multivariate(vae.posterior(x)), STANDARD)
    assert z_scores(terms.rate, exact_rate).abs().max() < SIGMAS
    assert (
        z_scores(terms.distortion, -expected_log_likelihood(vae, x)).abs().max()
        < SIGMAS
    )


@every_guide
@every_kl
@pytest.mark.parametrize("particles", [1, 8])
def test_no_bound_exceeds_the_evidence(guide: str, kl: str, particles: int) -> None:
    """On average over the draws; and no tighter with more particles, whose mean it is."""
    vae = truth.vae(GUIDES[guide]())
    x = truth.sample(ROWS)
    elbo = draws(ELBO(kl=kl, num_particles=particles), vae, x, COPIES // 2).elbo
    evidence = truth.marginal().log_prob(x)
    assert z_scores(elbo, evidence).max() < SIGMAS
    assert z_scores(elbo, evidence - gap(vae, x)).abs().max() < SIGMAS


@pytest.mark.parametrize("particles", [1, 2, 50])
@pytest.mark.parametrize(
    ("data_dim", "latent_dim", "sigma"), [(5, 2, 0.5), (20, 4, 0.1), (3, 3, 2.0)]
)
def test_with_the_exact_posterior_one_draw_is_the_evidence(
    data_dim: int, latent_dim: int, sigma: float, particles: int
) -> None:
    """log p(x, z) - log p(z | x) = log p(x) for any z, to float64's rounding, 1e-11 of it."""
    model = LinearGaussian.random(data_dim, latent_dim, sigma, seed=1)
    vae = model.vae()
    x = model.sample(200)
    elbo = ELBO(kl="monte_carlo", num_particles=particles)(vae.model, vae.guide, x).elbo
    torch.testing.assert_close(
        elbo, model.marginal().log_prob(x), rtol=1e-11, atol=1e-11
    )


# Gradients


class Linear(nn.Module):
    """q(z | x) = N(A (x - b), S), with A and the root of S as parameters, at first exact."""

    def __init__(self, family: str) -> None:
        super().__init__()
        exact = truth.posterior(torch.eye(5, dtype=torch.float64) + truth.bias)
        self.family = family
        self.gain = nn.Parameter(exact.loc.clone())
        root = exact.scale_tril[0] if family == "full_rank" else exact.stddev[0].log()
        self.root = nn.Parameter(root.clone())

    def forward(self, x: Tensor) -> Distribution:
        loc = (x - truth.bias) @ self.gain
        if self.family == "full_rank":
            return dist.MultivariateNormal(loc, scale_tril=self.root.tril())
        return dist.Normal(loc, self.root.exp()).to_event(1)


def wrong(guide: Linear) -> Linear:
    with torch.no_grad():
        guide.gain.mul_(0.8).add_(0.05)
        guide.root.mul_(1.3)
    return guide


def gradient(value: Tensor, vae: VAE) -> Tensor:
    """The gradient in all parameters of the VAE, as one vector."""
    parts = torch.autograd.grad(
        value, list(vae.parameters()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([part.flatten() for part in parts])


def repeated_gradients(
    objective: ELBO, vae: VAE, x: Tensor, repetitions: int, copies: int
) -> Tensor:
    """Independent estimates of the gradient of the mean ELBO, (repetitions, parameters)."""
    torch.manual_seed(0)
    batch = x.repeat(copies, 1)
    return torch.stack(
        [
            gradient(objective(vae.model, vae.guide, batch).elbo.mean(), vae)
            for _ in range(repetitions)
        ]
    )


@every_kl
@pytest.mark.parametrize("family", ["full_rank", "mean_field"])
def test_the_gradient_is_that_of_the_exact_elbo(family: str, kl: str) -> None:
    """In every parameter of decoder and guide, against autograd through the closed form."""
    vae = truth.vae(wrong(Linear(family)))
    x = truth.sample(ROWS)
    rate = kl_divergence(as_multivariate(vae.posterior(x)), STANDARD)
    exact = gradient((expected_log_likelihood(vae, x) - rate).mean(), vae)
    found = repeated_gradients(ELBO(kl=kl), vae, x, repetitions=100, copies=200)
    assert z_scores(found, exact).abs().max() < SIGMAS
    assert found.std(0).norm() / 100**0.5 < 0.01 * exact.norm()


@every_kl
def test_with_the_exact_posterior_the_gradient_is_that_of_the_evidence(kl: str) -> None:
    """Zero for the guide, which is at its optimum, and d log p(x) / dθ for the decoder."""
    vae = truth.vae(Linear("full_rank"))
    x = truth.sample(ROWS)
    decoder = vae.likelihood.decoder
    covariance = decoder.weight @ decoder.weight.T + truth.sigma**2 * torch.eye(
        5, dtype=torch.float64
    )
    exact = gradient(
        MultivariateNormal(decoder.bias, covariance).log_prob(x).mean(), vae
    )
    assert exact.count_nonzero() == decoder.weight.numel() + decoder.bias.numel()
    found = repeated_gradients(ELBO(kl=kl), vae, x, repetitions=100, copies=200)
    assert z_scores(found, exact).abs().max() < SIGMAS


class Learned(nn.Module):
    """A normal prior with parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.tensor([0.5, -1.0]))
        self.log_scale = nn.Parameter(torch.tensor([0.3, -0.2]))

    def forward(self) -> Distribution:
        return dist.Normal(self.loc, self.log_scale.exp()).to_event(1)


class LearnedMultivariate(nn.Module):
    """A correlated normal prior with parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.tensor([0.5, -1.0]))
        self.root = nn.Parameter(torch.tensor([[1.2, 0.0], [0.7, 0.6]]))

    def forward(self) -> Distribution:
        return dist.MultivariateNormal(self.loc, scale_tril=self.root.tril())


def correlated() -> Distribution:
    return dist.MultivariateNormal(
        torch.tensor([1.0, 0.0]), torch.tensor([[2.0, 0.9], [0.9, 1.0]])
    )


PRIORS = {
    "standard_normal": lambda: "standard_normal",
    "normal": lambda: dist.Normal(
        torch.tensor([1.0, -0.5]), torch.tensor([0.5, 2.0])
    ).to_event(1),
    "multivariate_normal": correlated,
    "learned_normal": Learned,
    "learned_multivariate_normal": LearnedMultivariate,
}


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["mean_field", "full_rank"])
@pytest.mark.parametrize("prior", PRIORS)
def test_both_estimators_have_one_value_and_one_gradient(
    prior: str, guide: str
) -> None:
    """With the same draws they differ by the two KLs only, which is zero on average."""
    vae = VAE(
        data_shape=(5,),
        latent_dim=2,
        prior=PRIORS[prior](),
        guide=guide,
        hidden_dims=(6,),
    ).double()
    x = truth.sample(ROWS)
    closed, sampled = (draws(ELBO(kl=kl), vae, x) for kl in KLS)
    assert z_scores(sampled.rate, closed.rate[0]).abs().max() < SIGMAS
    assert torch.equal(sampled.distortion, closed.distortion)
    first, second = (
        repeated_gradients(ELBO(kl=kl, num_particles=50), vae, x, 60, 10) for kl in KLS
    )
    assert z_scores(second - first, torch.zeros(first.shape[1])).abs().max() < SIGMAS
    assert (second - first).std(0).norm() / 60**0.5 < 0.02 * first.mean(0).norm()
