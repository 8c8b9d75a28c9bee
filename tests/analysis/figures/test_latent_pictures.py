"""Pictures of z: what is drawn equals what is known, and can be read."""

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from scipy import stats

from pyro_vae.analysis.figures import plots
from tests.analysis.figures.drawing import illegible

RANDOM = np.random.default_rng(0)
MEAN = np.array([1.0, -2.0])
COVARIANCE = np.array([[4.0, 1.8], [1.8, 1.0]])
POINTS = RANDOM.multivariate_normal(MEAN, COVARIANCE, size=20_000)
Z = np.linspace(-2, 2, 4)
TILES = RANDOM.random((3, 4, 5, 2))  # 3 values of the second dimension, 4 of the first


def axes() -> Axes:
    return Figure(figsize=(4.2, 3.4), layout="constrained").add_subplot()


def figure_of(drawn: Axes) -> Figure:
    figure = drawn.get_figure()
    assert isinstance(figure, Figure)
    return figure


def share_inside(ellipse: Ellipse, points: np.ndarray) -> float:
    """By the outline that is drawn, which is made of Bézier curves."""
    outline = ellipse.get_path().transformed(ellipse.get_patch_transform())
    return float(outline.contains_points(points).mean())


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_an_ellipse_holds_its_share_of_a_known_normal(level: float) -> None:
    ellipse = plots.normal_ellipse(MEAN, COVARIANCE, level)
    low, high = stats.binom(len(POINTS), level).ppf([1e-4, 1 - 1e-4]) / len(POINTS)
    assert low <= share_inside(ellipse, POINTS) <= high


def test_each_label_has_the_ellipse_of_its_points() -> None:
    labels = np.repeat(["a", "b"], 500)
    codes = np.concatenate([POINTS[:500], POINTS[500:1000] + 9])
    drawn = plots.latent_points(axes(), codes, colour_by=labels, name="label")
    first, second = (patch for patch in drawn.patches if isinstance(patch, Ellipse))
    np.testing.assert_allclose(second.get_center(), codes[500:].mean(0))
    expected = -2 * np.log(0.1) * np.linalg.eigvalsh(np.cov(codes[:500].T))
    half = np.sort([first.get_width() / 2, first.get_height() / 2])
    np.testing.assert_allclose(half**2, expected)
    assert 0.85 < share_inside(first, codes[:500]) < 0.95
    assert not illegible(figure_of(drawn))


def test_rows_have_the_ellipses_of_their_guides_in_their_colours() -> None:
    scale = np.tile([0.5, 2.0], (100, 1))
    values = np.append(np.arange(99.0), np.nan)
    drawn = plots.latent_points(
        axes(), POINTS[:100], colour_by=values, name="log p(x) in nats", scale=scale
    )
    ellipses: Any = [patch for patch in drawn.patches if isinstance(patch, Ellipse)]
    assert len(ellipses) == 30
    sizes = {tuple(sorted((one.get_width(), one.get_height()))) for one in ellipses}
    (size,) = {tuple(np.round(one, 9)) for one in sizes}
    radius = np.sqrt(stats.chi2(2).ppf(0.9))
    np.testing.assert_allclose(size, [2 * radius * 0.5, 2 * radius * 2.0])
    points = [one for one in drawn.collections if isinstance(one, PathCollection)]
    np.testing.assert_array_equal(points[0].get_array(), values[:99])  # type: ignore[arg-type]
    np.testing.assert_array_equal(points[1].get_offsets(), POINTS[99:100])
    _, bar = figure_of(drawn).axes
    assert bar.get_ylabel() == "log p(x) in nats"
    np.testing.assert_allclose(
        ellipses[0].get_edgecolor()[:3], points[0].to_rgba([0])[0, :3]
    )
    assert not illegible(figure_of(drawn))


def test_the_pictures_of_a_manifold_are_at_their_z() -> None:
    second = np.array([-1.0, 0.0, 1.0])
    drawn = plots.manifold_pictures(
        axes(),
        Z,
        second,
        TILES.reshape(3, 4, 10),
        image_shape=(5, 2),
        dimensions=(3, 5),
    )
    (image,) = drawn.images
    picture: Any = image.get_array()
    left, right, bottom, top = image.get_extent()
    for i, y in enumerate(second):
        for j, x in enumerate(Z):
            column = int((x - left) / (right - left) * picture.shape[1]) // 3 * 3
            line = int((top - y) / (top - bottom) * picture.shape[0]) // 6 * 6
            np.testing.assert_array_equal(
                picture[line : line + 5, column : column + 2], TILES[i, j]
            )
    assert (drawn.get_xlabel(), drawn.get_ylabel()) == (
        "z, dimension 3",
        "z, dimension 5",
    )
    assert not illegible(figure_of(drawn))


def test_a_picture_of_a_manifold_has_its_own_shape_on_the_page() -> None:
    drawn = plots.manifold_pictures(axes(), Z, Z[:3], TILES, dimensions=(0, 1))
    left, right, bottom, top = drawn.images[0].get_extent()
    height = (top - bottom) / 3 * float(drawn.get_aspect())
    assert height / ((right - left) / 4) == pytest.approx(5 / 2)


def test_a_traversal_has_a_line_of_pictures_for_each_dimension() -> None:
    z = np.array([[-2.0, 0.0, 1.0, 2.5]] * 3)
    drawn = plots.traversal_pictures(axes(), z, TILES, dimensions=[7, 0, 2])
    picture: Any = drawn.images[0].get_array()
    np.testing.assert_array_equal(picture[6:11, 9:11], TILES[1, 3])
    assert np.ma.getmaskarray(picture[5]).all()
    names = [text.get_text() for text in drawn.get_yticklabels()]
    assert names == ["7: -2 to 2.5", "0: -2 to 2.5", "2: -2 to 2.5"]
    assert not illegible(figure_of(drawn))


def test_a_column_over_the_manifold_keeps_its_numbers() -> None:
    means = np.arange(12.0).reshape(3, 4)
    drawn = plots.manifold_column(axes(), Z, Z[:3], means, name="E[price in $ | z]")
    picture: Any = drawn.images[0].get_array()
    np.testing.assert_array_equal(picture, means[::-1])
    assert not illegible(figure_of(drawn))


def test_coloured_pictures_stay_coloured() -> None:
    rows = RANDOM.random((5, 3, 4, 4))
    drawn = plots.picture_grid(axes(), rows, columns=3, limits=(0, 1))
    picture: Any = drawn.images[0].get_array()
    np.testing.assert_allclose(picture[5:9, 5:9], np.moveaxis(rows[4], 0, -1))
    np.testing.assert_array_equal(picture[5:9, 10:14], 1)  # no picture: paper


def test_boxes_are_the_prior_and_bars_the_aggregate_posterior() -> None:
    mean, scale = np.array([0.5, -1.0]), np.array([1.2, 0.4])
    drawn = plots.aggregate_moments(axes(), mean, scale, [0.0, 1.0], [1.0, 2.0])
    boxes: Any = drawn.patches
    assert [box.get_y() for box in boxes] == [-1.0, -1.0]
    assert [box.get_height() for box in boxes] == [2.0, 4.0]
    (bars,) = drawn.containers[1].lines[2]  # type: ignore[attr-defined]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()])
    np.testing.assert_allclose(ends, np.stack([mean - scale, mean + scale], 1))
    assert not illegible(figure_of(drawn))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: plots.normal_ellipse([0, 0], np.eye(2), 1.0),
            "^level: expected .* got 1.0",
        ),
        (lambda: plots.normal_ellipse([0], np.eye(2)), r"\(1,\) and \(2, 2\)"),
        (lambda: plots.latent_points(axes(), np.zeros((3, 4))), r"got shape \(3, 4\)"),
        (
            lambda: plots.latent_points(axes(), POINTS[:5], scale=np.ones((5, 3))),
            r"shape \(5, 2\) of the codes, got \(5, 3\)",
        ),
        (
            lambda: plots.latent_points(axes(), POINTS[:30], colour_by=np.arange(20.0)),
            r"one for each row, shape \(30,\)",
        ),
        (
            lambda: plots.manifold_pictures(axes(), Z, Z, TILES),
            r"shape \(4, 4\) first, got \(3, 4\)",
        ),
        (
            lambda: plots.traversal_pictures(axes(), [[0.0, 1.0]], TILES[:1, :2, 0]),
            "expected rows that make pictures",
        ),
        (lambda: plots.aggregate_moments(axes(), [0], [1], [0], [1, 1]), "one length"),
    ],
)
def test_wrong_arguments(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()
