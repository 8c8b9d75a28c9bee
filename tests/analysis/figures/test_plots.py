"""Figures hold the data that they were given, and are written whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import StepPatch

from pyro_vae.analysis.figures.plots import (
    image_grid,
    latent_scatter,
    learning_curve,
    marginals,
    save_figure,
)
from tests.analysis.figures.drawing import draw, nothing_cut_off

ROOT = Path(__file__).parents[3]


def uniform(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(size=shape)


def points(figure: Figure) -> np.ndarray:
    found = [
        artist
        for artist in figure.axes[0].collections
        if isinstance(artist, PathCollection)
    ]
    return np.concatenate([np.asarray(artist.get_offsets()) for artist in found])


def test_latent_scatter_of_one_two_and_more_dimensions() -> None:
    codes = np.random.default_rng(0).normal(size=(200, 5)) * [3, 2, 1, 0.5, 0.1]
    assert (
        sum(
            len(patch.get_path()) > 0
            for patch in latent_scatter(codes[:, :1]).axes[0].patches
        )
        == 1
    )
    np.testing.assert_array_equal(points(latent_scatter(codes[:, :2])), codes[:, :2])
    figure = latent_scatter(codes)
    centred = codes - codes.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(
        abs(points(figure)), abs(left[:, :2] * singular[:2]), atol=1e-10
    )
    share = 100 * singular**2 / (singular**2).sum()
    assert (
        figure.axes[0].get_xlabel()
        == f"principal component 1 ({share[0]:.0f} % of the variance)"
    )
    assert (
        figure.axes[0].get_ylabel()
        == f"principal component 2 ({share[1]:.0f} % of the variance)"
    )
    assert figure.axes[0].get_aspect() == 1
    assert nothing_cut_off(figure)


@pytest.mark.parametrize("dim", [1, 2, 8])
@pytest.mark.parametrize("classes", [3, 10, 30])
def test_latent_scatter_colours_by_label(dim: int, classes: int) -> None:
    labels = np.arange(300) % classes
    figure = latent_scatter(uniform(300, dim), labels=labels)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        str(label) for label in range(classes)
    ]
    if dim > 1:
        looks = {
            (c.get_facecolor().tobytes(), c.get_paths()[0].vertices.tobytes())
            for c in figure.axes[0].collections
        }
        assert len(looks) == classes
    assert nothing_cut_off(figure)


def test_latent_scatter_writes_the_shares_it_is_given() -> None:
    figure = latent_scatter(uniform(9, 2), explained=[0.6, 0.25])
    assert figure.axes[0].get_ylabel() == "principal component 2 (25 % of the variance)"


@pytest.mark.parametrize("codes", [uniform(1, 4), np.ones((5, 4))])
def test_latent_scatter_draws_equal_codes_at_one_point(codes: np.ndarray) -> None:
    figure = latent_scatter(codes)
    np.testing.assert_array_equal(points(figure), np.zeros((len(codes), 2)))
    assert nothing_cut_off(figure)


def test_latent_scatter_of_two_rows_of_one_dimension_has_two_bars() -> None:
    figure = latent_scatter(uniform(2, 1))
    (steps,) = figure.axes[0].patches
    heights = np.asarray(steps.get_path().vertices)[:, 1]
    assert set(heights) == {0.0, 1.0}
    assert nothing_cut_off(figure)


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        (
            uniform(5),
            {},
            r"codes: expected finite numbers of shape \(n, d\), got shape \(5,\)",
        ),
        (uniform(0, 2), {}, "codes: expected"),
        (np.full((3, 2), np.nan), {}, "codes: expected finite numbers"),
        (
            uniform(5, 2),
            {"labels": np.arange(4)},
            r"labels: expected one for each row, shape \(5,\), got int64 of shape \(4,\)",
        ),
        (
            uniform(5, 2),
            {"labels": np.zeros((5, 1))},
            "labels: expected one for each row",
        ),
        (uniform(5, 2), {"explained": [0.5]}, "explained: expected 2 shares"),
    ],
)
def test_latent_scatter_checks(
    codes: np.ndarray, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        latent_scatter(codes, **options)


def history(epochs: int, validation: bool = True) -> list[dict[str, float]]:
    records = []
    for epoch in range(1, epochs + 1):
        rate = 14 * (1 - np.exp(-epoch / 5))
        distortion = 110 + 5000 * np.exp(-epoch) + 30 * np.exp(-epoch / 15)
        record = {"rate": rate, "distortion": distortion, "elbo": -rate - distortion}
        seen = (
            {f"val_{name}": value * 1.02 for name, value in record.items()}
            if validation
            else {}
        )
        records.append({"epoch": epoch, "loss": 0.0} | record | seen)
    return records


@pytest.mark.parametrize("validation", [True, False])
def test_learning_curve_draws_the_history(validation: bool) -> None:
    records = history(100, validation)
    figure = learning_curve(records, best_epoch=62)
    left, right = figure.axes
    lines = {
        line.get_label(): line.get_ydata()
        for axes in (left, right)
        for line in axes.lines
    }
    assert len(left.lines) == 1 + 1 + validation
    assert len(right.lines) == 1 + 2 * (1 + validation)
    np.testing.assert_array_equal(
        lines["train"], [record["elbo"] for record in records]
    )
    np.testing.assert_array_equal(
        lines["rate, train"], [record["rate"] for record in records]
    )
    if validation:
        np.testing.assert_array_equal(
            lines["validation"], [record["val_elbo"] for record in records]
        )
    assert set(left.lines[0].get_xdata()) == {62}
    assert {axes.get_ylabel() for axes in figure.axes} == {"nats per row"}
    assert nothing_cut_off(figure)


def test_learning_curve_keeps_the_end_readable() -> None:
    records = history(100)
    left, right = learning_curve(records).axes
    last = [record["elbo"] for record in records[20:]]
    low, high = left.get_ylim()
    assert records[0]["elbo"] < low < min(last)
    assert high > max(last)
    assert high - low < 6 * (max(last) - min(last))
    assert right.get_ylim()[0] < records[0]["rate"]
    assert right.get_ylim()[1] < records[0]["distortion"]


def test_learning_curve_of_one_epoch_and_of_gaps() -> None:
    assert nothing_cut_off(learning_curve(history(1), best_epoch=1))
    records = history(9, validation=False)
    records[4]["val_elbo"] = -130.0
    records[5]["elbo"] = float("nan")
    assert len(learning_curve(records).axes[0].lines) == 2
    unknown = [{"epoch": 1, "elbo": np.nan, "rate": np.nan, "distortion": np.nan}]
    draw(learning_curve(unknown))


@pytest.mark.parametrize(
    ("records", "best_epoch", "message"),
    [
        ([], None, "history: expected at least one record, got none"),
        (
            [{"epoch": 1, "elbo": 0.0, "rate": 0.0}],
            None,
            r"history\[0\]: expected .* got no \['distortion'\]",
        ),
        (history(3), 4, "best_epoch: expected one of 1 to 3, got 4"),
    ],
)
def test_learning_curve_checks(
    records: list[dict[str, float]], best_epoch: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        learning_curve(records, best_epoch=best_epoch)


def steps(figure: Figure, panel: int) -> list[tuple[np.ndarray, np.ndarray]]:
    patches = [
        patch for patch in figure.axes[panel].patches if isinstance(patch, StepPatch)
    ]
    return [
        (np.asarray(patch.get_data().values), np.asarray(patch.get_data().edges))
        for patch in patches
    ]


@pytest.mark.parametrize(("columns", "panels"), [(1, 1), (5, 5), (16, 16), (20, 16)])
def test_marginals_draws_each_column(columns: int, panels: int) -> None:
    data = uniform(400, columns)
    samples = uniform(900, columns) ** 2
    names = [f"the long name of a column, number {i}" for i in range(columns)]
    figure = marginals(data, samples, columns=names)
    assert len(figure.axes) == panels
    for i in range(panels):
        (first, edges), (second, other_edges) = steps(figure, i)
        np.testing.assert_array_equal(edges, other_edges)
        np.testing.assert_allclose(first, np.histogram(data[:, i], edges)[0] / 400)
        np.testing.assert_allclose([first.sum(), second.sum()], 1)
    assert nothing_cut_off(figure)


def test_marginals_of_counts_missing_values_and_outliers() -> None:
    rng = np.random.default_rng(0)
    data = rng.poisson(3, (500, 2)).astype(float)
    samples = rng.poisson(4, (500, 2)).astype(float)
    (shares, edges), _ = steps(marginals(data, samples), 0)
    np.testing.assert_allclose(np.diff(edges), 1)
    np.testing.assert_allclose(
        shares[:4], [(data[:, 0] == count).mean() for count in range(4)]
    )
    data[:, 1] = np.nan
    samples[0, 0] = 1e9
    figure = marginals(data, samples)
    (_, edges), (shares, _) = steps(figure, 0)
    assert edges[-1] < 100
    assert shares.sum() == pytest.approx(1)
    assert not steps(figure, 1)[0][0].any()
    draw(marginals(np.full((5, 1), 2.5), np.full((5, 1), 2.5)))


def test_marginals_follow_the_data_whatever_the_model_draws() -> None:
    """An untrained model doesn't hide the shape of the data."""
    data = uniform(400, 2)
    narrow, wide = (
        steps(marginals(data, scale * uniform(400, 2) + shift), 0)
        for scale, shift in ((1, 0), (99, -50))
    )
    np.testing.assert_array_equal(narrow[0][0], wide[0][0])
    np.testing.assert_array_equal(narrow[0][1], wide[0][1])
    assert (narrow[0][1][0], narrow[0][1][-1]) == (data[:, 0].min(), data[:, 0].max())
    beyond, _ = wide[1]
    assert beyond[[0, -1]].sum() > 0.9


def test_categories_have_a_named_bin_each() -> None:
    """Also the level that no row has: what the model draws of it counts in its own bin."""
    data = np.array([[0.0, 1.0], [1.0, 2.0]])
    samples = np.array([[2.0, 3.0], [2.0, 4.0]])
    names = ["Adelie", "$Chin$strap$", "Gentoo"]
    figure = marginals(
        data, samples, levels={0: names}, units={1: "days since 2020-01-07"}
    )
    (_, edges), (shares, _) = steps(figure, 0)
    np.testing.assert_array_equal(edges, [-0.5, 0.5, 1.5, 2.5])
    np.testing.assert_array_equal(shares, [0, 0, 1])
    first, second = figure.axes
    assert [text.get_text() for text in first.get_xticklabels()] == names
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "days since 2020-01-07")
    assert nothing_cut_off(figure)


def test_many_levels_have_bins_without_names() -> None:
    data = np.arange(13.0)[:, None]
    figure = marginals(data, data, levels={0: [f"level {i}" for i in range(13)]})
    assert not any(
        "level" in text.get_text() for text in figure.axes[0].get_xticklabels()
    )
    assert len(steps(figure, 0)[0][0]) == 13


NAMES = ["US$ a $b", "$\\frac{$", "a_b^{c", "_x", "café", "", "a\nb"]


def test_text_of_the_data_is_no_formula(tmp_path: Path) -> None:
    """In titles, captions and legends; two dollar signs were an error of mathtext."""
    figure = marginals(uniform(9, len(NAMES)), uniform(9, len(NAMES)), columns=NAMES)
    save_figure(figure, tmp_path / "marginals.png")
    assert [axes.get_title() for axes in figure.axes] == NAMES
    figure = latent_scatter(uniform(7, 2), labels=NAMES)
    save_figure(figure, tmp_path / "latent.png")
    (legend,) = figure.legends
    assert {text.get_text() for text in legend.get_texts()} == set(NAMES)
    save_figure(
        image_grid(uniform(7, 16), captions=NAMES, title=NAMES[1]),
        tmp_path / "grid.png",
    )


def test_marginals_checks() -> None:
    with pytest.raises(
        ValueError,
        match=r"marginals: expected shapes \(n, d\) and \(m, d\), got \(5, 3\) and \(5, 4\)",
    ):
        marginals(uniform(5, 3), uniform(5, 4))
    with pytest.raises(ValueError, match="marginals: expected shapes"):
        marginals(uniform(0, 3), uniform(5, 3))
    with pytest.raises(ValueError, match="columns: expected 3 names, got 1"):
        marginals(uniform(5, 3), uniform(5, 3), columns=["a"])


def test_save_figure_writes_png_at_120_dots_per_inch(tmp_path: Path) -> None:
    save_figure(learning_curve(history(5)), tmp_path / "curve.png")
    assert imread(tmp_path / "curve.png").shape == (480, 1200, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["curve.png"]


def test_save_figure_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(figure: Figure, path: Path, **options: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_figure(Figure(), tmp_path / "curve.png")
    assert list(tmp_path.iterdir()) == []


def test_save_figure_checks(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"path: expected a name that ends in \.png, got 'curve\.pdf'"
    ):
        save_figure(Figure(), "curve.pdf")
    with pytest.raises(FileNotFoundError, match="expected an existing folder"):
        save_figure(Figure(), tmp_path / "missing" / "curve.png")


def test_no_global_state() -> None:
    program = (
        "import sys, numpy as np; from pyro_vae.analysis.figures.plots import image_grid; "
        "image_grid(np.eye(16)); assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
