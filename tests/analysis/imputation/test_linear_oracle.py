"""Imputations of a linear model with normal noise: p(x_m | x_o) is a normal in closed form."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from torch import nn

import pyro_vae as pv
from pyro_vae.analysis.imputation import posterior_draws
from pyro_vae.analysis.imputation.calibration import hidden_cells
from pyro_vae.analysis.imputation.cells import LEVELS
from pyro_vae.analysis.imputation.conditional import conditional_cells
from tests.objectives.test_missing_cells import Linear, Posterior

NAN = float("nan")
TRUTH = Linear()


def conditional(row):
    """Mean and covariance of the missing cells of a row given the observed ones."""
    weight = TRUTH.weight.numpy()
    covariance = weight @ weight.T + np.diag(TRUTH.scale.numpy() ** 2)
    mean = TRUTH.bias.numpy()
    missing = np.isnan(row)
    seen = ~missing
    gain = covariance[np.ix_(missing, seen)] @ np.linalg.inv(
        covariance[np.ix_(seen, seen)]
    )
    center = mean[missing] + gain @ (row[seen] - mean[seen])
    return center, covariance[np.ix_(missing, missing)] - gain @ covariance[
        np.ix_(seen, missing)
    ]


def moments(rows):
    """Means and standard deviations of all missing cells, by row and column."""
    found = [conditional(row) for row in rows if np.isnan(row).any()]
    means = np.concatenate([mean for mean, _ in found])
    sds = np.concatenate([np.sqrt(np.diag(covariance)) for _, covariance in found])
    return means, sds


@pytest.fixture(scope="module", params=["exact", "wide"])
def imputed(request):
    widen = {"exact": 1.0, "wide": 1.6}[request.param]
    return pv.impute(TRUTH.vae(Posterior(TRUTH, widen)), TRUTH.rows, num_imputations=50)


@pytest.mark.slow
def test_means_and_sds_are_within_their_monte_carlo_error(imputed):
    cells = imputed.cells
    means, sds = moments(TRUTH.rows.numpy())
    assert len(cells) == len(means) > 500
    of_means = np.abs(cells.mean - means) / cells.mean_se
    of_sds = np.abs(cells.sd - sds) / cells.sd_se
    assert (of_means < 3).mean() >= 0.99
    assert (of_sds < 3).mean() >= 0.99
    # and the errors are not merely large
    assert np.median(cells.mean_se / sds) < 0.04
    assert np.sqrt(np.square(of_means).mean()) == pytest.approx(1, abs=0.25)


def test_quantiles_are_those_of_the_normal(imputed):
    cells = imputed.cells
    means, sds = moments(TRUTH.rows.numpy())
    reached = stats.norm.cdf((cells.quantiles - means[:, None]) / sds[:, None])
    assert reached.mean(0) == pytest.approx(LEVELS, abs=0.005)
    assert reached.std(0).max() < 0.03


def test_every_row_is_trusted_and_complete_rows_are_not_touched(imputed):
    assert imputed.trusted.all()
    complete = ~np.isnan(TRUTH.rows.numpy()).any(1)
    assert complete.any()
    assert np.isnan(imputed.pareto_k[complete]).all()
    for table in (*imputed.completed[:2], imputed.mean):
        seen = ~np.isnan(TRUTH.rows.numpy())
        assert (table[seen] == TRUTH.rows.numpy()[seen]).all()
        assert not np.isnan(table).any()


def test_completed_tables_are_joint_draws(imputed):
    """The rows' standardised draws have covariance I, also between the cells of a row."""
    rows = TRUTH.rows.numpy()
    tables = np.stack(imputed.completed)
    squares, count = 0.0, 0
    between = []
    for index, row in enumerate(rows):
        missing = np.isnan(row)
        if missing.sum() < 2:
            continue
        mean, covariance = conditional(row)
        drawn = tables[:, index][:, missing] - mean
        white = np.linalg.solve(np.linalg.cholesky(covariance), drawn.T)
        squares += np.square(white).sum()
        count += white.size
        between.append((white[0] * white[1]).mean())
    # 3.5 standard errors of a chi-squared, and of a product of independent normals
    assert squares / count == pytest.approx(1, abs=3.5 * np.sqrt(2 / count))
    error = 1 / np.sqrt(len(between) * len(tables))
    assert np.mean(between) == pytest.approx(0, abs=3.5 * error)
    # independent between tables, not the same draw twice
    first, second = (tables[i][np.isnan(rows)] for i in (0, 1))
    assert (first != second).all()


@pytest.mark.slow
def test_intervals_cover_cells_drawn_from_the_model():
    truth = Linear(seed=0)
    generator = torch.Generator().manual_seed(11)
    z = torch.randn(1500, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(1500, 6, generator=generator, dtype=torch.float64)
    whole = z @ truth.weight.T + truth.bias + truth.scale * noise
    holes = torch.rand(1500, 6, generator=generator) < 0.4
    rows = whole.masked_fill(holes, NAN)
    found = pv.impute(
        truth.vae(Posterior(truth)), rows, num_particles=400, num_imputations=0
    ).cells
    cells = whole.numpy()[found.row, found.column]
    inside = (cells >= found.quantiles[:, 0]) & (cells <= found.quantiles[:, -1])
    assert 0.88 <= inside.mean() <= 0.92
    assert inside.mean() == pytest.approx(0.9, abs=3 * np.sqrt(0.09 / len(cells)))


def test_with_nothing_observed_it_is_the_prior_predictive():
    rows = torch.full((400, 6), NAN, dtype=torch.float64)
    found = pv.impute(TRUTH.vae(Posterior(TRUTH)), rows, num_imputations=20)
    means, sds = moments(rows.numpy())
    assert (np.abs(found.cells.mean - means) < 3 * found.cells.mean_se).mean() >= 0.99
    assert found.cells.sd == pytest.approx(sds, rel=0.15)
    drawn = np.stack(found.completed).reshape(-1, 6)
    covariance = TRUTH.weight @ TRUTH.weight.T + torch.diag(TRUTH.scale.square())
    error = np.cov(drawn.T) - covariance.numpy()
    assert np.abs(error).max() < 0.1 * float(covariance.diagonal().max())
    assert (found.pareto_k == -np.inf).all()


def test_equal_rows_have_equal_moments_and_draws_of_their_own():
    row = TRUTH.rows[TRUTH.rows.isnan().sum(1) == 2][:1]
    found = pv.impute(TRUTH.vae(Posterior(TRUTH)), row.repeat(60, 1), num_imputations=2)
    means = found.cells.mean.reshape(60, 2)
    assert means == pytest.approx(np.repeat(means[:1], 60, 0))
    assert len(np.unique(found.cells.draws)) == found.cells.draws.size


def test_the_same_seed_gives_the_same_numbers():
    vae = TRUTH.vae(Posterior(TRUTH))
    found = [pv.impute(vae, TRUTH.rows[:20], seed=seed).cells for seed in (3, 3, 4)]
    assert np.array_equal(found[0].draws, found[1].draws)
    assert np.array_equal(found[0].mean, found[1].mean)
    assert not np.array_equal(found[0].draws, found[2].draws)


class Fixed(nn.Module):
    """q(z | x) = N(2, 0.1² I) for every x; without moments it has no refined proposal."""

    def __init__(self, has_moments):
        super().__init__()
        self.kind = dist.Independent if has_moments else NoMoments

    def forward(self, x):
        loc = x.new_full((len(x), 8), 2.0)
        return self.kind(dist.Normal(loc, 0.1), 1)


class NoMoments(dist.Independent):
    """A distribution that doesn't know its moments."""

    @property
    def mean(self):
        raise NotImplementedError


def precise(has_moments):
    """A linear model with 8 latent dimensions and little noise, and rows of it."""
    torch.manual_seed(0)
    vae = pv.VAE(
        data_shape=(12,),
        latent_dim=8,
        likelihood={"kind": "normal", "scale": 0.05},
        decoder=nn.Linear(8, 12),
        guide=Fixed(has_moments),
        missing="at_random",
    )
    rows = pv.sample(vae, 30, as_array=True).x
    rows[:, 3] = NAN
    return vae, rows


def test_a_bad_guide_without_refinement_is_caught():
    vae, rows = precise(has_moments=False)
    with pytest.warns(UserWarning, match="are not to be trusted"):
        found = pv.impute(vae, rows, num_particles=100, num_imputations=1)
    assert found.untrusted_share > 0.9
    assert "k-hat too high" in str(found)
    assert not found.to_dataframe()["trusted"].all()


def test_refined_proposals_mend_the_same_guide():
    vae, rows = precise(has_moments=True)
    found = pv.impute(vae, rows, num_particles=500, num_imputations=1)
    assert found.untrusted_share == 0
    assert np.median(found.ess) > 200


@pytest.mark.slow
def test_annealed_chains_have_the_same_moments(monkeypatch):
    """Rows that no proposal would satisfy get chains, whose ends are weighted draws too."""

    def only_chains(count):
        return np.where(np.asarray(count) == posterior_draws.NUM_CHAINS, 0.7, -9.0)

    monkeypatch.setattr(posterior_draws, "khat_limit", only_chains)
    rows = TRUTH.rows[TRUTH.rows.isnan().any(1)][:25]
    vae = TRUTH.vae(Posterior(TRUTH, 1.6))
    cells = conditional_cells(vae, rows, num_particles=30, num_imputations=0, seed=0)
    assert (cells.num_particles == posterior_draws.NUM_CHAINS).all()
    means, sds = moments(rows.numpy())
    error = np.abs(cells.cells.mean - means)
    assert (error < 4 * cells.cells.mean_se).all()
    assert cells.cells.sd == pytest.approx(sds, rel=0.15)


def test_of_all_columns_but_one_predict_is_the_regression():
    vae = TRUTH.vae(Posterior(TRUTH))
    rows = TRUTH.rows[~TRUTH.rows.isnan().any(1)]
    found = pv.predict(vae, rows, columns=[2])
    hidden = rows.clone()
    hidden[:, 2] = NAN
    means, sds = moments(hidden.numpy())
    se = conditional_cells(
        vae, hidden, num_particles=1000, num_imputations=0, seed=0
    ).cells
    assert (np.abs(found["2"] - means) < 3.5 * se.mean_se).all()
    assert found["2[sd]"].to_numpy() == pytest.approx(sds, rel=0.1)


@pytest.mark.slow
def test_calibration_of_the_true_model_covers_and_is_that_of_the_normal():
    """No method beats the true model, and EM for one normal comes close with 300 rows."""
    found = pv.impute(
        TRUTH.vae(Posterior(TRUTH)), TRUTH.rows, num_imputations=0, calibrate=True
    ).calibration
    for percent in (50, 80, 90):
        share, se = found.overall(percent)
        assert share == pytest.approx(percent / 100, abs=3.5 * se)
    assert found.factor == pytest.approx(1, abs=0.25)
    rows = TRUTH.rows.numpy()
    hidden = hidden_cells(rows, 0.1, 0, keep=[])
    assert found.hidden.tolist() == hidden.sum(0).tolist()
    visible = np.where(hidden, NAN, rows)
    spread = np.nanstd(visible, 0)
    exact = np.array([])
    for row, which, whole in zip(visible, hidden, rows, strict=True):
        if which.any():
            error = (conditional(row)[0] - whole[np.isnan(row)]) / spread[np.isnan(row)]
            exact = np.append(exact, error[which[np.isnan(row)]])
    best = np.sqrt(np.square(exact).mean())
    assert pooled(found, found.error) == pytest.approx(best, rel=0.01)
    assert pooled(found, found.error_normal) == pytest.approx(best, rel=0.05)
    assert pooled(found, found.error_simple) == pytest.approx(1, abs=0.15)


def pooled(found, error):
    """The root mean square over all hidden cells."""
    return np.sqrt(np.average(np.square(error), weights=found.hidden))
