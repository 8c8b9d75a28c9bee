"""Means over rows with their standard errors, and what is said where there is none."""

import math
from dataclasses import replace

import numpy as np
import pyro.distributions as dist
import pytest
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.analysis import Evidence, Summary, evidence
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian

TRUTH = LinearGaussian.random()


def numbers(rows: int, pareto_k: np.ndarray) -> Evidence:
    rng = np.random.default_rng(0)
    log_marginal, elbo = rng.normal(-80, 10, size=(2, rows))
    return Evidence(
        log_marginal=log_marginal,
        se=rng.uniform(0.1, 0.3, rows),
        elbo=elbo,
        ess=rng.uniform(1, 99, rows),
        pareto_k=pareto_k,
        num_particles=np.full(rows, 10_000),
        data_size=64,
        reached=np.full(rows, "num_particles"),
        retried=np.full(rows, False),
        row_hashes=np.arange(rows, dtype=np.uint64),
        method=np.full(rows, "importance"),
        proposal_elbo=elbo,
        upper=np.full(rows, np.nan),
    )


class InFloat32(nn.Module):
    """The exact posterior, rounded."""

    def forward(self, x: Tensor) -> Distribution:
        q = TRUTH.posterior(x.double())
        return dist.MultivariateNormal(q.loc.float(), scale_tril=q.scale_tril.float())


def test_summary_is_means_over_rows() -> None:
    found = numbers(9, np.array([0.2, 0.69, 0.71, -np.inf, np.inf, 0.7, 0.1, 1.3, np.nan]))
    expected = Summary(
        rows=9,
        num_particles=10_000,
        most_particles=10_000,
        log_marginal=np.mean(found.log_marginal),
        log_marginal_se=np.std(found.log_marginal, ddof=1) / 3,
        monte_carlo_se=math.sqrt(sum(found.se**2)) / 9,
        elbo=np.mean(found.elbo),
        elbo_se=np.std(found.elbo, ddof=1) / 3,
        bits_per_dim=-np.mean(found.log_marginal) / (64 * math.log(2)),
        median_ess=np.median(found.ess),
        unreliable=4 / 9,  # 0.71, inf, 1.3, and a row without a k-hat among rows that have one
        worst=(4, 8, 7, 2),
        constant=0,  # the row of -inf has no tail, but few draws that count
        retried=0,
        capped=0,
        capped_se=math.nan,
        capped_k=math.nan,
    )
    assert found.summary().methods == {"importance": 9}
    for name, value in vars(replace(expected, methods=None)).items():
        if name in ("methods", "measure"):
            continue
        assert getattr(found.summary(), name) == pytest.approx(value, rel=1e-14, nan_ok=True), name
    np.testing.assert_array_equal(found.worst(2), [4, 8])
    assert "55.6% of rows" in str(found.summary())
    assert "4 of 9 rows   (k-hat too high: rows 4, 8, 7, 2;" in str(found.summary())
    assert "9 rows, 10000 draws" in str(found.summary())


def test_summary_of_one_row_or_of_too_few_draws() -> None:
    summary = replace(numbers(1, np.full(1, np.nan)), num_particles=np.full(1, 20)).summary()
    assert math.isnan(summary.log_marginal_se)
    assert math.isnan(summary.elbo_se)
    assert math.isnan(summary.unreliable)
    assert "unknown   (fewer than 21 draws have no k-hat)" in str(summary)


def test_rows_whose_k_hat_is_not_a_number_are_not_trusted() -> None:
    """Enough draws, and numbers so large that their rounding hides the weights."""
    found = numbers(2, np.array([np.nan, 0.1]))
    assert found.unreliable.tolist() == [True, False]
    assert found.summary().unreliable == 0.5


def test_what_untrusted_rows_lack_is_said() -> None:
    found = numbers(4, np.array([0.9, 0.1, 0.9, 0.1]))
    upper = np.array([found.log_marginal[0] + 2.0, np.nan, np.nan, np.nan])
    found = replace(
        found, upper=upper, method=np.array(["annealed", "refined", "annealed", "refined"])
    )
    assert found.summary().low_by == pytest.approx(0.5)  # two nats of one row among four
    assert "the mean is a low estimate by about 0.500 nats or more)" in str(found.summary())
    assert "2 annealed, 2 refined" in str(found.summary())


def test_monte_carlo_error_is_what_another_seed_moves() -> None:
    vae, x = TRUTH.vae(widen=1.3), TRUTH.sample(20)
    summaries = [evidence(vae, x, num_particles=50, seed=seed).summary() for seed in range(60)]
    spread = np.std([summary.log_marginal for summary in summaries], ddof=1)
    stated = np.mean([summary.monte_carlo_se for summary in summaries])
    assert 0.7 < spread / stated < 1.3  # a standard deviation of 60 is known to 9 %


def test_reliable_rows_are_said_to_be() -> None:
    assert "trusted       all rows     (3 importance)" in numbers(3, np.zeros(3)).summary().verdict


def test_evidence_prints_its_summary_and_has_a_short_repr() -> None:
    found = numbers(1000, np.full(1000, 0.1))
    assert str(found) == str(found.summary())
    assert repr(found).startswith("Evidence(rows=1000, log p(x) -")
    assert "trusted: 100.0%)" in repr(found)
    assert len(repr(found)) < 100


def test_more_unreliable_rows_than_are_named() -> None:
    verdict = numbers(9, np.arange(9) / 2).summary().verdict
    assert (
        "7 of 9 rows   (k-hat too high: rows 8, 7, 6, 5, 4, ...; the mean is a low estimate; leave"
        in verdict
    )


def test_constant_weights_are_reported_as_such() -> None:
    """In float32 too, where the log weights differ by rounding and a tail could be fitted to it."""
    for vae in (TRUTH.vae(), TRUTH.vae(guide=InFloat32()).float()):
        found = evidence(vae, TRUTH.sample(20), num_particles=500)
        assert found.constant.all()
        assert "constant              20 of 20 rows" in found.summary().verdict
        assert "trusted       all rows" in found.summary().verdict
    wide = evidence(TRUTH.vae(widen=1.001), TRUTH.sample(20), num_particles=500)
    assert not wide.constant.any()
    assert "constant" not in wide.summary().verdict


def test_equal_largest_weights_are_not_constant_weights() -> None:
    found = numbers(2, np.full(2, -np.inf))
    assert not found.constant.any()
    assert replace(found, ess=np.array([10_000.0, 50.0])).constant.tolist() == [True, False]


def test_draws_that_differ_are_said_to() -> None:
    found = replace(
        numbers(3, np.zeros(3)),
        num_particles=np.array([100, 800, 400]),
        reached=np.array(["target", "cap", "target"]),
        retried=np.array([False, True, True]),
    )
    text = str(found.summary())
    assert "3 rows, 100 to 800 draws" in text
    assert "retried                2 of 3 rows" in text
    assert "capped                 1 of 3 rows" in text
    assert f"they reached se {found.se[1]:.3g} and k-hat {found.pareto_k[1]:.2f} or better" in text
