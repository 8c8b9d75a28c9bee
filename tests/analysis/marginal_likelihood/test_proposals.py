"""Proposals other than the guide: their densities, and log p(x) under each against what is known
from outside.
"""

from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import AffineTransform, Distribution, TransformedDistribution

from pyro_vae import VAE
from pyro_vae.analysis.marginal_likelihood.importance_sampling import evidence
from pyro_vae.analysis.marginal_likelihood.proposals import (
    PROPOSALS,
    Widened,
    proposal_of,
)
from pyro_vae.analysis.marginal_likelihood.refinement import fit_normal
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.guides import GUIDES
from pyro_vae.guides.pushforward import Pushforward
from tests.quadrature import SIGMAS, real_grid
from tests.random_bits import all_bits, bernoulli_vae, by_quadrature

TRUTH = LinearGaussian.random()
X = TRUTH.sample(200, seed=1)
EXACT = TRUTH.marginal().log_prob(X).numpy()


def own(vae: VAE, rows: Tensor) -> Distribution:
    """A user's proposal: heavy tails around zero."""
    return dist.StudentT(torch.full((len(rows), 2), 5.0).double()).to_event(1)


CASES: dict[str, Any] = {
    **{kind: kind for kind in PROPOSALS},
    "mostly the prior": {"kind": "defensive", "weight": 0.9},
    "narrowed": {"kind": "widened", "factor": 0.9},
    "refined, diagonal start": {"kind": "refined", "steps": 5, "df": 4, "factor": 1.2},
    "own": own,
}


# Densities


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("guide", ["full_rank", "flow"])
def test_the_density_is_that_of_the_draws(name: str, guide: str) -> None:
    """It integrates to one, and its integrals of z and z² are the means of draws."""
    vae = VAE(data_shape=(4,), latent_dim=2, guide=guide, seed=3).double().eval()
    rows = torch.tensor([[0.5, -1.0, 2.0, 0.0]]).double()
    with torch.no_grad():
        q = proposal_of(CASES[name])(vae, rows)
        torch.manual_seed(0)
        z = q.sample((20_000,))
        middle = z[:, 0].median(0).values
        spread = (z[:, 0].quantile(0.8, 0) - z[:, 0].quantile(0.2, 0)) / 1.7
        grid = real_grid(middle, spread, reach=6.0, size=201)
        mass = q.log_prob(grid.points.unsqueeze(1)).squeeze(1).exp() * grid.weights
    assert z.shape == (20_000, 1, 2)
    assert q.log_prob(z).shape == (20_000, 1)
    assert abs(float(mass.sum()) - 1) < 1e-3
    for f in (torch.tanh, torch.cos):
        values = f(z[:, 0])
        expected = mass @ f(grid.points)
        assert (
            (values.mean(0) - expected).abs() < SIGMAS * values.std(0) / 141 + 1e-3
        ).all()


@pytest.mark.parametrize("guide", ["mean_field", "full_rank", "flow"])
def test_widened_has_wider_draws_about_the_same_mean(guide: str) -> None:
    vae = VAE(data_shape=(4,), latent_dim=2, guide=guide, seed=3).double().eval()
    rows = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        torch.manual_seed(0)
        narrow = vae.posterior(rows).sample((5000,))
        torch.manual_seed(0)
        wide = Widened(factor=1.5)(vae, rows).sample((5000,))
    np.testing.assert_allclose(wide.std(0), 1.5 * narrow.std(0), rtol=1e-9)
    assert ((wide.mean(0) - narrow.mean(0)).abs() < 0.05).all()


def test_refined_is_a_student_t_about_the_fit() -> None:
    vae = TRUTH.vae(widen=0.5)
    loc, tril = fit_normal(vae, X[:2], steps=3, lr=0.05, num_particles=4)
    options = {
        "steps": 3,
        "lr": 0.05,
        "num_particles": 4,
        "df": 7,
        "factor": 1.5,
        "weight": 1e-12,
    }
    q = proposal_of({"kind": "refined", **options})(vae, X[:2])
    expected = dist.MultivariateStudentT(torch.tensor(7.0).double(), loc, 1.5 * tril)
    z = torch.randn(10, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    np.testing.assert_allclose(q.log_prob(z), expected.log_prob(z), rtol=1e-9)


def test_defensive_draws_its_share_from_the_prior() -> None:
    far = dist.Normal(torch.full((2,), 50.0), 1.0).to_event(1)
    vae = VAE(data_shape=(4,), latent_dim=2, guide=far)
    with torch.no_grad():
        z = proposal_of({"kind": "defensive", "weight": 0.3})(
            vae, torch.zeros(2, 4)
        ).sample((20_000,))
    assert ((z < 25).all(-1).float().mean(0) - 0.3).abs().max() < 5 * (
        0.21 / 20_000
    ) ** 0.5
    assert (
        (z < 25).all(-1) == (z < 25).any(-1)
    ).all()  # whole vectors, not single numbers


# log p(x)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_quadrature(name: str) -> None:
    vae = bernoulli_vae(2, features=6)
    x = all_bits(6)
    expected = by_quadrature(vae, x, 2)
    found = evidence(vae, x, num_particles=1000, proposal=CASES[name])
    errors = (found.log_marginal - expected) / found.se
    assert (
        np.abs(errors) < 3
    ).mean() >= 0.95  # 99.7 % of normal errors; 7 sd below of 64 rows
    assert abs(errors.mean()) < 4 / np.sqrt(64)
    total = np.exp(found.log_marginal).sum()
    error = np.linalg.norm(np.exp(found.log_marginal) * found.se)
    assert abs(total - 1) < 4 * error
    assert error < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("name", ["defensive", "widened", "refined"])
def test_agrees_with_the_exact_answer(name: str) -> None:
    found = evidence(TRUTH.vae(widen=1.1), X, num_particles=250, proposal=name)
    errors = np.abs(found.log_marginal - EXACT) / found.se
    assert (errors < 3).mean() >= 0.98
    assert 0.90 <= (errors < 2).mean() <= 0.99


@pytest.mark.parametrize(
    ("name", "limit"), [({"kind": "widened", "factor": 2.5}, 0.7), ("refined", 0.6)]
)
def test_better_proposals_mend_a_narrow_guide(name: Any, limit: float) -> None:
    vae = TRUTH.vae(widen=0.4)
    plain, better = (
        evidence(vae, X[:50], num_particles=1000, proposal=kind)
        for kind in ("guide", name)
    )
    assert (plain.pareto_k > limit).mean() > 0.5
    assert (better.pareto_k > limit).mean() < 0.2
    errors = np.abs(better.log_marginal - EXACT[:50])
    assert errors.mean() < np.abs(plain.log_marginal - EXACT[:50]).mean() / 2


@pytest.mark.parametrize("kind", ["defensive", "refined"])
def test_weights_of_a_mixture_are_bounded(kind: str) -> None:
    """By p(x, z) / a p₁(z), with p₁ the prior or the guide, wherever z is."""
    vae = TRUTH.vae(widen=0.3)
    a = 0.25
    with torch.no_grad():
        prior = vae.prior()
        guide = vae.posterior(X[:5])
        q = proposal_of({"kind": kind, "weight": a})(vae, X[:5])
        z = (
            3
            * torch.randn(
                2000, 5, 2, generator=torch.Generator().manual_seed(0)
            ).double()
        )
        bound = (prior if kind == "defensive" else guide).log_prob(z)
        assert (q.log_prob(z) >= bound + np.log(a) - 1e-12).all()
        assert kind == "refined" or (q.log_prob(z) < bound + np.log(a) + 1e-3).any()


# The local fit


def test_the_fit_finds_a_normal_posterior() -> None:
    """Steps of 0.2 shrink any error by 0.8 each, and the fixed noise has the covariance of its
    distribution.
    """
    exact = TRUTH.posterior(X[:20])
    for start in (TRUTH.vae(widen=0.3), TRUTH.vae(guide="mean_field")):
        loc, tril = fit_normal(start, X[:20], steps=150, lr=0.2)
        np.testing.assert_allclose(loc, exact.loc, atol=1e-6)
        np.testing.assert_allclose(tril, exact.scale_tril, atol=1e-6)


def test_the_exact_posterior_stays_where_it_is() -> None:
    exact = TRUTH.posterior(X[:20])
    loc, tril = fit_normal(TRUTH.vae(), X[:20], steps=10, num_particles=2)
    np.testing.assert_allclose(loc, exact.loc, atol=1e-12)
    np.testing.assert_allclose(tril, exact.scale_tril, atol=1e-12)


def test_the_fit_raises_the_elbo_of_every_row() -> None:
    vae = bernoulli_vae(2)
    x = all_bits(7)
    loc, tril = fit_normal(vae, x)

    def elbo(q: Distribution) -> Tensor:
        torch.manual_seed(0)
        z = q.sample((2000,))
        with torch.no_grad():
            return (
                vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x) - q.log_prob(z)
            ).mean(0)

    gain = elbo(dist.MultivariateNormal(loc, scale_tril=tril)) - elbo(
        vae.posterior(x).expand((len(x),))
    )
    assert (gain > 0.1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fit_of_a_row_does_not_depend_on_its_batch(dtype: torch.dtype) -> None:
    vae = (
        VAE(
            data_shape=(7,),
            latent_dim=3,
            likelihood="bernoulli",
            hidden_dims=(16,),
            seed=1,
        )
        .to(dtype)
        .eval()
    )
    x = all_bits(7).to(dtype)
    together = fit_normal(vae, x)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    for row in (0, 50, 127):
        alone = fit_normal(vae, x[row : row + 1])
        for one, all_rows in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_rows[row], atol=tolerance)


@pytest.mark.parametrize("guide", sorted(set(GUIDES) - {"delta"}))
@pytest.mark.parametrize("kind", ["defensive", "widened", "refined"])
def test_every_guide_makes_every_proposal(guide: str, kind: str) -> None:
    options = {"kind": guide, "top_dim": 1} if guide == "hierarchical" else guide
    prior = (
        {"kind": "vamp", "pseudo_inputs": 3}
        if guide == "mean_field"
        else "standard_normal"
    )
    vae = VAE(
        data_shape=(4,), latent_dim=3, guide=options, prior=prior, hidden_dims=(8,)
    )
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    found = evidence(
        vae,
        torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
        num_particles=40,
        proposal=kind,
    )
    assert np.isfinite(found.log_marginal).all()
    assert all(
        torch.equal(value, before[name]) for name, value in vae.state_dict().items()
    )
    assert all(parameter.grad is None for parameter in vae.parameters())


@pytest.mark.parametrize("proposal", ["guide", "widened"])
@pytest.mark.parametrize("draws", [10, 600])
def test_a_flow_is_never_inverted(
    proposal: str, draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inverted(self: Pushforward, z: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("the density of the last draw is known")

    vae = VAE(data_shape=(4,), latent_dim=3, guide="flow", hidden_dims=(8,))
    monkeypatch.setattr("pyro_vae.guides.flow.Flowed.pull", inverted)
    evidence(vae, torch.zeros(2, 4), num_particles=draws, proposal=proposal)
    with pytest.raises(AssertionError):
        evidence(vae, torch.zeros(2, 4), num_particles=draws, proposal="defensive")


# What is refused


class Meanless(nn.Module):
    """A guide without a mean."""

    def forward(self, x: Tensor) -> Distribution:
        return TransformedDistribution(
            dist.Normal(x[:, :2], 1.0).to_event(1),
            [AffineTransform(0.0, 2.0, event_dim=1)],
        )


class Positive(nn.Module):
    """A guide over positive numbers."""

    def forward(self, x: Tensor) -> Distribution:
        return dist.LogNormal(x[:, :2], 1.0).to_event(1)


class Cauchy(nn.Module):
    """A guide whose mean is not a number."""

    def forward(self, x: Tensor) -> Distribution:
        return dist.StudentT(1.0, x[:, :2], 1.0).to_event(1)


@pytest.mark.parametrize(
    ("proposal", "message"),
    [
        ("widend", "unknown proposal 'widend'; allowed: .* did you mean 'widened'"),
        ({"kind": "widened", "scale": 2}, "scale"),
        ({"kind": "widened", "factor": 0}, "greater than 0"),
        ({"kind": "defensive", "weight": 1}, "less than 1"),
        ({"kind": "refined", "num_particles": 3}, "multiple of 2"),
        ({"kind": "custom", "type": "x"}, "pass the function"),
        (lambda vae, rows: rows, "proposal: expected a Distribution .* got Tensor"),
        (
            lambda vae, rows: dist.Normal(torch.zeros(1, 2), 1.0),
            r"got \(\(1, 2\), \(\)\) .*to_event\(1\)",
        ),
        (
            lambda vae, rows: dist.Normal(torch.zeros(2), 1.0).to_event(1),
            r"expected .* \(\(1,\), \(2,\)\), got \(\(\),",
        ),
    ],
)
def test_bad_proposals_are_refused(proposal: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evidence(TRUTH.vae(), X[:2], num_particles=30, proposal=proposal)


@pytest.mark.parametrize("kind", ["widened", "refined"])
def test_a_guide_without_a_formula_for_its_mean_is_widened_by_an_estimate(
    kind: str,
) -> None:
    """z ~ N(0, I), x ~ N((z, -z), I), and a guide around the posterior that is wider than it."""

    def likelihood(z: Tensor) -> Distribution:
        return dist.Normal(torch.cat([z, -z], -1), 1.0).to_event(1)

    def guide(x: Tensor) -> Distribution:
        half = dist.Normal((x[:, :2] - x[:, 2:]) / 6, 0.4).to_event(1)
        return TransformedDistribution(half, [AffineTransform(0.0, 2.0, event_dim=1)])

    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.cat([torch.eye(2), -torch.eye(2)])
    exact = (
        dist.MultivariateNormal(torch.zeros(4), torch.eye(4) + weight @ weight.T)
        .log_prob(x)
        .numpy()
    )
    vae = VAE(data_shape=(4,), latent_dim=2, likelihood=likelihood, guide=guide)
    found = evidence(vae, x, num_particles=2000, proposal=kind)
    assert (np.abs(found.log_marginal - exact) < 4 * found.se + 1e-4).all()


@pytest.mark.parametrize("guide", [Cauchy(), Positive()])
@pytest.mark.parametrize("kind", ["widened", "refined"])
def test_a_guide_that_cannot_be_widened_is_refused(guide: nn.Module, kind: str) -> None:
    prior = (
        dist.LogNormal(torch.zeros(2), 1.0).to_event(1)
        if isinstance(guide, Positive)
        else "standard_normal"
    )
    vae = VAE(data_shape=(5,), latent_dim=2, prior=prior, guide=guide)
    with pytest.raises(
        ValueError,
        match=r"proposal: expected a guide over all real vectors .* take proposal 'guide'",
    ):
        evidence(vae, X[:2], num_particles=30, proposal=kind)
    assert np.isfinite(
        evidence(vae, X[:2], num_particles=30, proposal="defensive").log_marginal
    ).all()
