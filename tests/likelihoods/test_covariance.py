"""Normal noise that is correlated within a row, against scipy, the VAE and the normal by EM."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from pyro_vae import VAE, fit
from pyro_vae.data import statistics
from pyro_vae.data.normal_em import fit_normal
from pyro_vae.hooks import HasColumnDensities
from pyro_vae.likelihoods.correlated_normal import CorrelatedNormal
from pyro_vae.likelihoods.correlation import (
    CholeskyCorrelation,
    Correlation,
    FactorCorrelation,
)
from pyro_vae.likelihoods.learned_correlation import (
    FullCorrelation,
    LowRankCorrelation,
    correlation_of,
)
from pyro_vae.training import compiled_graph
from tests.likelihoods.families import build

COLUMNS = 4
KINDS = ("full", "low_rank")
MASKS = torch.tensor(list(itertools.product([True, False], repeat=COLUMNS)))

each_kind = pytest.mark.parametrize("kind", KINDS)


def noise(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def a_correlation(kind, dtype=torch.float64) -> Correlation:
    torch.manual_seed(0)
    module = FullCorrelation(COLUMNS)
    if kind == "low_rank":
        module = LowRankCorrelation(COLUMNS, 2)
    module = module.to(dtype)
    for number, parameter in enumerate(module.parameters()):
        parameter.data.add_(noise(*parameter.shape, seed=number).to(dtype))
    return module()


def a_row(kind, *leading, seed=0) -> CorrelatedNormal:
    scale = torch.tensor([0.1, 1.0, 3.0, 20.0], dtype=torch.float64)
    return CorrelatedNormal(
        noise(*leading, COLUMNS, seed=seed), scale, a_correlation(kind)
    )


def in_numpy(p):
    return p.mean.detach().numpy(), p.covariance_matrix.detach().numpy()


@each_kind
def test_the_matrix_has_ones_on_its_diagonal_and_is_positive_definite(kind):
    matrix = a_correlation(kind).matrix()
    torch.testing.assert_close(
        matrix.diagonal(), torch.ones(COLUMNS, dtype=torch.float64)
    )
    torch.testing.assert_close(matrix, matrix.mT)
    assert torch.linalg.eigvalsh(matrix).min() > 0
    assert matrix.tril(-1).abs().max() > 0.3


@each_kind
def test_the_density_is_that_of_scipy(kind):
    p = a_row(kind)
    x = p.sample((50,))
    mean, covariance = in_numpy(p)
    expected = multivariate_normal(mean, covariance).logpdf(x.numpy())
    np.testing.assert_allclose(p.log_prob(x).detach(), expected, rtol=1e-9)


@each_kind
def test_any_cells_have_the_density_of_scipy(kind):
    """All 16 masks of 4 columns, in one call."""
    p = a_row(kind)
    x = p.sample((len(MASKS),))
    mean, covariance = in_numpy(p)
    got = p.pyro_vae_observed_log_prob(x, MASKS).detach()
    for row, mask, density in zip(x.numpy(), MASKS.numpy(), got, strict=True):
        expected = 0.0
        if mask.any():
            part = multivariate_normal(mean[mask], covariance[np.ix_(mask, mask)])
            expected = part.logpdf(row[mask])
        assert float(density) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@each_kind
def test_conditionals_are_those_of_the_formula(kind):
    p = a_row(kind)
    x = p.sample((len(MASKS),))
    mean, covariance = in_numpy(p)
    found = p.pyro_vae_conditional(torch.where(MASKS, x, torch.nan), MASKS)
    for n, o in enumerate(MASKS.numpy()):
        gain = covariance[np.ix_(~o, o)] @ np.linalg.inv(covariance[np.ix_(o, o)])
        expected = mean[~o] + gain @ (x[n].numpy()[o] - mean[o])
        left = covariance[np.ix_(~o, ~o)] - gain @ covariance[np.ix_(o, ~o)]
        full = found.covariance[n].detach().numpy()
        np.testing.assert_allclose(
            found.mean[n].detach().numpy()[~o], expected, rtol=1e-8
        )
        np.testing.assert_allclose(full[np.ix_(~o, ~o)], left, rtol=1e-8, atol=1e-10)
        assert (full[o] == 0).all()
        assert torch.equal(found.mean[n][MASKS[n]], x[n][MASKS[n]])


@each_kind
def test_observed_times_conditional_is_the_whole(kind):
    """log p(x_o) + log p(x_m | x_o) = log p(x): the chain rule, row by row."""
    p = a_row(kind)
    x = p.sample((len(MASKS),))
    found = p.pyro_vae_conditional(x, MASKS)
    total = p.pyro_vae_observed_log_prob(x, MASKS).detach().numpy()
    for n, o in enumerate(MASKS.numpy()):
        if o.all():
            continue
        covariance = found.covariance[n].detach().numpy()[np.ix_(~o, ~o)]
        rest = multivariate_normal(found.mean[n].detach().numpy()[~o], covariance)
        total[n] += rest.logpdf(x[n].numpy()[~o])
    np.testing.assert_allclose(total, p.log_prob(x).detach(), rtol=1e-8)


@each_kind
def test_many_draws_of_z_share_the_masks(kind):
    """The rows of a batch have masks (5, D); the distribution has draws of z in front, (3, 5)."""
    p = a_row(kind, 3, 5)
    x = noise(5, COLUMNS, seed=7)
    observed = MASKS[3:8]
    together = p.pyro_vae_observed_log_prob(x, observed)
    conditional = p.pyro_vae_conditional(x, observed)
    assert together.shape == (3, 5)
    for k, n in itertools.product(range(3), range(5)):
        one = CorrelatedNormal(p.loc[k, n], p.scale[k, n], p.correlation)
        alone = one.pyro_vae_observed_log_prob(x[n], observed[n])
        torch.testing.assert_close(together[k, n], alone)
        mean, covariance = one.pyro_vae_conditional(x[n], observed[n])
        torch.testing.assert_close(conditional.mean[k, n], mean)
        torch.testing.assert_close(conditional.covariance[k, n], covariance)


@each_kind
def test_all_cells_observed_is_log_prob(kind):
    p = a_row(kind, 5)
    x = noise(5, COLUMNS, seed=3)
    everything = torch.ones(5, COLUMNS, dtype=torch.bool)
    got = p.pyro_vae_observed_log_prob(x, everything)
    torch.testing.assert_close(got, p.log_prob(x))


@each_kind
def test_what_stands_in_a_missing_cell_changes_neither_density_nor_gradient(kind):
    results = []
    for fill in (0.0, 1e6):
        p = a_row(kind, len(MASKS))
        loc = p.loc.requires_grad_()
        x = torch.where(MASKS, noise(len(MASKS), COLUMNS, seed=4), fill)
        density = CorrelatedNormal(
            loc, p.scale, p.correlation
        ).pyro_vae_observed_log_prob(x, MASKS)
        gradient = torch.autograd.grad(density.sum(), loc)[0]
        assert (gradient[~MASKS] == 0).all()
        results.append((density.detach(), gradient))
    torch.testing.assert_close(results[0], results[1])


@each_kind
def test_gradients(kind):
    module = FullCorrelation(3) if kind == "full" else LowRankCorrelation(3, 2)
    module = module.double()
    names = [name for name, _ in module.named_parameters()]
    start = [
        noise(*p.shape, seed=n).requires_grad_()
        for n, p in enumerate(module.parameters())
    ]
    observed = torch.tensor(
        [[True, False, True], [False, True, True], [True, True, True]]
    )

    def density(x, loc, scale, *parameters):
        named = dict(zip(names, parameters, strict=True))
        correlation = torch.func.functional_call(module, named, ())
        p = CorrelatedNormal(loc, scale.exp(), correlation)
        return p.log_prob(x), p.pyro_vae_observed_log_prob(x, observed)

    numbers = [noise(3, 3, seed=n).requires_grad_() for n in (5, 6, 7)]
    assert torch.autograd.gradcheck(density, (*numbers, *start))


@each_kind
def test_draws_have_the_covariance(kind):
    torch.manual_seed(0)
    p = a_row(kind)
    drawn = p.sample((60_000,)).numpy()
    mean, covariance = in_numpy(p)
    std = np.sqrt(np.diag(covariance))
    assert (np.abs(drawn.mean(0) - mean) < 4 * std / np.sqrt(len(drawn))).all()
    got = np.cov(drawn.T) / np.outer(std, std)
    np.testing.assert_allclose(got, covariance / np.outer(std, std), atol=0.02)


@each_kind
def test_completed_rows_are_drawn_from_the_conditional(kind):
    torch.manual_seed(0)
    p = a_row(kind)
    observed = torch.tensor([True, False, True, False])
    x = torch.where(observed, p.sample(), torch.nan)
    drawn = p.expand((60_000,)).pyro_vae_complete(x, observed).detach()
    mean, covariance = (
        part.detach().numpy() for part in p.pyro_vae_conditional(x, observed)
    )
    assert torch.equal(drawn[:, observed], x[observed].expand(60_000, 2))
    some = [1, 3]
    std = np.sqrt(np.diag(covariance))[some]
    distance = np.abs(drawn.mean(0).numpy() - mean)[some]
    assert (distance < 4 * std / np.sqrt(60_000)).all()
    got = np.cov(drawn[:, some].T.numpy()) / np.outer(std, std)
    np.testing.assert_allclose(
        got, covariance[np.ix_(some, some)] / np.outer(std, std), atol=0.02
    )


@each_kind
def test_the_traced_step_is_the_eager_step(kind, monkeypatch):
    graphs = []

    def as_it_is(graph, inputs):
        graphs.append(graph)
        return graph.module

    monkeypatch.setattr(compiled_graph, "_compile", as_it_is)
    histories = []
    for how in ("step", "off"):
        torch.manual_seed(0)
        likelihood = {"kind": "normal", "covariance": kind}
        vae = VAE(
            data_shape=(COLUMNS,), latent_dim=2, hidden_dims=(6,), likelihood=likelihood
        )
        run = fit(
            vae,
            TIED.float(),
            epochs=3,
            batch_size=100,
            validation=None,
            progress=False,
            seed=0,
            compile=how,
        )
        histories.append([epoch["loss"] for epoch in run.history])
    assert graphs
    np.testing.assert_allclose(histories[0], histories[1], rtol=1e-4)


@pytest.mark.parametrize("near", [1e-2, 1e-3])
def test_nearly_equal_columns_in_float32(near):
    """Columns that differ by 1e-3 of their spread: the factors lose no digits to Woodbury."""
    std = torch.full((COLUMNS,), near, dtype=torch.float64)
    loadings = (1 - std.square()).sqrt().unsqueeze(1)
    exact = FactorCorrelation(std, loadings)
    torch.manual_seed(0)
    x = exact.draw(torch.zeros(200, COLUMNS, dtype=torch.float64)).float()
    reference = multivariate_normal(np.zeros(COLUMNS), exact.matrix().numpy())
    got = FactorCorrelation(std.float(), loadings.float()).log_prob(x)
    # rounding x itself to float32 moves u = x / std by 6e-8 / near
    expected = reference.logpdf(x.double().numpy())
    np.testing.assert_allclose(got, expected, atol=20 * 6e-8 / near)


def test_both_forms_agree():
    factors = a_correlation("low_rank")
    cholesky = CholeskyCorrelation(torch.linalg.cholesky(factors.matrix()))
    x = noise(len(MASKS), COLUMNS, seed=2)
    torch.testing.assert_close(cholesky.log_prob(x), factors.log_prob(x))
    torch.testing.assert_close(
        cholesky.conditional(x, MASKS).covariance,
        factors.conditional(x, MASKS).covariance,
    )


TIED = noise(400, COLUMNS) @ (
    torch.eye(COLUMNS).double() + 0.9 * noise(COLUMNS, COLUMNS, seed=1)
)


def test_it_starts_as_the_multivariate_normal_of_the_rows():
    family = build(
        {"kind": "normal", "covariance": "full", "start": "data"}, (COLUMNS,)
    )
    family.pyro_vae_start(statistics([TIED]))
    p = family(torch.zeros(COLUMNS, dtype=torch.float64))
    expected = np.cov(TIED.T.numpy(), ddof=0)
    got = p.covariance_matrix.detach().numpy()
    unit = np.sqrt(np.diag(expected))
    # one row with independent columns is added to 400, and a scale starts at 1.0001 spreads
    np.testing.assert_allclose(
        got / np.outer(unit, unit), expected / np.outer(unit, unit), atol=3e-3
    )
    normal = fit_normal(TIED.numpy(), ridge=1.0)
    np.testing.assert_allclose(
        p.log_prob(TIED).detach().mean(),
        normal.log_prob(TIED.numpy()).mean(),
        atol=1e-3,
    )


def test_low_rank_starts_as_probabilistic_pca():
    """Tipping and Bishop's maximum for rows with that correlation matrix exactly."""
    loadings = np.array([[0.9], [0.9], [0.9], [0.9]])
    correlation = loadings @ loadings.T + 0.19 * np.eye(COLUMNS)
    module = LowRankCorrelation(COLUMNS, 1).double()
    module.start_at(correlation)
    np.testing.assert_allclose(module().matrix().detach(), correlation, atol=1e-6)


@each_kind
def test_by_default_it_starts_without_correlations(kind):
    torch.manual_seed(0)
    family = build({"kind": "normal", "covariance": kind}, (COLUMNS,))
    family.pyro_vae_start(statistics([TIED]))
    matrix = family.correlation().matrix().detach()
    torch.testing.assert_close(matrix, torch.eye(COLUMNS).double(), atol=0.1, rtol=0)


@pytest.mark.parametrize("source", ["per_feature", "learned", "decoder"])
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_scale_starts_where_it_is_asked_to(source, covariance):
    options = {
        "kind": "normal",
        "scale": source,
        "covariance": covariance,
        "initial_scale": 0.7,
    }
    family = build(options, (COLUMNS,))
    family.pyro_vae_start(statistics([TIED]))
    p = family(torch.zeros(family.param_shape, dtype=torch.float64))
    unit = family.std if source != "learned" else family.std.square().mean().sqrt()
    expected = (0.7001 * unit).expand(COLUMNS)
    torch.testing.assert_close(p.variance.sqrt().detach(), expected, rtol=1e-6, atol=0)


@pytest.mark.slow
@each_kind
def test_fit_finds_the_correlations_that_z_does_not_explain(kind):
    """A constant decoder leaves one multivariate normal, whose maximum is known."""
    factor = torch.tensor([[1.0, 0, 0], [0.8, 0.6, 0], [-0.5, 0.3, 0.8]])
    rows = noise(2000, 3).float() @ factor.T
    likelihood = {
        "kind": "normal",
        "covariance": kind,
        "rank": 2 if kind == "low_rank" else None,
    }
    vae = VAE(data_shape=(3,), latent_dim=1, likelihood=likelihood, decoder=Constant(3))
    fit(
        vae,
        rows,
        epochs=60,
        batch_size=500,
        lr=0.05,
        validation=None,
        progress=False,
        seed=0,
    )
    p = vae.likelihood(torch.zeros(1, 1))
    expected = np.cov(rows.T.numpy(), ddof=0)
    np.testing.assert_allclose(p.covariance_matrix[0].detach(), expected, atol=0.05)
    best = fit_normal(rows.numpy()).log_prob(rows.numpy()).mean()
    assert float(p.log_prob(rows).mean().detach()) == pytest.approx(best, abs=5e-3)


class Constant(torch.nn.Module):
    """A decoder that ignores z."""

    def __init__(self, size):
        super().__init__()
        self.output = torch.nn.Parameter(torch.zeros(size))

    def forward(self, z):
        return self.output.expand(len(z), -1)


def test_it_starts_from_rows_with_missing_cells():
    rows = torch.where(noise(400, COLUMNS, seed=9) > 0.5, torch.nan, TIED)
    found = correlation_of(rows.numpy())
    np.testing.assert_allclose(found, np.corrcoef(TIED.T.numpy()), atol=0.1)


def test_columns_that_never_vary_are_independent_at_the_start():
    rows = TIED.numpy().copy()
    rows[:, 1] = 3.0
    rows[:, 2] = np.nan
    found = correlation_of(rows)
    assert (found[1] == np.eye(COLUMNS)[1]).all()
    assert (found[2] == np.eye(COLUMNS)[2]).all()
    assert abs(found[0, 3]) > 0.1


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_few_rows_are_enough_to_start(rows):
    for kind in KINDS:
        family = build(
            {"kind": "normal", "covariance": kind, "start": "data"}, (COLUMNS,)
        )
        family.pyro_vae_start(statistics([TIED[:rows]]))
        p = family(torch.zeros(COLUMNS, dtype=torch.float64))
        assert p.log_prob(TIED).isfinite().all()


@each_kind
def test_units_change_only_units(kind):
    unit = torch.tensor([1e-8, 1.0, 1e6, 1e3], dtype=torch.float64)
    raw = noise(5, COLUMNS, seed=3)
    densities = []
    for scale in (torch.ones(COLUMNS, dtype=torch.float64), unit):
        family = build(
            {"kind": "normal", "covariance": kind, "start": "data"}, (COLUMNS,)
        )
        family.pyro_vae_start(statistics([TIED * scale]))
        densities.append(
            family(raw).log_prob(TIED[:5] * scale).detach() + scale.log().sum()
        )
    torch.testing.assert_close(densities[0], densities[1])


def test_far_units_in_float32():
    family = build(
        {"kind": "normal", "covariance": "full", "start": "data"}, (COLUMNS,)
    ).float()
    rows = TIED * 1e25
    family.pyro_vae_start(statistics([rows]))
    density = family(torch.zeros(COLUMNS)).log_prob(rows.float())
    expected = fit_normal(TIED.numpy(), ridge=1.0).log_prob(
        TIED.numpy()
    ) - COLUMNS * np.log(1e25)
    np.testing.assert_allclose(density.detach(), expected, rtol=1e-3)


def test_independent_columns_stay_those_of_the_moments():
    vae = VAE(
        data_shape=(COLUMNS,), likelihood={"kind": "normal", "covariance": "full"}
    )
    fit(vae, TIED.float(), epochs=1, validation=None, progress=False)
    plain = VAE(data_shape=(COLUMNS,), likelihood="normal")
    fit(plain, TIED.float(), epochs=1, validation=None, progress=False)
    x = TIED[:9].float()
    got = vae.likelihood.independent().log_prob(x)
    torch.testing.assert_close(got, plain.likelihood.independent().log_prob(x))


def test_the_default_has_no_correlations():
    family = build({"kind": "normal"}, (COLUMNS,))
    assert family.correlation is None
    assert {name for name, _ in family.named_parameters()} == {"scale.raw"}
    assert not isinstance(a_row("full"), HasColumnDensities)


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({"rank": 2}, (4,), "leave rank out"),
        ({"covariance": "full", "rank": 2}, (4,), "leave rank out"),
        ({"covariance": "low_rank", "rank": 5}, (4,), "at most 4"),
        ({"covariance": "full"}, (2, 2), "flatten them"),
    ],
)
def test_what_it_refuses(options, shape, message):
    with pytest.raises(ValueError, match=message):
        build({"kind": "normal", **options}, shape)
