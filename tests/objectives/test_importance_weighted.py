"""IWAE, Rényi, the gradient estimators and free bits, against brute force and closed forms."""

import math

import pyro
import pytest
import torch
from pyro.infer import RenyiELBO
from torch import Tensor

from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.objectives import ELBO, IWAE, Renyi, traces
from pyro_vae.objectives.base import log_prob_without_score
from pyro_vae.vae import VAE

TRUTH = LinearGaussian.random()
X = TRUTH.sample(6)
ALL = [
    ELBO(num_particles=4),
    ELBO(gradient="stl", num_particles=4),
    *(
        IWAE(num_particles=4, gradient=gradient)
        for gradient in ("plain", "stl", "dreg")
    ),
    Renyi(alpha=0.5, num_particles=4),
    Renyi(alpha=2.0, num_particles=4),
]


def small_vae() -> VAE:
    likelihood = {"kind": "normal", "scale": TRUTH.sigma}
    return VAE(
        data_shape=(5,), latent_dim=2, likelihood=likelihood, hidden_dims=(4,)
    ).double()


def log_weights(vae: VAE, particles: int, seed: int) -> Tensor:
    """log p(x, z) - log q(z | x), written out, with the objective's draws of the same seed."""
    torch.manual_seed(seed)
    q = vae.posterior(X)
    z = q.rsample((particles,))
    return vae.prior().log_prob(z) + vae.likelihood(z).log_prob(X) - q.log_prob(z)


def gradient(vae: VAE, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss.mean(), list(vae.parameters()))
    return torch.cat([part.flatten() for part in found])


def gradients(vae: VAE, objective, seeds: int) -> Tensor:
    drawn = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        drawn.append(gradient(vae, objective(vae.model, vae.guide, X).loss))
    return torch.stack(drawn)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 2.0])
def test_the_bound_and_its_gradient_are_brute_force(alpha):
    vae = small_vae()
    log_w = log_weights(vae, 5, seed=3)
    bound = (((1 - alpha) * log_w).exp().mean(0)).log() / (1 - alpha)
    torch.manual_seed(3)
    terms = Renyi(alpha=alpha, num_particles=5)(vae.model, vae.guide, X)
    torch.testing.assert_close(-terms.loss, bound, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(terms.elbo, log_w.mean(0), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        gradient(vae, terms.loss), gradient(vae, -bound), rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_renyi_is_pyros_where_pyros_is_right(alpha):
    """Without a plate scale, one row at a time: Pyro's is the sum of the bounds of the rows."""
    vae = small_vae()
    torch.manual_seed(0)
    ours = Renyi(alpha=alpha, num_particles=3)(vae.model, vae.guide, X).loss.sum()
    torch.manual_seed(0)
    with pyro.settings.context(module_local_params=True):
        theirs = RenyiELBO(
            alpha=alpha, num_particles=3, vectorize_particles=True, max_plate_nesting=1
        ).loss(vae.model, vae.guide, X)
    assert ours.item() == pytest.approx(theirs, rel=1e-9)


def slowly(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reference", "estimator"),
    [
        (ELBO(kl="monte_carlo"), ELBO(gradient="stl")),
        (
            IWAE(num_particles=4, gradient="plain"),
            IWAE(num_particles=4, gradient="dreg"),
        ),
        slowly(ELBO(kl="monte_carlo"), ELBO(kl="analytic")),
        slowly(IWAE(num_particles=1, gradient="plain"), ELBO(kl="monte_carlo")),
        slowly(IWAE(num_particles=1, gradient="dreg"), ELBO(kl="monte_carlo")),
    ],
)
def test_gradient_estimators_agree_in_the_mean(reference, estimator):
    """Within 4.5 standard errors in each of the 79 parameters, over 600 independent gradients."""
    vae = small_vae()
    one, other = (
        gradients(vae, objective, 600) for objective in (reference, estimator)
    )
    error = ((one.var(0) + other.var(0)) / 600).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() <= 4.5 * error + 1e-9).all()


@pytest.mark.slow
def test_sticking_the_landing_biases_the_iwae():
    """So "dreg" is its default; and the comparison above is able to fail."""
    vae = small_vae()
    one, other = (
        gradients(vae, IWAE(num_particles=4, gradient=how), 600)
        for how in ("plain", "stl")
    )
    error = ((one.var(0) + other.var(0)) / 600).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() > 8 * error).any()


class OwnGuide(torch.nn.Module):
    """The exact posterior, reached through parameters: a linear map and a covariance."""

    def __init__(self) -> None:
        super().__init__()
        q = TRUTH.posterior(torch.cat([torch.zeros(1, 5), torch.eye(5)]).double())
        self.bias = torch.nn.Parameter(q.loc[0].clone())
        self.weight = torch.nn.Parameter((q.loc[1:] - q.loc[0]).clone())
        self.tril = torch.nn.Parameter(q.scale_tril[0].clone())

    def forward(self, x: Tensor) -> torch.distributions.Distribution:
        return pyro.distributions.MultivariateNormal(
            x.double() @ self.weight + self.bias, scale_tril=self.tril.tril()
        )


@pytest.mark.parametrize(
    "objective",
    [
        ELBO(gradient="stl"),
        IWAE(num_particles=4),
        IWAE(num_particles=4, gradient="stl"),
    ],
)
def test_the_guides_gradient_has_no_noise_at_the_exact_posterior(objective):
    vae = TRUTH.vae(guide=OwnGuide())
    loss = objective(vae.model, vae.guide, X).loss.mean()
    for found in torch.autograd.grad(loss, list(vae.guide.parameters())):
        assert found.abs().max() < 1e-12


@pytest.mark.parametrize("objective", ALL)
def test_the_plain_elbo_is_reported_and_no_bound_exceeds_the_evidence(objective):
    vae = TRUTH.vae(widen=1.4)
    exact = TRUTH.marginal().log_prob(X)
    rows = 400
    torch.manual_seed(1)
    terms = objective(vae.model, vae.guide, X.repeat_interleave(rows, 0))
    bounds = (-terms.loss).unflatten(0, (6, rows))
    elbos = terms.elbo.unflatten(0, (6, rows))
    assert (bounds.mean(1) <= exact + 4 * bounds.std(1) / math.sqrt(rows)).all()
    gap = exact - elbos.mean(1)
    known = torch.distributions.kl_divergence(
        TRUTH.posterior(X, widen=1.4), TRUTH.posterior(X)
    )
    assert ((gap - known).abs() <= 4 * elbos.std(1) / math.sqrt(rows)).all()


def test_more_particles_tighten_the_iwae():
    vae = TRUTH.vae(widen=1.6)
    torch.manual_seed(0)
    many = X.repeat_interleave(500, 0)
    means = [
        -IWAE(num_particles=k)(vae.model, vae.guide, many).loss.mean().item()
        for k in (1, 5, 50)
    ]
    assert means[0] < means[1] < means[2] < TRUTH.marginal().log_prob(X).mean() + 0.05


def test_free_bits_are_the_formula():
    vae = small_vae()
    terms = ELBO(free_bits=0.7)(vae.model, vae.guide, X)
    q = vae.posterior(X).base_dist
    each = 0.5 * (q.scale.square() + q.loc.square() - 1 - 2 * q.scale.log()).mean(0)
    expected = terms.distortion.mean() + torch.clamp(each, min=0.7).sum()
    torch.testing.assert_close(terms.loss.mean(), expected)
    torch.testing.assert_close(terms.rate.mean(), each.sum())


def test_free_bits_stop_the_gradient_of_an_empty_dimension():
    vae = small_vae()
    bounded = ELBO(free_bits=50.0)(vae.model, vae.guide, X)
    torch.manual_seed(0)
    with_bits = gradient(vae, ELBO(free_bits=50.0)(vae.model, vae.guide, X).loss)
    torch.manual_seed(0)
    reconstruction = gradient(vae, ELBO()(vae.model, vae.guide, X, beta=0.0).loss)
    torch.testing.assert_close(with_bits, reconstruction)
    assert bounded.loss.mean() > 100


def test_a_rate_weight_changes_the_loss_and_not_the_elbo():
    vae = small_vae()
    torch.manual_seed(0)
    plain = ELBO()(vae.model, vae.guide, X)
    torch.manual_seed(0)
    weighted = ELBO()(vae.model, vae.guide, X, beta=0.25)
    torch.testing.assert_close(weighted.elbo, plain.elbo)
    torch.testing.assert_close(weighted.loss, plain.distortion + 0.25 * plain.rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Renyi(alpha=1.0), "objective 'elbo'"),
        (lambda: Renyi(alpha=-0.5), "at least 0"),
        (lambda: Renyi(alpha=0.5, gradient="dreg"), "alpha = 0"),
        (lambda: IWAE(num_particles=0), "at least 1"),
        (lambda: ELBO(gradient="stl", kl="analytic"), "log q at the draws"),
        (lambda: ELBO(gradient="stl", free_bits=1.0), "no free_bits"),
    ],
)
def test_options_that_exclude_each_other_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_importance_weights_take_no_beta():
    vae = small_vae()
    with pytest.raises(ValueError, match="no β"):
        IWAE(num_particles=2)(vae.model, vae.guide, X, beta=0.5)


def test_free_bits_need_independent_dimensions():
    vae = VAE(data_shape=(5,), latent_dim=2, guide="full_rank")
    with pytest.raises(ValueError, match="each latent dimension"):
        ELBO(free_bits=0.5)(vae.model, vae.guide, X.float())


@pytest.mark.parametrize(
    "guide", ["flow", {"kind": "hierarchical", "top_dim": 1}, "low_rank"]
)
def test_guides_that_evaluate_their_parameters_late_are_without_bias_too(guide):
    """A flow computes its density after the guide has returned, also with constant parameters."""
    torch.manual_seed(0)
    vae = VAE(
        data_shape=(5,),
        latent_dim=2,
        likelihood={"kind": "normal", "scale": 0.5},
        guide=guide,
        hidden_dims=(4,),
    )
    vae = vae.double()
    site = traces(vae.model, vae.guide, X, 1)[1].nodes["z"]
    weights = list(vae.guide.parameters())
    point = site["value"].detach().requires_grad_()
    (slope,) = torch.autograd.grad(
        site["fn"].log_prob(point).sum(), point, retain_graph=True
    )
    expected = torch.autograd.grad(
        site["value"], weights, slope, retain_graph=True, materialize_grads=True
    )
    found = torch.autograd.grad(
        log_prob_without_score(site).sum(), weights, materialize_grads=True
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        (
            ELBO(kl="monte_carlo", num_particles=2),
            ELBO(gradient="stl", num_particles=2),
        ),
        (
            IWAE(num_particles=3, gradient="plain"),
            IWAE(num_particles=3, gradient="dreg"),
        ),
    ],
)
def test_a_noisy_encoder_is_scored_under_the_noise_that_it_drew_with(plain, other):
    """A second call of the guide would have other noise: the density would be that of another q."""
    vae = VAE(data_shape=(5,), latent_dim=2, denoise=2.0, hidden_dims=(4,)).double()
    terms = []
    for objective in (plain, other):
        torch.manual_seed(0)
        terms.append(objective(vae.model, vae.guide, X))
    torch.testing.assert_close(terms[0].loss, terms[1].loss, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("objective", [ELBO(gradient="stl"), IWAE(num_particles=2)])
def test_estimators_without_the_score_need_one_latent_site(objective):
    def model(x):
        with pyro.plate("data", len(x)):
            a = pyro.sample("a", pyro.distributions.Normal(torch.zeros(len(x)), 1.0))
            b = pyro.sample("b", pyro.distributions.Normal(a, 1.0))
            pyro.sample("x", pyro.distributions.Normal(b, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            a = pyro.sample("a", pyro.distributions.Normal(x, 1.0))
            pyro.sample("b", pyro.distributions.Normal(a, 1.0))

    with pytest.raises(ValueError, match="one latent site"):
        objective(model, guide, X[:, 0])
