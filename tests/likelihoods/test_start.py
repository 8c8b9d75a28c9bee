"""Where a family starts from data, and data that it refuses."""

import numpy as np
import pytest
import torch

from pyro_vae import VAE, fit
from pyro_vae.data import statistics
from pyro_vae.likelihoods import LIKELIHOODS
from pyro_vae.objectives import ELBO
from tests.likelihoods.families import (
    CASES,
    GROUPS,
    SIZED,
    TABLE,
    build,
    every_case,
    family,
)

NO_MEAN_TO_MATCH = {
    "continuous_bernoulli": "has no offset",
    "distribution": "starts at the largest likelihood",
}
HEAVY_TAILED = {
    "laplace",
    "student_t",
}  # start at the median, which outliers don't move
RELATIVE = {
    "bernoulli": 0.02,
    "binomial": 0.01,
    "beta_binomial": 0.01,
    "categorical": 0.05,
    "ordinal": 0.05,
    "multinomial": 0.12,
    "mixed": 0.05,
}


def zero(built):
    return torch.zeros(built.param_shape, dtype=torch.float64)


WITH_MEAN = [
    name
    for name in CASES
    if name.split(",")[0] not in NO_MEAN_TO_MATCH and name != "multinomial, total"
]


@pytest.mark.parametrize("name", WITH_MEAN)
def test_a_decoder_at_zero_gives_the_mean_or_the_median_of_the_data(name):
    """But for half a row in the log odds, a rounded total, and what exceeds the last level."""
    built = family(name)
    rows = CASES[name].rows
    tolerance = RELATIVE.get(name.split(",")[0], 0.01 if "logistic" in name else 1e-3)
    middle = (
        rows.quantile(0.5, 0) if name.split(",")[0] in HEAVY_TAILED else rows.mean(0)
    )
    torch.testing.assert_close(
        built(zero(built)).mean.detach(), middle, rtol=tolerance, atol=1e-6
    )


SPREAD = [
    "beta_binomial",
    "laplace",
    "gamma",
    "beta",
    "log_normal, decoder",
    "negative_binomial",
    "zero_inflated_poisson",
]
SPREAD += ["zero_inflated_negative_binomial", "discretized_logistic", "normal"]


@pytest.mark.parametrize("name", SPREAD)
def test_a_decoder_at_zero_gives_about_the_spread_of_the_data(name):
    built = family(name)
    rows = CASES[name].rows
    ratio = built(zero(built)).variance.detach().sum() / rows.var(0, correction=0).sum()
    assert 0.8 < float(ratio) < 1.25


@pytest.mark.parametrize(
    "name", [name for name in CASES if name != "continuous_bernoulli"]
)
def test_starting_from_the_data_makes_them_more_likely(name):
    options, data_shape, rows = CASES[name]
    before = build(options, data_shape)
    after = family(name)
    gained = (
        after(zero(after)).log_prob(rows).mean()
        - before(zero(before)).log_prob(rows).mean()
    )
    assert gained.detach() > -0.05


@pytest.mark.slow
@every_case
def test_constant_features_are_no_trouble(name):
    options, data_shape, rows = CASES[name]
    for constant in (rows[:1].repeat(20, *(1 for _ in data_shape)), rows[:1]):
        built = build(options, data_shape)
        built.pyro_vae_start(statistics([constant]))
        p = built(zero(built))
        assert p.log_prob(constant).isfinite().all()
        assert p.mean.isfinite().all()


@pytest.mark.parametrize(
    "kind",
    [
        "poisson",
        "negative_binomial",
        "zero_inflated_poisson",
        "zero_inflated_negative_binomial",
        "multinomial",
    ],
)
def test_features_that_are_never_counted_keep_a_small_mean(kind):
    rows = torch.cat(
        [torch.zeros(50, 1), torch.full((50, 1), 3.0), torch.ones(50, 1)], 1
    ).double()
    built = build({"kind": kind}, (3,))
    built.pyro_vae_start(statistics([rows]))
    mean = built(zero(built)).mean.detach()
    assert 0 < float(mean[0]) < 0.05
    assert built(zero(built)).log_prob(rows).isfinite().all()


def test_size_factors_scale_the_means():
    built = family("poisson, sized")
    p = built(zero(built))
    rates = SIZED[:, :3].mean(0) / SIZED[:, 3].mean()
    for size in (0.5, 2.0):
        torch.testing.assert_close(
            p.counts(torch.tensor([size])).mean.detach(),
            rates * size,
            rtol=1e-6,
            atol=0,
        )
    torch.testing.assert_close(p.mean[3], SIZED[:, 3].mean())


REFUSED = {
    "laplace": (
        {},
        [0.0, np.inf],
        "expected finite numbers, got inf in row 2, column 1",
        "replace or drop",
    ),
    "student_t": (
        {},
        [0.0, np.nan],
        "expected finite numbers, got nan in row 2, column 1",
        "replace or drop",
    ),
    "log_normal": ({}, [1.0, 0.0], "got 0 in row 2, column 1", "'negative_binomial'"),
    "gamma": ({}, [1.0, -2.0], "got -2 in row 2, column 1", "'normal'"),
    "beta": (
        {},
        [0.5, 1.0],
        "strictly between 0 and 1, got 1 in row 2, column 1",
        "'continuous_bernoulli'",
    ),
    "beta_binomial": (
        {"total_count": 2},
        [1.0, 3.0],
        "got 3 in row 2, column 1",
        "total_count",
    ),
    "poisson": ({}, [1.0, 0.5], "got 0.5 in row 2, column 1", "'gamma'"),
    "negative_binomial": ({}, [1.0, -1.0], "got -1 in row 2, column 1", "'normal'"),
    "zero_inflated_poisson": ({}, [1.0, 0.1], "got 0.1 in row 2, column 1", "'normal'"),
    "zero_inflated_negative_binomial": (
        {},
        [1.0, 0.1],
        "got 0.1 in row 2, column 1",
        "'normal'",
    ),
    "categorical": (
        {"num_classes": 3},
        [1.0, 3.0],
        "got 3 in row 2, column 1",
        "num_classes",
    ),
    "ordinal": (
        {"num_classes": 3},
        [1.0, 3.0],
        "got 3 in row 2, column 1",
        "'categorical'",
    ),
    "multinomial": ({}, [1.0, 0.5], "got 0.5 in row 2, column 1", "'gamma'"),
    "discretized_logistic": ({}, [1.0, 256.0], "got 256 in row 2, column 1", "levels"),
    "distribution": (
        {"name": "Weibull"},
        [1.0, 0.0],
        "got 0 in row 2, column 1",
        "'normal'",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_rows_outside_the_support_are_refused_before_the_first_step(kind):
    options, bad, place, remedy = REFUSED[kind]
    good = [0.5, 0.25] if kind == "beta" else [1.0, 2.0]
    model = VAE(
        data_shape=(2,),
        latent_dim=1,
        hidden_dims=(2,),
        likelihood={"kind": kind, **options},
    )
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"^x: expected ") as found:
        fit(model, np.array([good, good, bad]), objective=ELBO(), validation=None)
    assert place in str(found.value)
    assert remedy in str(found.value)
    assert all(
        torch.equal(value, before[key]) for key, value in model.state_dict().items()
    )


def test_every_kind_is_in_a_case_and_refuses_something():
    kinds = {case.options["kind"] for case in CASES.values()}
    assert kinds == set(LIKELIHOODS)
    assert {
        *REFUSED,
        "normal",
        "bernoulli",
        "binomial",
        "continuous_bernoulli",
        "mixed",
    } == kinds


@pytest.mark.parametrize("kind", ["poisson", "zero_inflated_negative_binomial"])
@pytest.mark.parametrize(
    ("row", "place"),
    [([1, 2.5, 1.0], "got 2.5 in row 1, column 1"), ([1, 2, 0], "column 2")],
)
def test_sized_rows_need_counts_and_a_positive_size(kind, row, place):
    model = VAE(
        data_shape=(3,),
        latent_dim=1,
        likelihood={"kind": kind, "size_factor": "column"},
    )
    with pytest.raises(
        ValueError, match="positive size factor in the last column"
    ) as found:
        fit(model, np.array([[1, 2, 0.5], row]), objective=ELBO(), validation=None)
    assert place in str(found.value)


BAD_COLUMNS = {0: np.inf, 1: 0.5, 2: 4.0, 3: 0.0, 5: -1.0, 6: 0.0}


@pytest.mark.parametrize("column", BAD_COLUMNS)
def test_mixed_names_the_column_that_is_outside(column):
    rows = TABLE.clone()
    rows[7, column] = BAD_COLUMNS[column]
    model = VAE(
        data_shape=(7,), latent_dim=1, likelihood={"kind": "mixed", "columns": GROUPS}
    )
    with pytest.raises(ValueError, match=rf"in row 7, column {column}; ") as found:
        fit(model, rows, objective=ELBO(), validation=None)
    if column:
        for part in (
            "columns 3 (gamma): zeros need another",
            "columns 1: {0, 1}",
            "columns 5:7 (negative_binomial)",
        ):
            assert part in str(found.value)
