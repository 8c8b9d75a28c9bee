"""Both terms of the approximation gap's standard error, and the proposal behind its log p(x)."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.analysis.gaps.gaps import inference_gaps
from pyro_vae.analysis.gaps.local_family import Rows
from pyro_vae.analysis.gaps.normal_families import FullRankNormals
from pyro_vae.analysis.gaps.search import mixture_log_weights
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

WEIGHT = torch.tensor(
    [[1.0, 0.9], [0.8, 1.0], [0.5, 0.2], [1.0, 1.0], [0.3, 0.4]], dtype=torch.float64
)
TRUTH = LinearGaussian(WEIGHT, torch.zeros(5, dtype=torch.float64), sigma=0.7)
X = TRUTH.sample(3, seed=1)
DRAWS = 4000


def near(x: Tensor) -> Distribution:
    """Independent normals not far from the best ones."""
    q = TRUTH.posterior(x)
    scale = 0.9 / q.precision_matrix[0].diagonal().sqrt()
    return dist.Normal(q.mean + 0.1, scale).to_event(1)


def gaps_with(error: float) -> Any:
    """Gaps where log p(x) is given with its standard error."""
    exact = TRUTH.marginal().log_prob(X).numpy()
    given = SimpleNamespace(log_marginal=exact, se=np.full(len(X), error))
    return inference_gaps(
        TRUTH.vae(guide=near), X, steps=100, num_particles=DRAWS, marginal=given
    )


def error_of_the_best_elbo() -> float:
    """sd of log p(x, z) - log q*(z) over √draws, q* the best independent normals for z | x.

    With its precision Λ = D + A, D diagonal, the log weight is c - ½ (z - μ)ᵀ A (z - μ), and
    z ~ N(μ, D⁻¹): its variance is ½ tr (A D⁻¹)².
    """
    precision = TRUTH.posterior(X).precision_matrix[0]
    product = precision / precision.diagonal() - torch.eye(2, dtype=torch.float64)
    return math.sqrt(0.5 * float((product @ product).trace()) / DRAWS)


@pytest.mark.parametrize("error", [0.0, 0.01, 3.0])
def test_the_approximation_gap_has_the_errors_of_log_p_and_of_the_best_elbo(
    error: float,
) -> None:
    """An sd of 4000 draws of a quadratic form is known to some 4 %."""
    expected = math.hypot(error, error_of_the_best_elbo())
    np.testing.assert_allclose(
        gaps_with(error).approximation_gap_se, expected, rtol=0.12
    )


def drawn_and_weighed(dim: int, draws: int) -> tuple[Tensor, Tensor]:
    """Draws of both halves, (2, draws, dim), and log w, where posterior and guide are N(0, I)."""
    zeros, eye = (
        torch.zeros(1, dim, dtype=torch.float64),
        torch.eye(dim, dtype=torch.float64),
    )
    q = dist.MultivariateNormal(zeros, scale_tril=eye)
    family = FullRankNormals(q, Rows.of(zeros, [q], seed=0))
    seen = []

    def log_joint(z: Tensor) -> Tensor:
        seen.append(z)
        found: Tensor = q.log_prob(z)
        return found

    log_w = mixture_log_weights(
        family, family, family.start, log_joint, draws, stream=1
    )
    return torch.cat(seen).reshape(2, draws, dim), log_w.squeeze(-1)


@pytest.mark.parametrize("dim", [1, 4, 25])
def test_the_second_half_is_drawn_from_variances_times_one_and_one_over_root_d(
    dim: int,
) -> None:
    draws, wider = 20_000, 1 + 1 / math.sqrt(dim)
    z, log_w = drawn_and_weighed(dim, draws)
    variances = z.square().mean((1, 2))
    error = math.sqrt(2 / (draws * dim))
    assert abs(float(variances[0]) - 1) < 4.5 * error
    assert abs(float(variances[1]) - wider) < 4.5 * error * wider
    log_p, log_r = log_normal(z, 1.0), log_normal(z, wider)
    torch.testing.assert_close(
        log_w, log_p - torch.logaddexp(log_p, log_r) + math.log(2), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("dim", [1, 4, 100])
def test_at_least_one_over_root_e_of_the_draws_of_the_wide_normal_are_effective(
    dim: int,
) -> None:
    """(Σ w)² / (n Σ w²) of them alone is (√(2c - 1) / c)ᵈ for variances times c = 1 + 1/√d.

    It falls to e^(-1/2) as d grows.
    """
    z, wider = drawn_and_weighed(dim, draws=20_000)[0][1], 1 + 1 / math.sqrt(dim)
    w = (log_normal(z, 1.0) - log_normal(z, wider)).exp()
    share = float(w.sum().square() / w.square().sum() / len(w))
    assert share == pytest.approx((math.sqrt(2 * wider - 1) / wider) ** dim, abs=0.02)
    assert share > math.exp(-0.5)


def log_normal(z: Tensor, variance: float) -> Tensor:
    """log N(z | 0, variance I)."""
    return -0.5 * (z.square() / variance + math.log(2 * math.pi * variance)).sum(-1)
