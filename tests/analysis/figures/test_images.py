"""Rows become the pictures that they are, whole and on one scale."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from pyro_vae.analysis.figures.images import (
    guess_image_shape,
    image_grid,
    reconstructions,
)
from tests.analysis.figures.drawing import draw, nothing_cut_off


def uniform(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape)


def drawn(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in figure.axes[0].images]


@pytest.mark.parametrize(
    ("data_shape", "image_shape"),
    [
        ((64,), (8, 8)),
        ((784,), (28, 28)),
        ((16,), (4, 4)),
        ((9,), None),
        ((20,), None),
        ((1,), None),
        ((28, 20), (28, 20)),
        ((1, 28, 28), (1, 28, 28)),
        ((3, 32, 32), (3, 32, 32)),
        ((32, 32, 3), (32, 32, 3)),
        ((28, 28, 1), (28, 28, 1)),
        ((4, 28, 28), None),
        ((2, 3, 8, 8), None),
        ((), None),
    ],
)
def test_guess_image_shape(
    data_shape: tuple[int, ...], image_shape: tuple[int, ...] | None
) -> None:
    assert guess_image_shape(data_shape) == image_shape


def test_rows_of_a_model_are_drawn_in_the_range_of_the_data() -> None:
    """What is nearly grey looks so: noise in the last digits had the contrast of a picture."""
    rows = 0.5 + 1e-3 * uniform(4, 16)
    figure = image_grid(rows, limits=(0.0, 1.0))
    assert {image.get_clim() for image in figure.axes[0].images} == {(0, 1)}
    coloured = image_grid(0.5 + 1e-3 * uniform(4, 3, 4, 4), limits=(0.0, 1.0))
    assert np.ptp(drawn(coloured)) < 2e-3
    data = uniform(5, 16)
    model = 3 * uniform(5, 16) - 1
    found = reconstructions(data, model)
    assert {image.get_clim() for image in found.axes[0].images} == {
        (data.min(), data.max())
    }


def test_image_grid_draws_the_rows() -> None:
    rows = uniform(23, 64)
    figure = image_grid(rows, title="samples", captions=[f"row {i}" for i in range(23)])
    (axes,) = figure.axes
    np.testing.assert_array_equal(drawn(figure), rows.reshape(23, 8, 8))
    assert {image.get_clim() for image in axes.images} == {(rows.min(), rows.max())}
    assert {image.get_interpolation() for image in axes.images} == {"nearest"}
    assert [text.get_text() for text in axes.texts] == [f"row {i}" for i in range(23)]
    assert (axes.get_title(), axes.axison) == ("samples", False)
    lefts = [image.get_extent()[0] for image in axes.images]
    assert len(set(lefts)) == 10
    assert lefts[:10] == sorted(lefts[:10])
    assert nothing_cut_off(figure)


@pytest.mark.parametrize("shape", [(3, 6, 5), (6, 5, 3)])
def test_image_grid_draws_colours_on_a_common_scale(shape: tuple[int, ...]) -> None:
    rows = uniform(4, 90) * 7 - 2
    expected = (rows.reshape(4, *shape) - rows.min()) / (rows.max() - rows.min())
    expected = np.moveaxis(expected, 1, -1) if shape[0] == 3 else expected
    np.testing.assert_allclose(drawn(image_grid(rows, image_shape=shape)), expected)
    np.testing.assert_allclose(drawn(image_grid(rows.reshape(4, *shape))), expected)


def test_image_grid_takes_one_channel_missing_cells_and_constants() -> None:
    rows = uniform(3, 1, 8, 8)
    np.testing.assert_array_equal(drawn(image_grid(rows)), rows[:, 0])
    rows[0, 0, :4] = np.nan
    assert np.isfinite(image_grid(rows).axes[0].images[0].get_clim()).all()
    for constant in (np.full((2, 64), np.nan), np.zeros((2, 8, 8, 3))):
        draw(image_grid(constant))


def test_a_long_title_widens_the_figure() -> None:
    assert nothing_cut_off(
        image_grid(
            uniform(1, 64), title="a long title over a single small picture, all of it"
        )
    )


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (
            uniform(5, 20),
            {},
            r"image_grid: expected rows that make pictures, got shape \(5, 20\).*give image_shape",
        ),
        (
            uniform(5, 20),
            {"image_shape": (4, 6)},
            r"image_shape \(4, 6\).*a product of 20",
        ),
        (uniform(5, 20), {"image_shape": (20,)}, "expected rows that make pictures"),
        (
            uniform(5, 20),
            {"image_shape": (2, 2, 5)},
            "expected rows that make pictures",
        ),
        (uniform(0, 64), {}, "expected rows that make pictures"),
        (uniform(5, 64), {"captions": ["a"]}, "5 captions, got 1 captions"),
        (uniform(5, 64), {"columns": 0}, "at least 1 column .*got 0 columns"),
    ],
)
def test_image_grid_checks(
    rows: np.ndarray, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        image_grid(rows, **options)


@pytest.mark.parametrize("count", [1, 3, 10, 25])
def test_reconstructions_are_below_the_data(count: int) -> None:
    data = uniform(count, 64)
    reconstructed = uniform(count, 64) ** 2
    figure = reconstructions(data, reconstructed)
    np.testing.assert_array_equal(
        drawn(figure), np.concatenate([data, reconstructed]).reshape(-1, 8, 8)
    )
    extents = [image.get_extent() for image in figure.axes[0].images]
    for above, below in zip(extents[:count], extents[count:], strict=True):
        assert above[:2] == below[:2]
        assert below[3] == pytest.approx(above[3] + 1.06)
    names = [text.get_text() for text in figure.axes[0].texts]
    assert sorted(names) == sorted(["data", "reconstruction"] * -(-count // 10))
    assert nothing_cut_off(figure)


def test_reconstructions_check_the_shapes() -> None:
    with pytest.raises(
        ValueError,
        match=r"reconstructed: expected shape \(3, 64\) as the data, got \(4, 64\)",
    ):
        reconstructions(uniform(3, 64), uniform(4, 64))
    with pytest.raises(
        ValueError, match="reconstructions: expected rows that make pictures"
    ):
        reconstructions(uniform(3, 20), uniform(3, 20))
