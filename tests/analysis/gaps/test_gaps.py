"""Inference gaps against the linear-Gaussian model, where both are known in closed form."""

import math
import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    Distribution,
    MultivariateNormal,
    kl_divergence,
)

from pyro_vae import VAE
from pyro_vae.analysis import evidence
from pyro_vae.analysis.gaps.gaps import inference_gaps
from pyro_vae.analysis.gaps.local_family import Rows
from pyro_vae.analysis.gaps.normal_families import FullRankNormals
from pyro_vae.analysis.gaps.results import Gaps
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from tests.quadrature import real_grid

TRUTH = LinearGaussian(
    torch.tensor([[1.0, 0.9], [0.8, 1.0], [0.5, 0.2], [1.0, 1.0], [0.3, 0.4]]).double(),
    torch.zeros(5).double(),
    0.7,
)
ROWS = 20


class Off(nn.Module):
    """The best member of a family for the exact posterior, or of its own one, moved away and made
    too narrow.
    """

    def __init__(
        self,
        kind: str,
        shift: float = 0.3,
        narrow: float = 0.7,
        truth: LinearGaussian = TRUTH,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.shift = shift
        self.narrow = narrow
        self.truth = truth

    def forward(self, x: Tensor) -> Distribution:
        q = self.truth.posterior(x.double())
        loc = q.mean + self.shift
        scale = (
            self.narrow / q.precision_matrix.diagonal(dim1=-2, dim2=-1).sqrt()
        ).expand(loc.shape)
        if self.kind == "mean_field":
            return dist.Normal(loc, scale).to_event(1)
        if self.kind == "full_rank":
            return dist.MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))
        if self.kind == "low_rank":
            return dist.LowRankMultivariateNormal(
                loc, scale.unsqueeze(-1) / 100, scale.square()
            )
        unit = dist.Normal(torch.zeros_like(loc), 1.0)
        return dist.TransformedDistribution(unit, AffineTransform(loc, scale)).to_event(
            1
        )

    def normal(self, x: Tensor) -> MultivariateNormal:
        """What `forward` gives, written as a normal."""
        q: Any = (
            self.forward(x)
            if self.kind != "affine"
            else Off("mean_field", self.shift, self.narrow)(x)
        )
        covariance = (
            q.covariance_matrix
            if hasattr(q, "covariance_matrix")
            else torch.diag_embed(q.variance)
        )
        return MultivariateNormal(q.mean, covariance)


def unreachable(truth: LinearGaussian, x: Tensor) -> float:
    """KL of the best independent normals: ½ (Σ log Λ_ii - log det Λ), Λ the posterior precision."""
    precision = truth.posterior(x[:1]).precision_matrix[0]
    return float(0.5 * (precision.diagonal().log().sum() - torch.logdet(precision)))


def closed_forms(guide: Off, x: Tensor) -> tuple[np.ndarray, float]:
    """The inference gap of each row, KL(q ‖ p(z | x)), and the approximation gap, equal for all."""
    posterior = guide.truth.posterior(x)
    gap = kl_divergence(
        guide.normal(x), MultivariateNormal(posterior.mean, posterior.covariance_matrix)
    )
    return gap.numpy(), unreachable(
        guide.truth, x
    ) if guide.kind == "mean_field" else 0.0


NAMES = {
    "mean_field": "independent normals",
    "full_rank": "normals with a full covariance",
    "low_rank": "normals with a covariance diag + rank 1",
    "affine": "affine maps of the guide's Independent(TransformedDistribution)",
}


@pytest.fixture(scope="module", params=NAMES)
def case(request: pytest.FixtureRequest) -> tuple[Off, Tensor, Gaps]:
    guide = Off(request.param)
    x = TRUTH.sample(ROWS, seed=1)
    return (
        guide,
        x,
        inference_gaps(TRUTH.vae(guide=guide), x, steps=200, num_particles=2000),
    )


# Closed forms


@pytest.mark.slow
def test_gaps_are_their_closed_forms(case: tuple[Off, Tensor, Gaps]) -> None:
    """Within 0.02 nats on the mean of the rows, and within its standard errors on each."""
    guide, x, found = case
    inference, approximation = closed_forms(guide, x)
    assert found.family == NAMES[guide.kind]
    assert approximation > 0.4 or guide.kind != "mean_field"
    assert abs(found.approximation_gap.mean() - approximation) < 0.02
    assert (
        abs(found.amortization_gap.mean() - (inference.mean() - approximation)) < 0.02
    )
    error = np.hypot(found.approximation_gap_se, 0.01)
    assert (np.abs(found.approximation_gap - approximation) < 4 * error).all()
    error = np.hypot(found.amortization_gap_se, 0.01)
    assert (
        np.abs(found.amortization_gap - (inference - approximation)) < 4 * error
    ).all()
    assert inference.mean() > 0.5


def test_evidence_is_exact(case: tuple[Off, Tensor, Gaps]) -> None:
    _, x, found = case
    exact = TRUTH.marginal().log_prob(x).numpy()
    assert (np.abs(found.log_marginal - exact) < 4 * found.log_marginal_se).all()
    assert abs(found.log_marginal.mean() - exact.mean()) < 0.01
    assert (found.log_marginal_se < 0.02).all()
    assert (found.pareto_k < 0.7).all()


def test_gaps_add_up(case: tuple[Off, Tensor, Gaps]) -> None:
    *_, found = case
    np.testing.assert_allclose(
        found.inference_gap,
        found.approximation_gap + found.amortization_gap,
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        found.log_marginal - found.elbo, found.inference_gap, rtol=1e-12
    )


def test_search_has_converged_and_a_full_rank_normal_reaches_everything(
    case: tuple[Off, Tensor, Gaps],
) -> None:
    _, x, found = case
    assert found.converged == 1
    assert (np.abs(found.last_gain) < 0.05).all()
    np.testing.assert_allclose(
        found.elbo_full_rank, TRUTH.marginal().log_prob(x), atol=1e-3
    )


def test_the_exact_posterior_has_no_gaps() -> None:
    x = TRUTH.sample(5)
    found = inference_gaps(TRUTH.vae(), x, steps=20, num_particles=50)
    np.testing.assert_allclose(found.amortization_gap, 0, atol=1e-9)
    np.testing.assert_allclose(found.elbo, TRUTH.marginal().log_prob(x), atol=1e-9)
    np.testing.assert_allclose(
        found.approximation_gap, 0, atol=4 * found.approximation_gap_se.max()
    )
    assert "change the decoder or the prior" in found.reading


@pytest.mark.slow
def test_standard_errors_are_those_of_other_seeds() -> None:
    vae = TRUTH.vae(guide=Off("mean_field"))
    x = TRUTH.sample(4)
    found = [
        inference_gaps(vae, x, steps=100, num_particles=100, seed=seed)
        for seed in range(25)
    ]
    for name in ("log_marginal", "amortization_gap", "approximation_gap"):
        spread = np.std([getattr(one, name) for one in found], axis=0, ddof=1)
        stated = np.mean([getattr(one, f"{name}_se") for one in found], axis=0)
        assert 0.7 < np.mean(spread / stated) < 1.3, (
            name
        )  # 100 draws of 4 rows: known to 7 %


# A model that is not linear


def test_bits_by_quadrature() -> None:
    """log p(x) and the ELBO of the best independent normals of one row, by quadrature and a search
    of scipy's.
    """
    from scipy.optimize import minimize

    vae = VAE(data_shape=(6,), latent_dim=2, likelihood="bernoulli", hidden_dims=(8,))
    generator = torch.Generator().manual_seed(3)
    for parameter in vae.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    vae, x = (
        vae.double().requires_grad_(False),
        torch.tensor([[1.0, 0, 1, 1, 0, 0]]).double(),
    )
    found = inference_gaps(vae, x, steps=200, num_particles=4000)

    def log_joint(z: Tensor) -> Tensor:
        joint: Tensor = vae.prior().log_prob(z) + vae.likelihood(z).log_prob(x)
        return joint

    grid = real_grid(torch.zeros(2), torch.ones(2), reach=2.5, size=201)
    exact = float((log_joint(grid.points).exp() * grid.weights).sum().log())
    nodes, weights = np.polynomial.hermite_e.hermegauss(25)
    unit = torch.cartesian_prod(*[torch.tensor(nodes)] * 2)
    mass = torch.cartesian_prod(
        *[torch.tensor(weights) / math.sqrt(2 * math.pi)] * 2
    ).prod(-1)

    def elbo(parameters: np.ndarray) -> float:
        loc, log_scale = torch.tensor(parameters).split(2)
        entropy = float(log_scale.sum()) + 1 + math.log(2 * math.pi)
        return float(mass @ log_joint(loc + log_scale.exp() * unit)) + entropy

    start = np.concatenate([vae.posterior(x).mean[0], vae.posterior(x).stddev[0].log()])
    best = -minimize(
        lambda parameters: -elbo(parameters),
        start,
        method="Nelder-Mead",
        options={"maxiter": 300},
    ).fun
    assert (
        abs(found.elbo[0] - elbo(start))
        < 4 * found.amortization_gap_se[0] + 4 * found.approximation_gap_se[0]
    )
    assert abs(found.log_marginal[0] - exact) < 4 * found.log_marginal_se[0]
    assert abs(found.approximation_gap[0] - (exact - best)) < 0.02
    assert (
        abs(found.amortization_gap[0] - (best - elbo(start)))
        < 0.02 + 4 * found.amortization_gap_se[0]
    )
    assert best - elbo(start) > 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["flow", {"kind": "hierarchical", "top_dim": 1}, "semi_amortized", "low_rank"],
)
def test_every_guide_has_a_family(kind: Any) -> None:
    """No search ends below where it started, and none above log p(x)."""
    vae = VAE(data_shape=(5,), latent_dim=2, guide=kind, hidden_dims=(8,))
    found = inference_gaps(vae, TRUTH.sample(6).float(), steps=100, num_particles=200)
    assert (found.amortization_gap > -3 * found.amortization_gap_se).all()
    assert (found.approximation_gap > -4 * found.approximation_gap_se - 1e-3).all()
    assert found.amortization_gap.mean() > 0.05
    assert found.family.startswith(
        "affine maps of the guide's" if kind == "flow" or "top_dim" in kind else ""
    )


# Given evidence, readings, and what is asked of every question


def test_log_marginal_may_be_given() -> None:
    vae = TRUTH.vae(guide=Off("mean_field"))
    x = TRUTH.sample(5)
    given = evidence(vae, x, num_particles=50)
    found = inference_gaps(vae, x, steps=20, num_particles=50, marginal=given)
    assert found.log_marginal is given.log_marginal
    np.testing.assert_array_equal(found.pareto_k, given.pareto_k)
    assert found.estimator == "given as Evidence"
    plain = SimpleNamespace(log_marginal=given.log_marginal, se=given.se)
    assert np.isnan(
        inference_gaps(vae, x, steps=20, num_particles=50, marginal=plain).pareto_k
    ).all()
    with pytest.raises(ValueError, match="marginal: expected log p"):
        inference_gaps(vae, x[:4], steps=20, num_particles=50, marginal=given)


def numbers(approximation: float, amortization: float, **others: Any) -> Gaps:
    noise = np.linspace(-0.1, 0.1, 20)
    columns = {
        name: np.zeros(20)
        for name in Gaps.__dataclass_fields__
        if name not in ("family", "estimator", "row_labels")
    } | {
        "approximation_gap": approximation + noise,
        "amortization_gap": amortization - noise,
    }
    return Gaps(
        **{
            **columns,
            "family": "independent normals",
            "estimator": "ours",
            "num_particles": 2000,
            **others,
        }
    )


@pytest.mark.parametrize(
    ("gaps", "reading"),
    [
        (
            numbers(0.1, 0.2),
            "both gaps are below 0.5 nats, .*change the decoder or the prior",
        ),
        (numbers(3.0, 1.0), "the approximation gap dominates: widen the family$"),
        (
            numbers(3.0, 1.0, elbo_full_rank=np.full(20, 2.5)),
            r"widen the family \(full-rank normals would gain 2.50",
        ),
        (numbers(1.0, 3.0), "the amortization gap dominates: train the encoder more"),
        (
            numbers(1.0, 1.01),
            "both gaps are alike: widen the family, and train the encoder more",
        ),
    ],
)
def test_readings(gaps: Gaps, reading: str) -> None:
    assert re.search(reading, gaps.reading)
    assert gaps.summary().endswith(gaps.reading)
    assert "independent normals" in gaps.summary()


def test_doubts_are_reported() -> None:
    text = numbers(
        1.0, 3.0, pareto_k=np.full(20, 0.9), last_gain=np.r_[np.zeros(10), np.ones(10)]
    ).summary()
    assert "k-hat is above 0.70 for 100% of rows" in text
    assert "50% of rows have not converged" in text
    assert "converged:" not in numbers(1.0, 3.0).summary()


@pytest.mark.parametrize("kind", ["mean_field", "flow"])
def test_numbers_of_a_row_are_its_own(kind: str) -> None:
    vae = VAE(data_shape=(5,), latent_dim=2, guide=kind, hidden_dims=(8,)).double()
    x = TRUTH.sample(5)
    whole = inference_gaps(vae, x, steps=10, num_particles=250)
    parts = inference_gaps(vae, x.flip(0), steps=10, num_particles=250, batch_size=2)
    for name in (
        "log_marginal",
        "elbo",
        "elbo_best",
        "elbo_full_rank",
        "approximation_gap_se",
        "last_gain",
    ):
        np.testing.assert_allclose(
            getattr(whole, name), getattr(parts, name)[::-1], rtol=1e-7, atol=1e-9
        )
    other = inference_gaps(vae, x, steps=10, num_particles=250, seed=1)
    assert (whole.elbo != other.elbo).all()


@pytest.mark.parametrize("kind", ["full_rank", "flow"])
def test_the_model_and_the_generator_are_left_alone(kind: str) -> None:
    vae = VAE(data_shape=(5,), latent_dim=2, guide=kind, hidden_dims=(8,))
    x = TRUTH.sample(3).float()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    state = {name: value.clone() for name, value in vae.state_dict().items()}
    inference_gaps(vae, x, steps=10, num_particles=10)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(
        torch.equal(value, state[name]) for name, value in vae.state_dict().items()
    )
    assert all(
        parameter.grad is None and parameter.requires_grad
        for parameter in vae.parameters()
    )
    assert vae.training


def test_bad_input_is_refused() -> None:
    vae = TRUTH.vae()
    x = TRUTH.sample(3)
    for options in ({"steps": 3}, {"num_particles": 1}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="expected at least 4, 2, 1, got"):
            inference_gaps(vae, x, **options)
    with pytest.raises(ValueError, match=r"x: expected rows of shape \(5,\)"):
        inference_gaps(vae, x[:, :4])
    with pytest.raises(ValueError, match="is an autoencoder"):
        inference_gaps(
            VAE(data_shape=(5,), latent_dim=2, prior="flat", guide="delta"), x.float()
        )


def full_rank(tril: Tensor) -> tuple[FullRankNormals, Tensor]:
    """Three equal rows of a full-rank family, and noise."""
    q = dist.MultivariateNormal(tril.new_zeros(1, len(tril)), scale_tril=tril)
    family = FullRankNormals(
        q.expand((3,)), Rows.of(tril.new_zeros(3, 4), [q] * 3, seed=0)
    )
    return family, family.noise(50, stream=1)


def test_a_draw_has_the_density_of_its_noise() -> None:
    """Solving for it would multiply rounding by 3¹¹ in this nearly singular case."""
    family, noise = full_rank(torch.eye(12) + torch.diag(torch.full((11,), 3.0), -1))
    _, log_q = family.draw(family.start, noise)
    np.testing.assert_allclose(
        log_q, dist.Normal(0.0, 1.0).log_prob(noise).sum(-1), rtol=1e-5
    )


def test_the_gradient_of_a_draw_is_that_of_its_path() -> None:
    family, noise = full_rank(
        torch.eye(3).double() + 0.3 * torch.ones(3, 3).double().tril()
    )
    generator = torch.Generator().manual_seed(0)
    at = [
        0.3 * torch.randn(start.shape, generator=generator).double()
        for start in family.start
    ]
    slopes = []
    for parameters in (
        [part.clone().requires_grad_() for part in at] for _ in range(2)
    ):
        z, log_q = family.draw(parameters, noise)
        value = log_q if not slopes else family.log_prob(at, z)
        np.testing.assert_allclose(
            log_q.detach(), family.log_prob(at, z).detach(), rtol=1e-10
        )
        slopes.append(torch.autograd.grad(value.sum(), parameters))
    for ours, plain in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, plain)


def test_log_marginal_of_other_rows_is_refused() -> None:
    vae = TRUTH.vae(widen=1.3)
    x = TRUTH.sample(4)
    given = evidence(vae, x[[0, 2, 1, 3]], num_particles=50)
    with pytest.raises(
        ValueError,
        match=r"marginal: expected log p\(x\) of these rows in their order, .* at row 1",
    ):
        inference_gaps(vae, x, steps=20, num_particles=50, marginal=given)


def test_totals_and_a_line_for_each_row() -> None:
    gaps = numbers(3.0, 1.0, log_marginal=np.full(20, 4.0))
    assert gaps.mean_inference_gap == 4.0
    assert gaps.mean_approximation_gap == pytest.approx(3.0)
    assert gaps.mean_amortization_gap == pytest.approx(1.0)
    spread = gaps.approximation_gap.std(ddof=1)
    assert gaps.mean_approximation_gap_se == pytest.approx(
        spread / math.sqrt(20), rel=1e-14
    )
    table = gaps.to_dataframe()
    assert len(table) == 20
    np.testing.assert_array_equal(table["approximation_gap"], gaps.approximation_gap)
    np.testing.assert_array_equal(table["inference_gap"], np.full(20, 4.0))
    assert (
        repr(gaps)
        == "Gaps(rows=20, log p(x) - ELBO 4.000 nats per row = 3.000 + 1.000)"
    )
