"""Means over rows with their standard errors, and the summary where there is none."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyro.distributions as dist
import pytest
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.analysis import Evidence, Measure, annealed, evidence, inference_gaps
from pyro_vae.analysis.marginal_likelihood.sharded import sharded_evidence
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
    found = numbers(
        9, np.array([0.2, 0.69, 0.71, -np.inf, np.inf, 0.7, 0.1, 1.3, np.nan])
    )
    expected = {
        "num_rows": 9,
        "mean_log_marginal": np.mean(found.log_marginal),
        "mean_log_marginal_se": np.std(found.log_marginal, ddof=1) / 3,
        "monte_carlo_se": math.sqrt(sum(found.se**2)) / 9,
        "mean_elbo": np.mean(found.elbo),
        "mean_elbo_se": np.std(found.elbo, ddof=1) / 3,
        "bits_per_dim": -np.mean(found.log_marginal) / (64 * math.log(2)),
        "median_ess": np.median(found.ess),
        "unreliable_share": 4
        / 9,  # 0.71, inf, 1.3, and a row without a k-hat among others
        "mean_shortfall": math.nan,
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-14, nan_ok=True), (
            name
        )
    assert found.methods == {"importance": 9}
    assert (
        not found.constant.any()
    )  # the row of -inf has no tail, but few draws that count
    assert not found.capped.any()
    np.testing.assert_array_equal(found.worst(), [4, 8, 7, 2])
    np.testing.assert_array_equal(found.worst(2), [4, 8])
    assert "55.6% of rows" in found.summary()
    assert "4 of 9 rows   (k-hat too high: rows 4, 8, 7, 2;" in found.summary()
    assert "9 rows, 10000 draws" in found.summary()


def test_summary_of_one_row_or_of_too_few_draws() -> None:
    found = replace(numbers(1, np.full(1, np.nan)), num_particles=np.full(1, 20))
    assert math.isnan(found.mean_log_marginal_se)
    assert math.isnan(found.mean_elbo_se)
    assert math.isnan(found.unreliable_share)
    assert "unknown   (fewer than 21 draws have no k-hat)" in found.summary()
    assert "±" not in found.summary().splitlines()[0]
    assert repr(found).endswith("trusted: unknown)")


def test_rows_whose_k_hat_is_not_a_number_are_not_trusted() -> None:
    """Enough draws, and numbers so large that their rounding hides the weights."""
    found = numbers(2, np.array([np.nan, 0.1]))
    assert found.unreliable.tolist() == [True, False]
    assert found.unreliable_share == 0.5


def test_the_shortfall_of_untrusted_rows_is_reported() -> None:
    found = numbers(4, np.array([0.9, 0.1, 0.9, 0.1]))
    upper = np.array([found.log_marginal[0] + 2.0, np.nan, np.nan, np.nan])
    found = replace(
        found,
        upper=upper,
        method=np.array(["annealed", "refined", "annealed", "refined"]),
    )
    assert found.mean_shortfall == pytest.approx(0.5)  # two nats of one row among four
    assert "the mean is a low estimate by about 0.500 nats or more)" in found.summary()
    assert "2 annealed, 2 refined" in found.summary()


@pytest.mark.slow
def test_monte_carlo_error_is_what_another_seed_moves() -> None:
    vae = TRUTH.vae(widen=1.3)
    x = TRUTH.sample(20)
    found = [evidence(vae, x, num_particles=50, seed=seed) for seed in range(60)]
    spread = np.std([one.mean_log_marginal for one in found], ddof=1)
    stated = np.mean([one.monte_carlo_se for one in found])
    assert 0.7 < spread / stated < 1.3  # a standard deviation of 60 is known to 9 %


def test_reliable_rows_are_reported() -> None:
    text = numbers(3, np.zeros(3)).summary()
    assert "trusted       all rows   (3 importance)" in text
    assert "untrusted" not in text


def test_evidence_prints_its_summary_and_has_a_short_repr() -> None:
    found = numbers(1000, np.full(1000, 0.1))
    assert str(found) == found.summary()
    assert found.summary().endswith("± is one standard error over rows")
    assert repr(found).startswith("Evidence(rows=1000, log p(x) -")
    assert "trusted: 100.0%)" in repr(found)
    assert len(repr(found)) < 100


def test_more_unreliable_rows_than_are_named() -> None:
    text = numbers(9, np.arange(9) / 2).summary()
    assert (
        "7 of 9 rows   (k-hat too high: rows 8, 7, 6, 5, 4, ...; the mean is a low estimate; leave"
        in text
    )


def test_constant_weights_are_reported_as_such() -> None:
    """In float32 too, where the log weights differ by rounding and a tail could be fitted to it."""
    for vae in (TRUTH.vae(), TRUTH.vae(guide=InFloat32()).float()):
        found = evidence(vae, TRUTH.sample(20), num_particles=500)
        assert found.constant.all()
        assert re.search("^constant +20 of 20 rows ", found.summary(), re.MULTILINE)
        assert re.search("^trusted +all rows ", found.summary(), re.MULTILINE)
    wide = evidence(TRUTH.vae(widen=1.001), TRUTH.sample(20), num_particles=500)
    assert not wide.constant.any()
    assert "constant" not in wide.summary()


def test_equal_largest_weights_are_not_constant_weights() -> None:
    found = numbers(2, np.full(2, -np.inf))
    assert not found.constant.any()
    assert replace(found, ess=np.array([10_000.0, 50.0])).constant.tolist() == [
        True,
        False,
    ]


def test_different_numbers_of_draws_are_reported() -> None:
    found = replace(
        numbers(3, np.zeros(3)),
        num_particles=np.array([100, 800, 400]),
        reached=np.array(["target", "cap", "target"]),
        retried=np.array([False, True, True]),
    )
    text = found.summary()
    assert "3 rows, 100 to 800 draws" in text
    assert "retried       2 of 3 rows" in text
    assert "capped        1 of 3 rows" in text
    assert (
        f"they reached se {found.se[1]:.3g} and k-hat {found.pareto_k[1]:.2f} or better"
        in text
    )


def test_a_line_for_each_row() -> None:
    found = numbers(3, np.array([0.2, 0.8, np.nan]))
    table = found.to_dataframe()
    assert table.index.tolist() == [0, 1, 2]
    assert table["trusted"].tolist() == [True, False, False]
    assert table["method"].tolist() == ["importance"] * 3
    for name in (
        "log_marginal",
        "se",
        "elbo",
        "ess",
        "pareto_k",
        "num_particles",
        "upper",
    ):
        np.testing.assert_array_equal(table[name], getattr(found, name))


def test_a_notebook_shows_the_totals() -> None:
    found = numbers(3, np.zeros(3))
    mean = (
        f"{found.mean_log_marginal:.3f} ± {found.mean_log_marginal_se:.3f} nats per row"
    )
    assert (
        f"<td>log p(x)</td><td>{mean}</td><td>3 rows, 10000 draws"
        in found._repr_html_()
    )


def test_a_density_has_no_bits() -> None:
    found = numbers(3, np.zeros(3))
    assert "bits per dim" in found.summary()
    assert (
        "bits per dim" not in replace(found, measure=Measure(density="0:64")).summary()
    )


def test_rows_of_a_data_frame_keep_their_labels() -> None:
    rows = pd.DataFrame(TRUTH.sample(3).numpy(), index=["b", "a", "c"])
    found = evidence(TRUTH.vae(), rows, num_particles=50)
    assert found.to_dataframe().index.tolist() == ["b", "a", "c"]
    assert found.to_dataframe().loc["a", "log_marginal"] == found.log_marginal[1]
    assert sharded_evidence(TRUTH.vae(), rows, num_particles=50).labels() == (
        "b",
        "a",
        "c",
    )
    given = sharded_evidence(
        TRUTH.vae(), rows.to_numpy(), labels=["x", "y", "z"], num_particles=50
    )
    assert given.labels() == ("x", "y", "z")
    chains = annealed(TRUTH.vae(), rows, num_chains=2, temperatures=2)
    assert chains.to_dataframe().index.tolist() == ["b", "a", "c"]
    gaps = inference_gaps(TRUTH.vae(), rows, steps=4, num_particles=2)
    assert gaps.to_dataframe().index.tolist() == ["b", "a", "c"]
