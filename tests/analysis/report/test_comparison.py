"""Paired differences of log p(x), against numpy by hand and against ArviZ."""

import math
from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vae import VAE
from pyro_vae.analysis import Evidence, evidence
from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
from pyro_vae.analysis.report.comparison import Comparison, compare
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.likelihoods import Multinomial, Poisson

TRUTH = LinearGaussian.random()
WIDER = LinearGaussian(TRUTH.weight, TRUTH.bias, 2 * TRUTH.sigma)
WRONG = LinearGaussian(-4 * TRUTH.weight, TRUTH.bias, TRUTH.sigma)
ROWS = 300

# ArviZ 0.23 on pandas 3, and stacking's optimiser.
quiet = pytest.mark.filterwarnings(
    "ignore:The inplace keyword in DataFrame", "ignore:delta_grad == 0.0:UserWarning"
)


@pytest.fixture(scope="module")
def found() -> Comparison:
    models = {
        "wrong": WRONG.vae(widen=1.2),
        "truth": TRUTH.vae(widen=1.2),
        "wider": WIDER.vae(widen=1.2),
    }
    return compare(models, TRUTH.sample(ROWS, seed=2), num_particles=400)


def numbers(
    log_marginal: np.ndarray, se: float = 0.1, pareto_k: float = 0.2, draws: int = 100
) -> Evidence:
    """Evidence with this log p(x), from the rows of some model."""
    base = evidence(TRUTH.vae(), TRUTH.sample(len(log_marginal)), num_particles=draws)
    full = {"log_marginal": log_marginal, "se": np.full(len(log_marginal), se)}
    return Evidence(
        **{**vars(base), **full, "pareto_k": np.full(len(log_marginal), pareto_k)}
    )


@pytest.mark.slow
def test_best_model_comes_first_with_its_exact_evidence(found: Comparison) -> None:
    assert found.names == ("truth", "wider", "wrong")
    x = TRUTH.sample(ROWS, seed=2)
    for model, truth in enumerate((TRUTH, WIDER, WRONG)):
        exact = truth.marginal().log_prob(x).numpy()
        assert (
            np.abs(found.log_marginal[model] - exact) < 4 * found.se[model]
        ).mean() > 0.99
    np.testing.assert_array_equal(found.num_particles, np.full((3, ROWS), 400))


def test_differences_are_those_of_the_exact_evidence(found: Comparison) -> None:
    """Mean and paired standard error of closed forms, within what the draws leave."""
    x = TRUTH.sample(ROWS, seed=2)
    exact = np.stack(
        [truth.marginal().log_prob(x).numpy() for truth in (TRUTH, WIDER, WRONG)]
    )
    paired = exact - exact[0]
    assert (np.abs(found.difference - paired.mean(1)) <= 4 * found.monte_carlo_se).all()
    np.testing.assert_allclose(
        found.difference_se, paired.std(1, ddof=1) / math.sqrt(ROWS), rtol=0.02
    )
    assert found.difference[0] == found.difference_se[0] == found.monte_carlo_se[0] == 0
    assert (found.difference[1:] < 0).all()
    assert found.difference_se[1] < np.hypot(
        *found.mean_se[:2]
    )  # what the pairing is for


def test_statistics_by_hand() -> None:
    a = np.array([-10.0, -12, -11, -19])
    b = np.array([-11.0, -12, -14, -20])
    found = compare({"b": numbers(b), "a": numbers(a, se=0.2, draws=50)})
    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.mean, [-13, -14.25])
    np.testing.assert_allclose(found.mean_se[0], math.sqrt((9 + 1 + 4 + 36) / 3 / 4))
    np.testing.assert_array_equal(found.difference, [0, -1.25])
    np.testing.assert_allclose(
        found.difference_se, [0, math.sqrt((0.0625 + 1.5625 + 3.0625 + 0.0625) / 3 / 4)]
    )
    np.testing.assert_allclose(
        found.monte_carlo_se, [0, math.sqrt(4 * (0.04 + 0.01)) / 4]
    )
    np.testing.assert_array_equal(found.num_particles[:, 0], [50, 100])


@pytest.mark.slow
def test_equal_rows_share_their_error() -> None:
    """A table of categories: 4 different rows, 10 times each. What is stated is what seeds show.

    The better model has the exact posterior, so all of the error is the other one's: models share
    their noise too.
    """
    x = TRUTH.sample(4, seed=3).repeat(10, 1)
    models = {"truth": TRUTH.vae(), "wider": WIDER.vae(widen=1.5)}
    found = [compare(models, x, num_particles=50, seed=seed) for seed in range(60)]
    assert {one.names[0] for one in found} == {"truth"}
    spread = np.std([one.difference[1] for one in found], ddof=1)
    stated = np.mean([one.monte_carlo_se[1] for one in found])
    assert stated == pytest.approx(
        spread, rel=0.3
    )  # 3 standard errors of a spread over 60
    a = numbers(np.array([-1.0, -2, -2, -2]))
    by_hand = math.sqrt(0.1**2 + 0.3**2 + 4 * 0.1**2) / 4
    assert compare({"a": a, "b": numbers(np.array([-3.0, -4, -5, -6]))}).monte_carlo_se[
        1
    ] == pytest.approx(by_hand)


def test_the_order_given_does_not_matter(found: Comparison) -> None:
    x = TRUTH.sample(9)
    models = {"truth": TRUTH.vae(widen=1.2), "wider": WIDER.vae(widen=1.2)}
    one = compare(models, x, num_particles=50)
    other = compare(dict(reversed(models.items())), x, num_particles=50)
    assert str(one) == str(other)
    given = models | {"truth": evidence(models["truth"], x, num_particles=50)}
    np.testing.assert_array_equal(
        compare(given, x, num_particles=50).log_marginal, one.log_marginal
    )


def test_the_table_says_how_to_read_it(found: Comparison) -> None:
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["truth", "wider", "wrong"]
    assert f"{found.mean[1]:.3f} ± {found.mean_se[1]:6.3f}" in lines[2]
    assert f"{found.difference[1]:.3f} ± {found.difference_se[1]:6.3f}" in lines[2]
    assert lines[2].endswith("0.0%")
    assert "not told apart" not in str(found)
    assert "too low" not in str(found)
    rng = np.random.default_rng(0)
    a = rng.normal(-80, 10, 50)
    alike = compare(
        {
            "a": numbers(a),
            "b": numbers(a + rng.normal(-0.1, 1, 50), pareto_k=0.9),
            "c": numbers(a - 5),
        }
    )
    assert "not told apart by these rows: b" in str(alike)
    assert "likely too low by an unknown amount (k-hat) for: b" in str(alike)
    assert "100.0%" in str(alike)
    unknown = compare({"a": numbers(a, pareto_k=math.nan), "b": numbers(a - 1)})
    assert "unknown" in str(unknown).splitlines()[1]


def test_there_is_a_line_for_each_model(found: Comparison) -> None:
    table = found.to_dataframe()
    assert table.index.name == "model"
    assert table.index.tolist() == ["truth", "wider", "wrong"]
    np.testing.assert_array_equal(table["log_marginal"], found.mean)
    np.testing.assert_array_equal(table["difference_se"], found.difference_se)
    assert repr(found) == f"Comparison(models=3, rows={ROWS}, best 'truth')"
    shown = found._repr_html_()
    assert shown.count("<tr>") == 4
    assert f"{found.mean[1]:.3f} ± {found.mean_se[1]:6.3f}</td>" in shown
    assert "differences are paired over the rows" in shown


def test_the_rows_of_a_comparison_have_their_labels() -> None:
    labels = ["b", "a", "c"]
    rows = pd.DataFrame(TRUTH.sample(3).numpy(), index=labels)
    models = {"truth": TRUTH.vae(), "wrong": WRONG.vae()}
    found = compare(models, rows, num_particles=50)
    mixed = {"truth": evidence(TRUTH.vae(), rows), "other": numbers(np.zeros(3))}
    for one in (found, compare(mixed)):
        assert one.by_row().index.tolist() == labels
        assert one.row_labels == tuple(labels)
    by_row = found.by_row()
    assert by_row.index.name == "row"
    assert by_row.loc["a", "wrong"] == found.log_marginal[1, 1]
    plain = compare(models, rows.to_numpy(), num_particles=50)
    assert plain.row_labels is None
    assert plain.by_row().index.tolist() == [0, 1, 2]


def test_one_row_and_impossible_rows() -> None:
    single = compare({"a": numbers(np.array([-3.0])), "b": numbers(np.array([-4.0]))})
    assert single.difference[1] == -1
    assert math.isnan(single.difference_se[1])
    a = np.array([-3.0, -4, -5])
    impossible = compare({"a": numbers(a), "b": numbers(np.array([-3.0, -np.inf, -5]))})
    assert impossible.names == ("a", "b")
    assert impossible.difference[1] == -np.inf
    assert "-inf" in str(impossible)


# ArviZ


@quiet
@pytest.mark.parametrize("method", ["stacking", "BB-pseudo-BMA"])
def test_arviz_compares_the_same(found: Comparison, method: str) -> None:
    """Sums in place of means, and deviations over n in place of n - 1."""
    table = az.compare(found.to_elpd(), method=method)
    assert list(table.index) == list(found.names)
    np.testing.assert_allclose(
        table["elpd_loo"].astype(float), ROWS * found.mean, rtol=1e-12
    )
    np.testing.assert_allclose(
        np.abs(table["elpd_diff"].astype(float)), -ROWS * found.difference, rtol=1e-9
    )
    dse = math.sqrt(ROWS * (ROWS - 1)) * found.difference_se
    np.testing.assert_allclose(table["dse"].astype(float), dse, rtol=1e-9, atol=1e-12)
    assert not table["warning"].any()
    if method == "stacking":
        se = math.sqrt(ROWS * (ROWS - 1)) * found.mean_se
        np.testing.assert_allclose(table["se"].astype(float), se, rtol=1e-9)


def test_evidence_is_an_elpd() -> None:
    x = TRUTH.sample(40)
    about = evidence(TRUTH.vae(widen=0.5), x, num_particles=100)
    one = about.to_elpd()
    assert one["elpd_loo"] == pytest.approx(about.log_marginal.sum(), rel=1e-12)
    np.testing.assert_array_equal(one["pareto_k"], about.pareto_k)
    assert one["n_samples"] == 100
    assert one["n_data_points"] == 40
    assert one["warning"] == bool((about.pareto_k > 0.7).any())


# Refusals


def bits(likelihood: Any = "bernoulli") -> VAE:
    return VAE(data_shape=(5,), latent_dim=2, likelihood=likelihood, hidden_dims=(4,))


SAME = np.zeros(4)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: compare({"a": numbers(SAME)}),
            r"models: expected at least 2 to compare, got \['a'\]",
        ),
        (
            lambda: compare([bits(), bits()], torch.zeros(4, 5)),
            "expected names and models, got a list; pass a dict",
        ),  # type: ignore[arg-type]
        (
            lambda: compare({"a": bits(), "b": 3}, torch.zeros(4, 5)),
            r"models\['b'\]: expected a VAE or its Evidence, got",
        ),  # type: ignore[dict-item]
        (
            lambda: compare({"a": bits(), "b": numbers(SAME)}),
            r"x: expected rows to evaluate \['a'\] on, got none",
        ),
        (
            lambda: compare({"a": numbers(SAME), "b": numbers(SAME[:3])}),
            "evidence about the same rows, got 'a': 4 rows of 5 numbers, 'b': 3 rows of 5 numbers",
        ),
        (
            lambda: compare({"a": numbers(SAME), "b": TRUTH.vae()}, TRUTH.sample(3)),
            "about the same rows, got",
        ),
    ],
)
def test_bad_input_is_refused(ask: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ask()


def test_evidence_about_other_rows_is_refused() -> None:
    """Whatever the precision of the models: the rows that they were given are the same."""
    single = VAE(data_shape=(5,), latent_dim=2, hidden_dims=(4,))
    x = TRUTH.sample(9)
    about, other = (evidence(vae, x, num_particles=5) for vae in (TRUTH.vae(), single))
    assert compare({"a": about, "b": other}).names
    turned = x[[0, 1, 2, 4, 3, 5, 6, 7, 8]]
    mixed = torch.cat([x[:7], x[:2]])
    for rows, message in (
        (
            turned,
            "got the same rows in another order for 'b' than for 'a', the first of them row 3",
        ),
        (mixed, "got 2 other rows for 'b' than for 'a', the first of them row 7"),
    ):
        with pytest.raises(
            ValueError, match=f"compare: expected .*{message}; evaluate all on one x"
        ):
            compare({"a": about, "b": evidence(TRUTH.vae(), rows, num_particles=5)})


def of(likelihood: Any, measure: Measure | None, rows: torch.Tensor) -> Evidence:
    """Evidence that knows its measure, as a field or, until it is one, as an attribute."""
    found = evidence(bits(likelihood), rows, num_particles=10)
    object.__setattr__(found, "measure", measure)
    return found


def test_probabilities_and_densities_do_not_compare() -> None:
    rows = (torch.rand(20, 5, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    for density in ("normal", "continuous_bernoulli", "laplace"):
        with pytest.raises(
            ValueError,
            match="'a' and 'b' don't compare: mass of columns 0:5, and density of columns",
        ):
            compare({"a": bits(), "b": bits(density)}, rows, num_particles=10)
    counts = [
        {"kind": "binomial", "total_count": 3},
        "poisson",
        {"kind": "categorical", "num_classes": 3},
    ]
    assert (
        len(
            compare(
                {str(kind): bits(kind) for kind in ["bernoulli", *counts]},
                rows,
                num_particles=10,
            ).names
        )
        == 4
    )
    assert (
        len(
            compare(
                {kind: bits(kind) for kind in ("normal", "laplace")},
                rows,
                num_particles=10,
            ).names
        )
        == 2
    )


def test_a_row_and_a_row_given_its_total_do_not_compare() -> None:
    """log Poisson(x) = log Multinomial(x | n) + log Poisson(n) for the same rates.

    So the truth would lose.
    """
    x = torch.tensor([[4.0, 0, 2, 1, 3], [1, 1, 1, 1, 1]])
    poisson, multinomial = (
        family((5,))(torch.zeros(2, 5)).log_prob(x) for family in (Poisson, Multinomial)
    )
    total = torch.distributions.Poisson(torch.tensor(5.0).double()).log_prob(
        x.sum(1).double()
    )
    torch.testing.assert_close(poisson - multinomial, total, rtol=1e-6, atol=1e-6)
    with pytest.raises(
        ValueError,
        match=r"mass of columns 0:5, given the total of each row, and mass of columns 0:5;",
    ):
        compare(
            {"given its total": bits("multinomial"), "truth": bits("poisson")},
            x,
            num_particles=10,
        )


def test_evidence_knows_its_measure() -> None:
    rows = torch.ones(4, 5)
    mass, density = (
        of(kind, measure_of(bits(kind)), rows) for kind in ("bernoulli", "normal")
    )
    for pair in ({"a": mass, "b": density}, {"a": density, "b": bits()}):
        with pytest.raises(ValueError, match=r"p\(x\) of 'a' and 'b' don't compare"):
            compare(pair, rows, num_particles=10)
    found = compare({"a": mass, "b": bits("poisson")}, rows, num_particles=10)
    assert found.measures == (Measure(mass="0:5"),) * 2
    assert "can't be told" not in str(found)


def test_what_does_not_know_its_measure_compares_with_a_word() -> None:
    rows = torch.ones(4, 5)
    found = compare(
        {"a": of("normal", None, rows), "b": bits("normal")}, rows, num_particles=10
    )
    assert set(found.measures) == {None, Measure(density="0:5")}
    assert str(found).endswith("which of them log p(x) is can't be told for: a")
    with pytest.raises(ValueError, match="'b' and 'c' don't compare"):
        compare(
            {"a": of("normal", None, rows), "b": bits("normal"), "c": bits()},
            rows,
            num_particles=10,
        )
