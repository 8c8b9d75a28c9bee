"""Pictures of estimates and their errors: what they hold, and that they can be read."""

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pyro_vae.analysis.figures import plots
from pyro_vae.analysis.imputation.mechanism import MissingMechanism
from tests.analysis.figures.drawing import illegible
from tests.analysis.figures.test_checks_of_draws import (
    axes,
    figure_of,
    legend_of,
    segments,
)

RANDOM = np.random.default_rng(0)
NAMES = ["mean field", "a flow with a long name", "exact"]


def error_bars(container: Any) -> np.ndarray:
    """The ends of vertical error bars, (n, 2)."""
    return np.array(
        [segment[:, 1] for segment in container.lines[2][-1].get_segments()]
    )


def test_intervals_of_a_forest_are_standard_errors() -> None:
    difference, se = np.array([0.0, -0.5, -3.0]), np.array([0.0, 0.2, 1.0])
    drawn = plots.comparison_forest(axes(), NAMES, difference, se)
    two, one = segments(drawn)
    np.testing.assert_allclose(np.ptp(two[:, :, 0], 1), 4 * se)
    np.testing.assert_allclose(np.ptp(one[:, :, 0], 1), 2 * se)
    np.testing.assert_allclose(one[:, :, 0].mean(1), difference)
    bars: Any = drawn.collections
    widths = [lines.get_linewidths()[0] for lines in bars]
    assert widths[0] < widths[1]
    heights = dict(zip(drawn.get_yticks(), drawn.get_yticklabels(), strict=True))
    assert heights[max(heights)].get_text() == "mean field"  # the best is at the top
    assert not illegible(figure_of(drawn))


def test_the_bar_of_a_small_error_is_seen() -> None:
    """It is shorter than the marker is wide; both pictures have the same range."""

    def picture(se: float) -> np.ndarray:
        drawn = plots.comparison_forest(
            axes(), ["a", "b", "c"], [0, -1, -30], [0, se, 0]
        )
        drawn.set_xlim(-31, 1)
        canvas = FigureCanvasAgg(figure_of(drawn))
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())

    assert (picture(0.1) != picture(0.0)).any()


def test_a_forest_of_one_row_has_no_bars() -> None:
    drawn = plots.comparison_forest(axes(), ["a", "b"], [0.0, -1.0], [0.0, np.nan])
    assert not illegible(figure_of(drawn))
    np.testing.assert_array_equal(drawn.lines[-1].get_xdata(), [0, -1])


def test_proposals_lie_at_their_seconds_and_log_p() -> None:
    seconds, log_p, se = [1e-3, 0.02, 0.5], [-90.0, -81.0, -80.5], [1.0, 0.1, 0.01]
    drawn = plots.speed_accuracy(axes(), NAMES, seconds, log_p, se, [0.1, 0.99, np.nan])
    containers: Any = drawn.containers
    for i, container in enumerate(containers):
        point = container.lines[0]
        assert point.get_xydata().tolist() == [[seconds[i], log_p[i]]]
        np.testing.assert_allclose(np.ptp(error_bars(container), 1), 4 * se[i])
    faces = [container.lines[0].get_markerfacecolor() for container in containers]
    filled = [face != "white" for face in faces]
    assert filled == [False, True, False]
    assert legend_of(drawn)[2] == "exact: trust not known"
    assert drawn.get_xscale() == "log"
    assert not illegible(figure_of(drawn))


def test_gaps_are_sorted_with_their_errors() -> None:
    gap, se = RANDOM.gamma(2, size=12), RANDOM.uniform(0.01, 0.1, size=12)
    drawn = plots.gap_by_row(axes(), gap, se)
    order = np.argsort(gap)
    ends = error_bars(drawn.containers[0])
    np.testing.assert_allclose(ends.mean(1), gap[order])
    np.testing.assert_allclose(np.ptp(ends, 1), 4 * se[order])
    assert not illegible(figure_of(drawn))


def test_both_parts_of_a_gap_with_their_means() -> None:
    parts = RANDOM.gamma(2, size=(2, 50))
    drawn = plots.gap_parts(axes(), *parts)
    np.testing.assert_array_equal(drawn.collections[0].get_offsets(), parts.T)
    mean: Any = drawn.containers[0].lines[0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(mean.get_xydata(), [parts.mean(1)])
    half = 2 * parts[1].std(ddof=1) / np.sqrt(50)
    np.testing.assert_allclose(np.ptp(error_bars(drawn.containers[0])), 2 * half)
    assert not illegible(figure_of(drawn))
    assert plots.gap_parts(axes(), [1.0], [2.0]).lines


def test_each_verdict_is_in_its_column_beside_its_number() -> None:
    verdicts = ["warn", "pass", "none", "fail"]
    names = [f"finding {i}, whose name is long" for i in range(4)]
    figure = Figure(figsize=(8, 2.4), layout="constrained")
    drawn = plots.verdict_chart(figure.add_subplot(), names, verdicts, list("abcd"))
    columns = [text.get_text() for text in drawn.get_xticklabels()]
    found = {}
    for line in drawn.lines:
        for x, y in line.get_xydata():  # type: ignore[union-attr]
            found[3 - int(y)] = columns[int(x)]
    assert [found[i] for i in range(4)] == verdicts
    assert [text.get_position()[1] for text in drawn.texts] == [3, 2, 1, 0]
    assert not illegible(figure)


def test_bars_are_the_columns_that_matter_most() -> None:
    excess = np.array([0.1, -5.0, 2.0, -0.3])
    drawn = plots.column_excess(axes(), list("abcd"), excess, row="owl", most=3)
    bars: Any = drawn.patches
    assert [bar.get_width() for bar in bars] == [-5.0, -0.3, 2.0]
    names = {
        at: text.get_text()
        for at, text in zip(drawn.get_yticks(), drawn.get_yticklabels(), strict=True)
    }
    assert [names[bar.get_y() + bar.get_height() / 2] for bar in bars] == [
        "b",
        "d",
        "c",
    ]
    assert drawn.get_ylabel() == "column of row owl"
    assert not illegible(figure_of(drawn))


def test_curves_are_those_of_the_mechanism() -> None:
    names = ["income", "mass"]
    found = MissingMechanism(
        names, [None, None], np.array([-1.0, 0.5]), np.array([2.0, np.nan])
    )
    drawn = plots.missing_curves(axes(), names, found.intercept, found.slope)
    lines: Any = drawn.lines
    for line, name in zip(lines, names, strict=True):
        assert line.get_label() == name
        x, y = line.get_data()
        for distance in (-1.0, 0.0, 1.0):
            expected = found.probability(distance)[names.index(name)]
            assert np.interp(distance, x, y) == pytest.approx(expected, abs=1e-9)
    assert not illegible(figure_of(drawn))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda a: plots.forest(a, ["a"], [1.0, 2.0]),
            r"1 estimates and ends, got shapes",
        ),
        (
            lambda a: plots.speed_accuracy(a, ["a"], [0.0], [1.0], [1.0], [1.0]),
            "positive seconds, got",
        ),
        (lambda a: plots.gap_by_row(a, [], []), "gap_by_row: expected one number"),
        (lambda a: plots.gap_parts(a, [1.0], [1.0, 2.0]), r"\(1,\) and \(2,\)"),
        (lambda a: plots.verdict_chart(a, ["a"], ["good"], [""]), r"among \['pass'"),
        (lambda a: plots.column_excess(a, ["a"], []), "each of 1 names, got shape"),
        (lambda a: plots.missing_curves(a, ["a"], [0.0], []), r"\(1,\) and \(0,\)"),
    ],
)
def test_wrong_arguments(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong(axes())


def test_axes_are_given_back() -> None:
    given: Axes = axes()
    assert plots.forest(given, ["a"], [1.0]) is given
