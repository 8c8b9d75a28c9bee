"""Pictures that compare draws with data or truth: what they hold, and that they can be read."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from scipy import stats

from pyro_vae.analysis.figures import plots
from pyro_vae.analysis.figures.calibration_ranks import UniformBand, uniform_band
from pyro_vae.analysis.figures.column_checks import columns_of, kind_of_column
from pyro_vae.analysis.figures.pairs import pair_cell
from tests.analysis.figures.drawing import illegible

RANDOM = np.random.default_rng(0)
UNIFORM = RANDOM.random((300, 5))


def axes() -> Axes:
    return Figure(figsize=(3.6, 3.0), layout="constrained").add_subplot()


def figure_of(drawn: Axes) -> Figure:
    figure = drawn.get_figure()
    assert isinstance(figure, Figure)
    return figure


def legend_of(drawn: Axes) -> list[str]:
    legend: Any = drawn.get_legend()
    return [text.get_text() for text in legend.get_texts()]


def segments(drawn: Axes) -> list[np.ndarray]:
    """The ends of the lines of each collection, (lines, 2, 2)."""
    found = [one for one in drawn.collections if isinstance(one, LineCollection)]
    return [np.array(one.get_segments()) for one in found]


# Calibration


def exact_level(band: UniformBand, values: int) -> float:
    """The probability that a distribution function of uniform numbers stays in a band.

    Counts at increasing places are a Markov chain of binomial increments.
    """
    counts = np.arange(values + 1)
    probability = np.zeros(values + 1)
    probability[0] = 1.0
    before = 0.0
    for at, low, high in zip(*band, strict=True):
        share = (at - before) / (1 - before)
        step = stats.binom.pmf(
            counts[None, :] - counts[:, None], values - counts[:, None], share
        )
        probability = probability @ step
        is_inside = (counts >= low * values - 0.5) & (counts <= high * values + 0.5)
        probability[~is_inside] = 0.0
        before = at
    return float(probability.sum())


@pytest.mark.parametrize(("values", "level"), [(40, 0.95), (150, 0.9)])
def test_the_band_of_ranks_has_its_level(values: int, level: float) -> None:
    found = exact_level(uniform_band(values, level=level), values)
    error = np.sqrt(level * (1 - level) / 4000)  # of the simulations
    assert -4 * error <= found - level <= 4 * error + 0.01  # counts are whole


@pytest.mark.slow
@pytest.mark.parametrize("values", [40, 300])
def test_the_band_of_ranks_is_that_of_arviz(values: int) -> None:
    """ArviZ 0.23 finds the common tail probability by optimization; ends are whole counts."""
    arviz = pytest.importorskip("arviz.stats.ecdf_utils")
    band = uniform_band(values)
    ends = arviz.ecdf_confidence_band(
        values, eval_points=band.at, cdf_at_eval_points=band.at, prob=0.95
    )
    for ours, theirs in zip(band[1:], ends, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1.01 / values)


def test_curves_are_those_of_the_ranks_and_the_worst_have_names() -> None:
    pit = UNIFORM.copy()
    pit[:, 1] = stats.norm.cdf(2 * stats.norm.ppf(pit[:, 1]))  # draws too narrow
    pit[:, 3] = pit[:, 3] ** 2  # truth below the draws
    names = [f"z[{i}]" for i in range(5)]
    drawn = plots.calibration_ranks(axes(), pit, names=names)
    assert legend_of(drawn) == ["95% band", "inside (3)", "z[3]", "z[1]"]
    curve: Any = next(line for line in drawn.lines if line.get_label() == "z[1]")
    at = np.interp([0.2, 0.8], curve.get_xdata(), curve.get_ydata())
    expected = [(pit[:, 1] <= u).mean() - u for u in (0.2, 0.8)]
    np.testing.assert_allclose(at, expected, atol=1 / 300)
    assert at[0] > 0 > at[1]
    assert not illegible(figure_of(drawn))


def test_more_curves_outside_than_colours_are_counted() -> None:
    drawn = plots.calibration_ranks(axes(), np.tile(UNIFORM[:, :1] ** 3, 9))
    assert legend_of(drawn) == ["95% band", "0", "1", "2", "3", "5 more outside"]


# NUTS


def difference(**numbers: Any) -> Any:
    return SimpleNamespace(**{name: np.array(one) for name, one in numbers.items()})


def test_guides_lie_at_their_shift_and_ratio() -> None:
    found = difference(
        shift=[[0.1, -2.0]],
        shift_se=[[0.02, 0.1]],
        ratio=[[1.0, 0.4]],
        ratio_se=[[0.1, 0.5]],
    )
    drawn = plots.guide_agreement(axes(), {"guide": found, "resampled": found})
    line: Any = drawn.containers[0].lines[0]  # type: ignore[attr-defined]
    np.testing.assert_array_equal(line.get_xydata(), [[0.1, 1.0], [-2.0, 0.4]])
    box: Any = drawn.patches[0]
    assert (box.get_x(), box.get_width()) == (-0.2, 0.4)
    assert box.get_y() * (box.get_y() + box.get_height()) == pytest.approx(1)
    assert legend_of(drawn) == ["agree", "guide", "resampled"]
    assert not illegible(figure_of(drawn))


def test_intervals_of_guide_and_nuts_hold_90_per_cent_of_a_normal() -> None:
    nuts = ([0.0, 1.0], [1.0, 2.0])
    guide = ([0.5, 1.0], [0.5, 2.0])
    drawn = plots.guide_intervals(axes(), ["z[0]", "z[1]"], nuts, guide)
    for (mean, sd), lines in zip((nuts, guide), segments(drawn), strict=True):
        np.testing.assert_allclose(lines[:, :, 0].mean(1), mean)
        inside = stats.norm(np.array(mean), np.array(sd)).cdf(lines[:, :, 0].T)
        np.testing.assert_allclose(inside[1] - inside[0], 0.9, atol=1e-3)
    assert not illegible(figure_of(drawn))


# Columns and pixels


def test_bars_are_the_shares_of_the_known_cells() -> None:
    cells = pd.Series(["b", None, "a", "b", "b"], dtype="string")
    drawn = plots.column_check(
        axes(), cells, ["c", "a"], name="grade", levels=["c", "b"]
    )
    bars: Any = drawn.patches
    np.testing.assert_allclose([bar.get_height() for bar in bars], [0, 0.75, 0.25])
    points: Any = drawn.lines[-1]
    np.testing.assert_allclose(points.get_ydata(), [0.5, 0, 0.5])
    assert [text.get_text() for text in drawn.get_xticklabels()] == ["c", "b", "a"]
    assert not illegible(figure_of(drawn))


@pytest.mark.parametrize(
    ("data", "draws", "kind"),
    [
        (pd.array([1, None, 7], dtype="Int64"), [2, 3], "count"),
        ([0.0, np.nan, 1.0], [1.0], "level"),
        ([3, 4], [2.5], "real"),
        ([-1, 4], [2], "real"),
        ([True], [False], "level"),
        (
            np.array(["2026-01-01"], "datetime64[D]"),
            np.array(["2026-01-03"], "M8[D]"),
            "real",
        ),
    ],
)
def test_the_kind_of_a_column(data: Any, draws: Any, kind: str) -> None:
    assert kind_of_column(data, draws) == kind
    plots.column_check(axes(), data, draws, name="a column")


def test_times_are_days_from_the_first() -> None:
    days = pd.Series(pd.to_datetime(["2026-01-03 12:00", "2026-01-01 00:00", None]))
    for own in (days, days.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")):
        drawn = plots.column_check(axes(), own, own[:2], name="laid")
        np.testing.assert_array_equal(drawn.lines[0].get_xdata(), [0, 2.5])
        assert drawn.get_xlabel() == "laid, days since 2026-01-01"
    spans = days - days[1]
    drawn = plots.column_check(axes(), spans, spans[:2], name="age")
    np.testing.assert_array_equal(drawn.lines[0].get_xdata(), [0, 2.5])
    assert drawn.get_xlabel() == "age, days"


def test_columns_of_tables_of_all_libraries() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    for table in (frame, polars.from_pandas(frame), pyarrow.Table.from_pandas(frame)):
        found = columns_of(table)
        assert found["a"].tolist() == [1, 2]
        assert found["b"].tolist() == ["x", "y"]
    assert columns_of(np.ones((2, 2, 1)))["x[1]"].tolist() == [1, 1]


def test_pixels_show_the_statistic_of_welch() -> None:
    data = RANDOM.normal(size=(40, 3, 4))
    data[0, 1, 1] = np.nan
    draws = RANDOM.normal(0.3, 2, size=(90, 3, 4))
    data[:, 2, 3] = draws[:, 2, 3] = 0.0
    drawn = plots.pixel_check(axes(), data, draws)
    expected = stats.ttest_ind(
        draws.reshape(90, -1), data.reshape(40, -1), equal_var=False, nan_policy="omit"
    ).statistic.reshape(3, 4)
    expected[2, 3] = 0.0  # without any variance and difference
    np.testing.assert_allclose(drawn.images[0].get_array(), expected)  # type: ignore[arg-type]
    assert not illegible(figure_of(drawn))


def test_the_bars_of_a_histogram_are_densities() -> None:
    drawn = plots.column_histogram(axes(), [0, 0, 1, 3, np.nan], name="birds")
    density, edges, _ = drawn.patches[0].get_data()  # type: ignore[attr-defined]
    np.testing.assert_allclose(density, [0.5, 0.25, 0, 0.25])
    np.testing.assert_allclose(edges, [-0.5, 0.5, 1.5, 2.5, 3.5])


def test_pairs_have_the_data_below_and_the_model_above() -> None:
    data = {name: RANDOM.normal(size=60) for name in ("age", "price in $")}
    draws = {name: RANDOM.normal(size=90) for name in data}
    figure = Figure(figsize=(4, 3.5), layout="constrained")
    grid = plots.pair_plot(figure.subplots(2, 2), data, draws)
    below = grid[1, 0].collections[0].get_offsets()
    np.testing.assert_array_equal(below, np.stack([data["age"], data["price in $"]], 1))
    above = grid[0, 1].collections[0].get_offsets()
    np.testing.assert_array_equal(
        above, np.stack([draws["price in $"], draws["age"]], 1)
    )
    for stairs in grid[1, 1].patches:
        density, edges, _ = stairs.get_data()
        assert (density * np.diff(edges)).sum() == pytest.approx(1)
    assert not illegible(figure)


# Imputation


def test_intervals_over_the_truth_and_the_share_that_holds_it() -> None:
    truth = RANDOM.normal(size=1000)
    middle = truth + RANDOM.normal(size=1000)
    drawn = plots.imputation_intervals(
        axes(), truth, middle - 1.645, middle, middle + 1.645, unit="sd"
    )
    inside = (np.abs(truth - middle) <= 1.645).mean()
    assert abs(inside - 0.9) < 5 * np.sqrt(0.09 / 1000)
    assert legend_of(drawn)[-1] == f"covered: {inside:.0%} ± 1%"
    held, missed = segments(drawn)
    assert len(held) + len(missed) == 200
    assert all(low <= x <= high for (x, low), (_, high) in held)
    assert not any(low <= x <= high for (x, low), (_, high) in missed)
    assert not illegible(figure_of(drawn))


def test_intervals_by_cell_are_in_the_order_of_their_medians() -> None:
    middle = RANDOM.normal(size=30)
    drawn = plots.intervals_by_cell(
        axes(), middle - 1, middle, middle + 2, observed=UNIFORM[:, 0], unit="mass in g"
    )
    (lines,) = segments(drawn)
    np.testing.assert_allclose(lines[:, 0, 1], np.sort(middle) - 1)
    np.testing.assert_allclose(lines[:, 1, 1], np.sort(middle) + 2)
    assert drawn.get_ylabel() == "mass in g"
    assert not illegible(figure_of(drawn))


def test_bars_of_coverage_are_intervals_of_wilson() -> None:
    inside = {50: [10, 9, 0], 90: [24, 9, 4]}
    hidden = np.array([25, np.nan, 4])
    coverage = {percent: counts / hidden for percent, counts in inside.items()}
    drawn = plots.coverage_by_column(axes(), ["a", "town", "b"], coverage, hidden)
    assert [text.get_text() for text in drawn.get_yticklabels()] == ["a", "b"]
    two_errors = 2 * stats.norm.cdf(2) - 1
    for counts, bars in zip(inside.values(), segments(drawn), strict=True):
        for i, (low, high) in zip((0, 2), bars[:, :, 0], strict=True):
            found = stats.binomtest(counts[i], int(hidden[i]))
            expected = found.proportion_ci(two_errors, method="wilson")
            np.testing.assert_allclose([low, high], expected, atol=1e-12)
    assert not illegible(figure_of(drawn))


def test_errors_of_methods_are_points() -> None:
    errors = {
        "model": [0.5, 0.2],
        "one normal": [0.4, np.nan],
        "mean or mode": [1.0, 0.3],
    }
    drawn = plots.errors_by_column(axes(), ["mass", "town"], errors)
    for line, expected in zip(drawn.lines, errors.values(), strict=False):
        np.testing.assert_array_equal(line.get_xdata(), expected)
    assert not illegible(figure_of(drawn))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: uniform_band(0),
            "at least 1 value, got 0",
        ),
        (lambda: uniform_band(9, level=95), "^level: .* got 95; 0.95 is usual"),
        (
            lambda: plots.ecdf_with_band(axes(), [1.0], [1.0], level=0),
            "^level: .* got 0",
        ),
        (
            lambda: plots.calibration_ranks(axes(), UNIFORM, level=1.5),
            r"^level: .* got 1\.5",
        ),
        (lambda: plots.calibration_ranks(axes(), [[1.5]]), r"from 0 to 1 of shape"),
        (
            lambda: plots.calibration_ranks(axes(), UNIFORM, names=["a"]),
            "expected 5 of them, got 1",
        ),
        (lambda: plots.guide_agreement(axes(), {}), "got none; pass {'guide'"),
        (
            lambda: plots.guide_intervals(
                axes(), ["a"], ([0, 1], [1, 1]), ([0, 1], [1, 1])
            ),
            r"expected 1 means and standard deviations, got shapes \(2,\)",
        ),
        (lambda: plots.column_check(axes(), [np.nan], [1.0]), "at least one finite"),
        (
            lambda: plots.column_check(axes(), [1.0], [1.0], kind=cast(Any, "counts")),
            "or None, got 'counts'",
        ),
        (
            lambda: plots.column_check(axes(), *np.full((2, 3), "NaT", "M8[s]")),
            "at least one finite",
        ),
        (lambda: columns_of(np.ones((3, 2)), ["a"]), "expected 2 names, got 1"),
        (lambda: columns_of(np.ones(3)), r"expected rows .*got shape \(3,\)"),
        (
            lambda: plots.pixel_check(axes(), np.ones((1, 16)), np.ones((9, 16))),
            r"2 or more of both, got \(1, 4, 4\)",
        ),
        (
            lambda: plots.pair_plot(np.array([[axes()]]), {"a": [1.0]}, {"b": [1.0]}),
            r"expected the columns \['a'\] in both",
        ),
        (
            lambda: plots.imputation_intervals(axes(), [1.0], [1.0], [1.0], [1.0, 2.0]),
            r"one length, got \[1, 1, 1, 2\]",
        ),
        (
            lambda: plots.intervals_by_cell(axes(), [np.nan], [1.0], [2.0]),
            "none among 1; categories",
        ),
        (
            lambda: plots.coverage_by_column(axes(), ["a"], {50: [np.nan]}, [3]),
            "got none; categories have no intervals",
        ),
        (lambda: plots.errors_by_column(axes(), ["a"], {"x": [1, 2]}), "1 errors"),
    ],
)
def test_wrong_arguments(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_a_cell_of_pairs_without_numbers_is_empty() -> None:
    nothing = {"a": np.full(3, np.nan), "b": np.full(3, np.nan)}
    assert pair_cell(axes(), nothing, nothing, 0, 0).get_xlabel() == ""
