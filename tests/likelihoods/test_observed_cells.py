"""log p of the observed cells of a row, of every likelihood, against its cells' densities."""

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import constraints

from pyro_vae import VAE, evidence
from pyro_vae.analysis.outliers.columns import column_log_prob
from pyro_vae.data import statistics
from pyro_vae.likelihoods import LIKELIHOODS, Family
from pyro_vae.likelihoods.asinh_normal import AsinhRow
from pyro_vae.likelihoods.correlated_normal import CorrelatedNormal
from pyro_vae.likelihoods.mixed import ColumnGroups
from pyro_vae.likelihoods.observed_cells import (
    MissingAtRandom,
    observed_log_prob,
    observes_each,
)
from tests.likelihoods.families import CASES, every_case, vae

NAN = float("nan")


def pair(name, **fields):
    """The same model with and without missing cells, for a guide that doesn't see the rows."""
    options = {"latent_dim": 1, "guide": Wide(), **fields}
    plain = vae(name, **options)
    missing = vae(name, missing="at_random", **options)
    missing.load_state_dict(plain.state_dict(), strict=False)
    missing.likelihood.missing.pyro_vae_start(statistics([CASES[name].rows]))
    return plain, missing


class Wide(nn.Module):
    """q(z | x) = N(0, 1.5²) for every x."""

    def forward(self, x):
        return dist.Normal(x.new_zeros(len(x), 1), 1.5).to_event(1)


def holes(name, rows, share=0.4, seed=0):
    """The rows with random cells missing; groups that belong together are missing as a whole."""
    _, missing = pair(name)
    random = np.random.default_rng(seed)
    mask = torch.as_tensor(random.random(tuple(rows.shape)) < share).flatten(1)
    for columns in missing.likelihood.missing.together.values():
        mask[:, columns] = mask[:, columns[:1]]
    return rows.masked_fill(mask.reshape(rows.shape), NAN)


def by_cell(plain, z, rows, holed):
    """log p of the observed cells, from the model that knows no missing ones."""
    return _log_prob(plain.likelihood(z), rows, ~holed.isnan())


def _log_prob(p, x, observed):
    if isinstance(p, ColumnGroups):
        groups = zip(p.parts, p._groups(x), p._groups(observed), strict=True)
        return sum(_log_prob(part, *group) for part, *group in groups)
    if isinstance(p, AsinhRow):
        slopes = torch.where(observed, p.warp.log_slope(x), 0.0).sum(-1)
        return _log_prob(p.base, p.warp(x), observed) + slopes
    if isinstance(p, CorrelatedNormal):
        loc, covariance = torch.broadcast_tensors(
            p.loc.unsqueeze(-1), p.covariance_matrix
        )
        loc = loc[..., 0]
        found = torch.zeros(loc.shape[:-1], dtype=loc.dtype)
        for row, seen in enumerate(observed):
            if seen.any():
                part = covariance[:, row][:, seen][:, :, seen]
                marginal = dist.MultivariateNormal(loc[:, row, seen], part)
                found[:, row] = marginal.log_prob(x[row, seen])
        return found
    each = column_log_prob(p, x)
    if each is None:  # a multinomial, which is there as a whole or not
        each = torch.zeros(*p.batch_shape, x.shape[1], dtype=x.dtype)
        each[..., 0] = p.log_prob(x)
    kept = torch.where(observed, each, 0.0)
    return kept.flatten(-(x.ndim - 1)).sum(-1)


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("with_gradient", [True, False])
def test_it_is_the_sum_over_the_observed_cells(name, with_gradient):
    plain, missing = pair(name)
    rows = CASES[name].rows
    holed = holes(name, rows)
    z = torch.linspace(-1, 1, 3).double().reshape(3, 1, 1).expand(3, len(rows), 1)
    with torch.set_grad_enabled(with_gradient):
        found = missing.likelihood(z).log_prob(holed)
    with torch.no_grad():
        expected = by_cell(plain, z, rows, holed)
    torch.testing.assert_close(found.detach().double(), expected.double())


@every_case
@pytest.mark.parametrize("with_gradient", [True, False])
def test_without_missing_cells_it_is_the_same_number(name, with_gradient):
    """With its gradient, to the last bit where cells are independent given z."""
    plain, missing = pair(name)
    rows = CASES[name].rows
    numbers = []
    for model in (plain, missing):
        z = torch.linspace(-1, 1, 3).double().reshape(3, 1, 1)
        z = z.expand(3, len(rows), 1).clone().requires_grad_(with_gradient)
        with torch.set_grad_enabled(with_gradient):
            log_p = model.likelihood(z).log_prob(rows)
        slope = log_p
        if with_gradient:
            (slope,) = torch.autograd.grad(log_p.sum(), z)
        numbers.append((log_p, slope))
    is_correlated = any(word in name for word in ("full", "low rank"))
    for ours, theirs in zip(*numbers, strict=True):
        if is_correlated:  # which solves another system for each mask
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        else:
            assert torch.equal(ours, theirs)


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_the_observed_cells(name, dtype):
    _, missing = pair(name)
    missing = missing.to(dtype)
    holed = holes(name, CASES[name].rows).to(dtype)
    log_p = missing.likelihood(torch.zeros(len(holed), 1, dtype=dtype)).log_prob(holed)
    log_p.sum().backward()
    slopes = [weight.grad for weight in missing.likelihood.parameters()]
    assert all(slope is not None and slope.isfinite().all() for slope in slopes)
    assert any(slope.any() for slope in slopes)


@every_case
def test_the_number_for_a_missing_cell_changes_nothing(name):
    """Neither the density nor its gradient, for any number of the column."""
    _, missing = pair(name)
    rows = CASES[name].rows
    holed = holes(name, rows)
    found = []
    for fill in (rows[0], rows[7]):
        missing.likelihood.missing.fill.copy_(fill)
        z = torch.zeros(len(rows), 1, dtype=rows.dtype, requires_grad=True)
        log_p = missing.likelihood(z).log_prob(holed)
        found.append((log_p, torch.autograd.grad(log_p.sum(), z)[0]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@every_case
def test_of_no_observed_cell_it_is_zero(name):
    _, missing = pair(name)
    empty = torch.full_like(CASES[name].rows, NAN)
    z = torch.zeros(len(empty), 1, dtype=empty.dtype)
    assert torch.equal(
        missing.likelihood(z).log_prob(empty).double(), empty.new_zeros(len(empty))
    )


@every_case
def test_draws_and_means_are_complete_rows(name):
    plain, missing = pair(name)
    z = torch.zeros(5, 1, dtype=torch.float64)
    ours, theirs = missing.likelihood(z), plain.likelihood(z)
    torch.manual_seed(0)
    drawn = ours.sample()
    torch.manual_seed(0)
    assert torch.equal(drawn, theirs.sample())
    assert torch.equal(ours.mean, theirs.mean)
    assert torch.equal(ours.variance, theirs.variance)


@every_case
def test_the_number_for_a_missing_cell_is_in_the_support(name):
    """Before there are data, and afterwards."""
    options, data_shape, rows = CASES[name]
    model = VAE(
        data_shape=data_shape, likelihood=options, latent_dim=1, missing="at_random"
    )
    missing = model.likelihood.missing
    for start in (lambda: None, lambda: missing.pyro_vae_start(statistics([rows]))):
        start()
        assert model.likelihood.family.support.check(missing.fill.unsqueeze(0)).all()


@pytest.mark.slow
@every_case
def test_evidence_of_the_observed_cells_is_the_integral_over_z(name):
    plain, missing = pair(name)
    rows = CASES[name].rows[:40]
    holed = holes(name, rows)
    z = torch.linspace(-9, 9, 2001, dtype=torch.float64).reshape(-1, 1, 1)
    with torch.no_grad():
        log_p = by_cell(plain, z.expand(-1, len(rows), 1), rows, holed)
        log_joint = plain.prior().log_prob(z) + log_p
        exact = torch.logsumexp(log_joint, 0) + torch.log(z[1] - z[0]).squeeze()
    found = evidence(missing, holed, num_particles=1000, progress=False)
    beyond = np.abs(found.log_marginal - exact.numpy()) > 3 * found.se + 1e-6
    assert beyond.sum() <= max(1, 0.03 * len(rows))


class Vectors(nn.Module):
    """A likelihood of the user's: correlated cells, or those of a torch distribution."""

    def __init__(self, correlated):
        super().__init__()
        self.decoder = nn.Linear(1, 3)
        self.correlated = correlated

    def forward(self, z):
        loc = self.decoder(z)
        if self.correlated:
            return dist.MultivariateNormal(loc, torch.eye(3))
        return torch.distributions.Independent(torch.distributions.Normal(loc, 1.0), 1)


def test_a_likelihood_of_the_users_own():
    model = VAE(
        data_shape=(3,), latent_dim=1, likelihood=Vectors(False), missing="at_random"
    )
    rows = torch.tensor([[0.0, NAN, 1.0]])
    z = torch.zeros(1, 1)
    loc = model.likelihood.own.decoder(z)
    expected = (
        dist.Normal(loc, 1.0)
        .log_prob(torch.tensor([[0.0, 0.0, 1.0]]))[:, [0, 2]]
        .sum(-1)
    )
    torch.testing.assert_close(model.likelihood(z).log_prob(rows), expected)


def test_cells_that_depend_on_each_other_are_observed_together():
    model = VAE(
        data_shape=(3,), latent_dim=1, likelihood=Vectors(True), missing="at_random"
    )
    found = model.likelihood(torch.zeros(3, 1)).log_prob(
        torch.tensor([[NAN, NAN, NAN], [0.0, 0.0, 0.0], [0.0, NAN, 0.0]])
    )
    assert found[0] == 0
    assert found[1].isfinite()
    assert found[2].isnan()
    with pytest.raises(
        ValueError, match=r"all cells of a row or none.*1 missing of 3 in row 1"
    ):
        evidence(model, torch.tensor([[0.0, 0.0, 0.0], [0.0, NAN, 0.0]]))


class Marginals(dist.MultivariateNormal):
    """A normal distribution that knows its marginals."""

    def pyro_vae_observed_log_prob(self, x, observed):
        found = []
        for row, seen in zip(x, observed, strict=True):
            if not seen.any():
                found.append(x.new_zeros(()))
                continue
            part = self.covariance_matrix[seen][:, seen]
            found.append(
                dist.MultivariateNormal(self.loc[seen], part).log_prob(row[seen])
            )
        return torch.stack(found)


def test_a_distribution_may_know_its_marginals():
    covariance = torch.tensor([[1.0, 0.5], [0.5, 2.0]])
    p = Marginals(torch.zeros(2), covariance)
    assert observes_each(p)
    rows = torch.tensor([[1.0, NAN], [1.0, 2.0]])
    found = MissingAtRandom((2,), constraints.real)(p).log_prob(rows)
    assert found[0] == pytest.approx(
        dist.Normal(0.0, 1.0).log_prob(torch.tensor(1.0)).item()
    )
    assert found[1] == pytest.approx(p.log_prob(rows[1]).item())


def test_of_an_expanded_distribution():
    p = dist.Normal(torch.zeros(3), 1.0).to_event(1).expand([4])
    rows, observed = torch.zeros(4, 3), torch.tensor([True, False, True]).expand(4, 3)
    expected = 2 * dist.Normal(0.0, 1.0).log_prob(torch.tensor(0.0))
    torch.testing.assert_close(observed_log_prob(p, rows, observed), expected.expand(4))


def test_a_family_of_the_users_own_with_dependent_cells(monkeypatch):
    constructors = dict(LIKELIHOODS._constructors)
    monkeypatch.setattr(LIKELIHOODS, "_constructors", constructors)

    class Tied(Family):
        support = constraints.real
        remedy = "none"

        def forward(self, raw):
            return dist.MultivariateNormal(raw, torch.eye(2))

    LIKELIHOODS.register("tied")(lambda data_shape: Tied(data_shape, data_shape))
    model = VAE(data_shape=(2,), latent_dim=1, likelihood="tied", missing="at_random")
    with pytest.raises(ValueError, match="expected all cells of a row or none"):
        evidence(model, torch.tensor([[0.0, NAN]]))
