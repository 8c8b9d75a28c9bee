"""Figures that are drawn on given axes: what is drawn, and that it can be read."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy import stats

from pyro_vae.analysis.figures import plots
from pyro_vae.analysis.figures.ecdf import ecdf_band, leaves_band
from pyro_vae.figure_style import BLUE, GREY
from tests.analysis.figures.drawing import draw, nothing_cut_off

RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=500)
COUNTS = RANDOM.negative_binomial(1, 0.01, size=800)
HISTORY = [
    {"epoch": float(i), "elbo": -9.0 - 1 / i, "rate": 4.0, "distortion": 5.0}
    for i in range(1, 30)
]
LONG = [f"a level with a long name {i}" for i in range(20)]


def axes() -> Axes:
    return Figure(figsize=(3.2, 2.4), layout="constrained").add_subplot()


def figure_of(drawn: Axes) -> Figure:
    figure = drawn.get_figure()
    assert isinstance(figure, Figure)
    return figure


DRAWN: dict[str, Callable[[Axes], Axes]] = {
    "ecdf": lambda a: plots.ecdf_with_band(a, NORMAL[:60], NORMAL, xlabel="mm"),
    "ecdf of large values": lambda a: plots.ecdf_with_band(
        a, 1e4 * np.exp(NORMAL[:60]), 1e4 * np.exp(NORMAL), xlabel="EUR"
    ),
    "ecdf of one value": lambda a: plots.ecdf_with_band(a, [1e6], NORMAL),
    "rootogram": lambda a: plots.rootogram(
        a, COUNTS[:99] % 9, COUNTS % 9, xlabel="birds"
    ),
    "rootogram of a wide range": lambda a: plots.rootogram(
        a, COUNTS[:99], COUNTS, xlabel="birds"
    ),
    "levels": lambda a: plots.level_bars(a, [0, 1, 1], [0, 1], ["no", "yes"]),
    "many levels": lambda a: plots.level_bars(a, np.arange(20), np.arange(20), LONG),
    "rate": lambda a: plots.rate_by_dimension(a, np.arange(40.0), np.arange(40) > 9),
    "rate of few": lambda a: plots.rate_by_dimension(a, [1.0, 0.1], [True, False]),
    "aggregate": lambda a: plots.aggregate_posterior(a, NORMAL[:99], NORMAL),
    "traversal": lambda a: plots.traversal(
        a, np.arange(9.0), NORMAL[:54].reshape(9, 6), columns=LONG[:6], scale=np.ones(6)
    ),
    "log p": lambda a: plots.log_p_histograms(
        a,
        {"held out": NORMAL, "fitted": 3 + NORMAL, "independent columns": -9 + NORMAL},
    ),
    "k-hat": lambda a: plots.k_hat_by_row(a, NORMAL[:40], 0.7),
    "missing": lambda a: plots.missing_map(
        a,
        NORMAL.reshape(50, 10) > 1,
        columns=[f"a column's long name {i}" for i in range(10)],
    ),
    "elbo": lambda a: plots.elbo_curve(a, HISTORY, best_epoch=20),
    "terms": lambda a: plots.terms_curve(a, HISTORY),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_returns_its_axes_whole_and_with_labels(name: str) -> None:
    given = axes()
    drawn = DRAWN[name](given)
    assert drawn is given
    assert nothing_cut_off(figure_of(drawn))
    assert drawn.get_ylabel() or drawn.get_yticklabels()
    assert drawn.get_xlabel() or name in ("levels", "many levels", "ecdf of one value")
    for axis in (drawn.xaxis, drawn.yaxis):
        boxes = [
            text.get_window_extent()
            for text in axis.get_ticklabels()
            if text.get_visible() and text.get_text()
        ]
        for one, other in combinations(boxes, 2):
            assert not one.overlaps(other)


@pytest.mark.parametrize(("values", "draws"), [(40, 4000), (300, 900)])
def test_the_band_holds_whole_curves_as_often_as_it_says(
    values: int, draws: int
) -> None:
    random = np.random.default_rng(1)
    outside = [
        leaves_band(
            random.gamma(2, size=values), random.gamma(2, size=draws), level=0.9
        )
        for _ in range(2000)
    ]
    low, high = stats.binom(2000, 0.1).ppf([0.001, 0.999]) / 2000
    assert low / 1.3 <= np.mean(outside) <= high  # ends are whole counts


def test_the_ends_of_the_band_have_one_probability_at_each_rank() -> None:
    band = ecdf_band(200, 1000)
    counts = stats.betabinom(200, band.rank, 1001 - band.rank)
    lower = np.rint(200 * band.lower)
    upper = np.rint(200 * band.upper)
    outside = np.maximum(counts.cdf(lower - 1), counts.sf(upper))
    inside = np.minimum(counts.cdf(lower), counts.sf(upper - 1))
    assert outside.max() < inside.min() < 0.025


def test_the_band_of_few_draws_is_wider_than_that_of_the_distribution() -> None:
    def width(draws: int) -> float:
        band = ecdf_band(200, draws)
        return float((band.upper - band.lower).max())

    assert width(200) > 1.3 * width(20_000)


def test_the_curve_is_that_of_the_data() -> None:
    drawn = plots.ecdf_with_band(axes(), [3.0, 1.0, np.nan, 2.0], NORMAL)
    x, y = drawn.lines[0].get_data()
    np.testing.assert_array_equal(x, [1, 2, 3])
    np.testing.assert_allclose(y, [1 / 3, 2 / 3, 1])


def test_bars_of_a_rootogram_hang_from_the_expected_counts() -> None:
    drawn = plots.rootogram(axes(), [0, 0, 0, 0, 1, 2], [0, 1, 1, 2])
    bars: Any = drawn.patches
    tops = [bar.get_y() + bar.get_height() for bar in bars]
    np.testing.assert_allclose(tops, np.sqrt([1.5, 3, 1.5]))
    np.testing.assert_allclose([bar.get_height() for bar in bars], [2, 1, 1])
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), tops)


def test_a_rootogram_of_a_wide_range_counts_each_row_once() -> None:
    drawn = plots.rootogram(axes(), COUNTS[:99], COUNTS)
    bars: Any = drawn.patches
    assert len(bars) <= 30
    assert sum(bar.get_height() ** 2 for bar in bars) == pytest.approx(99)
    expected = np.asarray(drawn.lines[0].get_ydata()) ** 2
    assert expected.sum() == pytest.approx(99)
    assert drawn.get_ylim()[0] <= min(bar.get_y() for bar in bars)


def test_rare_levels_share_a_bar() -> None:
    data = np.repeat(np.arange(5), [9, 1, 8, 1, 7])
    drawn = plots.level_bars(axes(), data, data, list("abcde"), most=4)
    names = [text.get_text() for text in drawn.get_xticklabels()]
    assert names == ["a", "c", "e", "2 others"]
    bars: Any = drawn.patches
    np.testing.assert_allclose(
        [bar.get_height() for bar in bars], np.array([9, 8, 7, 2]) / 26
    )
    points: Any = drawn.lines[-1]
    np.testing.assert_allclose(points.get_ydata(), np.array([9, 8, 7, 2]) / 26)


def test_bars_of_levels_have_two_standard_errors() -> None:
    drawn = plots.level_bars(axes(), [0] * 16 + [1] * 9, [0, 1], ["no", "yes"])
    lines: Any = drawn.collections[0]
    ends = [segment[:, 1] for segment in lines.get_segments()]
    error = 2 * np.sqrt(0.64 * 0.36 / 25)  # of a binomial share
    np.testing.assert_allclose(ends[0], [0.64 - error, 0.64 + error])
    np.testing.assert_allclose(ends[1], [0.36 - error, 0.36 + error])


def test_bars_of_active_units_are_blue() -> None:
    drawn = plots.rate_by_dimension(axes(), [3.0, 1.0, 2.0], [False, True, True])
    bars: Any = drawn.patches
    colours = {bar.get_height(): to_hex(bar.get_facecolor()) for bar in bars}
    assert colours == {3.0: GREY, 1.0: BLUE, 2.0: BLUE}
    hatches = {bar.get_height(): bool(bar.get_hatch()) for bar in bars}
    assert hatches == {3.0: True, 1.0: False, 2.0: False}


def test_the_prior_is_grey_and_the_aggregate_posterior_blue() -> None:
    drawn = plots.aggregate_posterior(axes(), 3 + NORMAL / 4, NORMAL)
    found = {}
    for stairs in drawn.patches:
        density, edges, _ = stairs.get_data()  # type: ignore[attr-defined]
        mass = density * np.diff(edges)
        assert mass.sum() == pytest.approx(1)
        mean = mass @ (edges[1:] + edges[:-1]) / 2
        is_filled = stairs.get_fill()
        ink = stairs.get_facecolor() if is_filled else stairs.get_edgecolor()
        found[stairs.get_label()] = (to_hex(ink), mean)
    assert {name: colour for name, (colour, _) in found.items()} == {
        "prior p(z)": GREY,
        "aggregate posterior q(z)": BLUE,
    }
    assert found["prior p(z)"][1] == pytest.approx(NORMAL.mean(), abs=0.1)
    assert found["aggregate posterior q(z)"][1] == pytest.approx(3, abs=0.1)


def test_unknown_rates_are_last_and_have_no_bar() -> None:
    drawn = plots.rate_by_dimension(axes(), [np.nan, 1.0, 2.0], [False, True, True])
    assert [text.get_text() for text in drawn.get_xticklabels()] == ["2", "1", "0"]


def test_each_histogram_has_area_one_and_far_rows_are_in_it() -> None:
    log_p = np.append(RANDOM.normal(-80, 5, size=200), -1e6)
    drawn = plots.log_p_histograms(axes(), {"rows": log_p, "others": log_p[:50] + 3})
    assert drawn.get_xlim()[0] > -200
    for stairs in drawn.patches:
        density, edges, _ = stairs.get_data()  # type: ignore[attr-defined]
        assert (density * np.diff(edges)).sum() == pytest.approx(1)


@pytest.mark.parametrize(("rows", "bins"), [(20, 8), (400, 20), (9000, 60)])
def test_histograms_of_few_rows_have_few_bins(rows: int, bins: int) -> None:
    log_p = np.linspace(-90, -70, rows)
    drawn = plots.log_p_histograms(axes(), {"rows": log_p, "some": log_p[::2]})
    for stairs in drawn.patches:
        assert len(stairs.get_data()[0]) == bins  # type: ignore[attr-defined]


def test_rows_above_their_own_limit_are_not_reliable() -> None:
    drawn = plots.k_hat_by_row(axes(), [0.5, 0.5, np.inf, np.nan], [0.4, 0.7, 0.7, 0.7])
    texts = [text.get_text() for text in drawn.get_legend().get_texts()]  # type: ignore[union-attr]
    assert texts == ["reliable (1)", "not reliable (2)", "limit"]
    draw(figure_of(drawn))


def test_the_missing_map_is_the_mask() -> None:
    missing = RANDOM.random((30, 4)) < 0.2
    drawn = plots.missing_map(axes(), missing, columns=list("abcd"))
    picture: Any = drawn.images[0].get_array()
    np.testing.assert_array_equal(~np.ma.getmaskarray(picture), missing.T)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda a: plots.ecdf_with_band(a, [np.nan], NORMAL), "at least one finite"),
        (lambda a: plots.rootogram(a, [1], []), "at least one finite number"),
        (
            lambda a: plots.level_bars(a, [0, 2], [0], ["no", "yes"]),
            "data: expected positions among the 2 levels, .* from 0 to 1, got 2; name",
        ),
        (
            lambda a: plots.level_bars(a, [0], [1, -1], ["no", "yes"]),
            "draws: expected .*, got -1; name all levels",
        ),
        (lambda a: plots.level_bars(a, [0.5], [1], ["no", "yes"]), "got 0.5"),
        (
            lambda a: plots.rate_by_dimension(a, [1.0], [True, False]),
            r"\(1,\) and \(2,\)",
        ),
        (lambda a: plots.aggregate_posterior(a, [], NORMAL), "codes: expected"),
        (lambda a: plots.log_p_histograms(a, {"x": [np.nan]}), r"none in \['x'\]"),
        (lambda a: plots.log_p_histograms(a, {}), "no set at all"),
        (
            lambda a: plots.k_hat_by_row(a, [np.nan], 0.7),
            "none among 1; take 100 draws",
        ),
        (lambda a: plots.missing_map(a, [True]), r"got shape \(1,\)"),
        (
            lambda a: plots.missing_map(a, [[True]], columns=["a", "b"]),
            "1 names, got 2",
        ),
        (lambda a: ecdf_band(0, 5), "at least 1 value and 1 draw, got 0 and 5"),
    ],
)
def test_wrong_arguments(wrong: Callable[[Axes], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong(axes())


def test_a_traversal_shows_the_columns_that_change_most_in_their_own_units() -> None:
    z = np.linspace(-1, 1, 5)
    means = np.stack([z, 100 * z, z**2, np.full(5, np.nan)], 1)
    drawn = plots.traversal(
        axes(),
        z,
        means,
        columns=list("abcd"),
        scale=[0.1, 1000.0, 1.0, 1.0],
        most=2,
        dimension=3,
    )
    assert [line.get_label() for line in drawn.lines] == ["a", "c"]
    np.testing.assert_allclose(drawn.lines[0].get_ydata(), 10 * z)
    assert drawn.get_xlabel() == "z, dimension 3"
    with pytest.raises(ValueError, match=r"of shape \(5, 2\), got \(5, 4\)"):
        plots.traversal(axes(), z, means, columns=["a", "b"], scale=[1.0, 1.0])
