"""`pv.plot` draws every result of the library, on new axes or on given ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse import csr_array

import pyro_vae as pv
from pyro_vae import analysis
from pyro_vae.analysis.results.answer import Answer
from pyro_vae.plotting import dispatch
from pyro_vae.plotting.layout import layout_of
from pyro_vae.training.options import FitOptions
from tests.analysis.figures.drawing import illegible
from tests.plotting.results import FRAME, NORMAL, OPTIONS, RESULTS, N

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in RESULTS},
    **OPTIONS,
}


def drawn(case: str, **where: Any) -> Any:
    name, options = CASES[case]
    return pv.plot(RESULTS[name](), **options, **where)


def legend_of(axes: Axes) -> list[str]:
    legend: Any = axes.get_legend()
    return [text.get_text() for text in legend.get_texts()]


def test_every_result_can_be_drawn() -> None:
    assert dispatch.plot is pv.plot  # which registers them
    known = {kind.__name__ for kind in layout_of.registry} - {"object"}
    assert known == {name for name in RESULTS if " of " not in name}
    public = [getattr(analysis, name) for name in analysis.__all__]
    answers = [
        one for one in public if isinstance(one, type) and issubclass(one, Answer)
    ]
    assert len(answers) > 15
    nothing = layout_of.dispatch(object)
    assert not [one for one in answers if layout_of.dispatch(one) is nothing]


def test_a_result_without_a_picture_has_histograms_of_its_numbers() -> None:
    axes = pv.plot(RESULTS["Answer"]())
    assert [one.get_xlabel() for one in axes] == ["score", "rank"]
    density, edges, _ = axes[1].patches[0].get_data()  # type: ignore[attr-defined]
    np.testing.assert_allclose(density * np.diff(edges), 1 / N)


@pytest.mark.parametrize(
    "case",
    [*RESULTS, *(pytest.param(name, marks=pytest.mark.slow) for name in OPTIONS)],
)
def test_each_axes_says_what_it_shows(case: str) -> None:
    before = dict(rcParams)
    axes = drawn(case)
    assert dict(rcParams) == before
    assert axes.figure is axes[0].get_figure()
    is_grid = CASES[case][1].get("pairs", False)  # its outer axes have labels
    for one in axes if not is_grid else axes[-4:-3]:
        if one.axison:
            assert one.get_xlabel()
            assert one.get_ylabel() or [*filter(None, _names(one))]
        else:
            assert one.get_title()


def _names(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_yticklabels()]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_each_figure_can_be_read(case: str) -> None:
    assert not illegible(drawn(case).figure)


@pytest.mark.slow
def test_a_table_can_be_read() -> None:
    axes = pv.plot(FRAME[:20], data=FRAME)
    assert not illegible(axes.figure)


def test_the_first_panel_on_given_axes() -> None:
    axes = Figure().add_subplot()
    assert pv.plot(RESULTS["Comparison"](), ax=axes) is axes
    assert axes.get_ylabel() == "model"


def test_all_panels_on_given_axes() -> None:
    grid = Figure().subplots(2, 2)
    axes = pv.plot(RESULTS["Evidence"](), axes=grid)
    assert len(axes) == 2
    assert axes[1] is grid[0, 1]
    assert axes[1].get_ylabel() == "k-hat"
    assert not grid[1, 0].has_data()
    whole = Figure()
    one = whole.subfigures(1, 2)[0].add_subplot()
    assert pv.plot(RESULTS["Annealed"](), axes=one).figure is whole
    assert pv.plot(RESULTS["Annealed"](), axes=one) == (one,)
    third = pv.plot(RESULTS["Manifold"](), column=np.int64(2)).figure.axes[1]
    assert third.get_ylabel() == "E[c | z]"


def test_a_notebook_shows_the_figure() -> None:
    assert pv.plot(RESULTS["Annealed"]())._repr_png_().startswith(b"\x89PNG")


# Known numbers


def test_the_forest_has_the_errors_of_the_comparison() -> None:
    found = RESULTS["Comparison"]()
    bars: Any = pv.plot(found)[0].collections[1]
    ends = np.array(bars.get_segments())[:, :, 0]
    np.testing.assert_allclose(ends.mean(1), found.difference)
    np.testing.assert_allclose(np.ptp(ends, 1) / 2, found.difference_se)
    paired = (found.log_marginal[1] - found.log_marginal[0]).std(ddof=1) / np.sqrt(N)
    assert found.difference_se[1] == pytest.approx(paired)


def test_what_z_tells_has_three_standard_errors() -> None:
    found = RESULTS["Independence"]()
    (axes,) = pv.plot(found)
    bars: Any = axes.collections[0]
    ends = np.array(bars.get_segments())[:, :, 0]
    told = found.columns_told
    np.testing.assert_allclose(ends.mean(1), [one.information for one in told])
    np.testing.assert_allclose(np.ptp(ends, 1) / 6, [one.se for one in told])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["batch", "age"]


def test_effects_have_the_intervals_of_their_first_component() -> None:
    found = RESULTS["LevelEffects"]()
    (axes,) = pv.plot(found)
    bars: Any = axes.collections[0]
    ends = np.array(bars.get_segments())[:, :, 0]
    first = [4, 2, 0]  # the largest at the top, in the order of the lines
    np.testing.assert_allclose(ends.T, np.stack(found.interval(0.9))[:, first])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["c", "b", "a"]


def test_the_guide_has_its_own_mean_and_width() -> None:
    found = RESULTS["Audit"]()
    guide: Any = pv.plot(found)[1].collections[1]
    ends = np.array(guide.get_segments())[:, :, 0]
    np.testing.assert_allclose(ends.mean(1), (NORMAL[:2] + 0.1).ravel())
    np.testing.assert_allclose(np.ptp(ends, 1) / 3.29, [0.5, 1, 1, 2] * 2)
    names = [text.get_text() for text in pv.plot(found)[1].get_yticklabels()]
    assert names[0] == "owl, z[0]"


def test_several_estimates_lie_at_their_seconds_per_row() -> None:
    points = [
        one.lines[0].get_xydata()[0] for one in pv.plot(RESULTS["dict"]())[1].containers
    ]  # type: ignore[attr-defined]
    mean = NORMAL[:, 0].mean() * 5 - 80
    np.testing.assert_allclose(points, [[0.5 / N, mean - 1], [3 / N, mean]])


def test_estimates_of_other_rows_have_no_speed() -> None:
    other = RESULTS["Evidence"]()
    moved = {
        "a": other,
        "b": type(other)(
            **{**vars(other), "row_hashes": other.row_hashes + np.uint64(1)}
        ),
    }
    assert len(pv.plot(moved)) == 1


def test_names_are_no_formulas_and_stay_as_they_are() -> None:
    first = RESULTS["Evidence"]()
    found = pv.plot({r"$\not_math$": first, r"$\not math$": first})
    for axes in found:
        assert len(legend_of(axes)) == 2
        assert r"\$\not_math\$" in legend_of(axes)[0]
    assert not illegible(found.figure)


@pytest.mark.parametrize("options", [{}, {"truth": True}])
def test_the_name_of_an_imputed_column_is_no_formula(options: dict[str, bool]) -> None:
    whole = pd.DataFrame({r"$\not_math$": NORMAL[:, 0], "b": NORMAL[:, 1]})
    holes = whole.copy()
    holes.iloc[::3, 0] = np.nan
    truth = whole if options else None
    axes = pv.plot(imputed_table(holes), truth=truth, column=0)[0]
    label = axes.get_xlabel() if options else axes.get_ylabel()
    assert label.endswith(r"\$\not_math\$")
    assert not illegible(axes.get_figure())  # type: ignore[arg-type]


def test_imputed_categories_have_the_other_panels() -> None:
    table = pd.DataFrame({"size": ["S", None, "L"] * 10, "b": NORMAL[:, 1]})
    found = imputed_table(table)
    assert [axes.get_ylabel() for axes in pv.plot(found)] == ["k-hat"]
    asked: list[dict[str, Any]] = [{"truth": table.fillna("S")}, {"column": "size"}]
    for options in asked:
        with pytest.raises(ValueError, match="got none: categories have no intervals"):
            pv.plot(found, **options)
    whole = imputed_table(table[["b"]].assign(c=NORMAL[:, 2]))
    with pytest.raises(ValueError, match="got none: no cell of the rows is missing"):
        pv.plot(whole)


def imputed_table(table: pd.DataFrame) -> pv.analysis.Imputation:
    vae = pv.VAE.from_data(table, latent_dim=1, hidden_dims=(4,), missing="at_random")
    how: Any = {"num_particles": 100, "num_imputations": 0, "progress": False}
    found: pv.analysis.Imputation = pv.impute(vae, table, **how)
    return found


@pytest.mark.parametrize(
    ("name", "data"),
    [("Samples", NORMAL[:20]), ("Samples of pictures", NORMAL.repeat(16, 1))],
)
def test_sparse_data_are_those_of_the_array(name: str, data: np.ndarray) -> None:
    found = RESULTS[name]()
    expected = pv.plot(found, data=data)
    for axes, other in zip(pv.plot(found, data=csr_array(data)), expected, strict=True):
        assert axes.dataLim.bounds == other.dataLim.bounds
        for image, its in zip(axes.images, other.images, strict=True):
            np.testing.assert_array_equal(image.get_array(), its.get_array())


def test_the_intervals_are_those_of_the_imputation() -> None:
    found = RESULTS["Imputation"]()
    own = found.cells.column == 1
    inside = (found.cells.quantiles[own, 0] <= NORMAL[found.cells.row[own], 1]) & (
        NORMAL[found.cells.row[own], 1] <= found.cells.quantiles[own, -1]
    )
    legend = legend_of(pv.plot(found, truth=NORMAL, column=1)[0])
    assert legend[0] == f"holds the truth ({inside.sum()})"
    # in units of each column the same cells are inside
    every = legend_of(pv.plot(found, truth=NORMAL)[0])
    counts = [int(text.split("(")[1][:-1]) for text in every[:2]]
    assert sum(counts) == len(found.cells)


@pytest.mark.parametrize("seen", [0.3, np.nan])
def test_cells_of_a_constant_column_are_over_their_truth(seen: float) -> None:
    holes = pd.DataFrame({"a": NORMAL[:, 0].copy(), "b": 0.3})
    vae = pv.VAE.from_data(
        holes.assign(b=NORMAL[:, 1]), latent_dim=1, missing="at_random"
    )
    holes.loc[::3, "a"] = np.nan
    holes["b"] = np.where(np.arange(len(holes)) % 2, seen, np.nan)
    how: Any = {"num_particles": 100, "num_imputations": 0, "progress": False}
    found = pv.impute(vae, holes, **how)
    truth = pd.DataFrame({"a": NORMAL[:, 0], "b": 0.3})
    axes = pv.plot(found, truth=truth)[0]
    lines: Any = axes.lines[:2]
    drawn = np.concatenate([line.get_xdata() for line in lines])
    assert len(drawn) == len(found.cells)
    mean, sd = NORMAL[:, 0].mean(), NORMAL[:, 0].std()
    expected = np.append(
        (NORMAL[::3, 0] - mean) / sd, np.zeros(holes["b"].isna().sum())
    )
    np.testing.assert_allclose(np.sort(drawn), np.sort(expected), atol=1e-6)


def test_the_truth_of_a_table_is_in_its_units() -> None:
    random = np.random.default_rng(1)
    whole = pd.DataFrame(
        {"day": 2459000.5 + random.normal(size=40), "size": ["S", "L"] * 20}
    )
    holes = whole.assign(day=whole["day"].where(random.random(40) < 0.7))
    vae = pv.VAE.from_data(holes, latent_dim=1, hidden_dims=(4,))
    how: Any = {"num_particles": 100, "num_imputations": 0, "progress": False}
    found = pv.impute(vae, holes, **how)
    expected = np.sort(whole["day"][holes["day"].isna()])
    (numbers, table) = (pv.data.table(whole), whole)
    for truth in (table, numbers):
        axes = pv.plot(found, truth=truth, column="day")[0]
        lines: Any = axes.lines[:2]
        drawn = np.sort(np.concatenate([line.get_xdata() for line in lines]))
        np.testing.assert_allclose(drawn, expected, atol=1e-6)
    assert axes.get_xlabel() == "true value in day"
    ends = np.concatenate([_ends(bars) for bars in axes.collections[:2]])
    assert (np.abs(ends - 2459000.5) < 99).all()


def _ends(bars: Any) -> np.ndarray:
    return np.array(bars.get_segments())[..., 1].ravel()


def test_what_makes_a_row_unusual_adds_up() -> None:
    found = RESULTS["Anomaly"]()
    bars: Any = pv.plot(found, row=3)[1].patches
    usual = found.usual.sum() - found.usual_rate
    total = sum(bar.get_width() for bar in bars)
    assert total == pytest.approx(found.log_marginal[3] - usual)


def test_each_run_of_an_ensemble_has_its_validation_elbo() -> None:
    first = RESULTS["Run"]()
    history = [{**row, "val_elbo": row["elbo"] - 1} for row in first.history]
    runs = [
        replace(first, history=history, options=FitOptions(seed=seed))
        for seed in (3, 4)
    ]
    (axes,) = pv.plot(runs)
    assert legend_of(axes) == ["seed 3", "seed 4"]
    for line in axes.lines:
        expected = [row["val_elbo"] for row in history]
        np.testing.assert_array_equal(line.get_ydata(), expected)
    assert axes.get_ylabel() == "validation ELBO, nats per row"
    assert legend_of(pv.plot([first, first])[0]) == ["run 0", "run 1"]


def test_ranks_of_all_curves_and_of_log_p() -> None:
    found = RESULTS["Calibration"]()
    lines: Any = pv.plot(found)[0].lines
    curves = [line for line in lines if len(line.get_xdata()) > 2]
    assert len(curves) == 3


def test_levels_of_a_table_keep_their_order() -> None:
    drawn = FRAME.iloc[:20].assign(size=FRAME["size"].astype("category"))
    axes = pv.plot(drawn, data=FRAME)
    assert _ticks(axes[2]) == ["S", "M", "L"]
    assert axes[1].get_ylabel() == "√rows"
    assert axes[0].get_ylabel() == "share at most x"


def test_a_column_without_a_known_cell_says_so_and_the_others_are_drawn() -> None:
    nothing = {
        "mass in g": np.nan,
        "eggs": pd.array([pd.NA] * len(FRAME), dtype="Int64"),
        "size": None,
        "laid": pd.NaT,
    }
    drawn = FRAME[:20].assign(laid=pd.Timestamp("2026-01-01"))
    for name, cells in nothing.items():
        whole = FRAME.assign(laid=pd.Timestamp("2026-01-02"))
        axes = pv.plot(drawn, data=whole.assign(**{name: cells}))
        named = dict(zip([*drawn], axes, strict=True))
        (text,) = named.pop(name).texts
        assert text.get_text() == "no known cell\nin the data"
        assert all(one.has_data() for one in named.values())
        assert legend_of(next(iter(named.values())))
    axes = pv.plot(drawn.assign(size=None), data=whole.assign(size=None))
    assert "in the data and the drawn rows" in axes[2].texts[0].get_text()
    assert not illegible(axes.figure)


def test_columns_of_drawn_numbers_without_a_known_one() -> None:
    found = RESULTS["Samples"]()
    unknown = replace(found, x=np.where(np.arange(4) == 1, np.nan, found.x))
    axes = pv.plot(unknown)
    assert axes[1].texts[0].get_text().endswith("the drawn rows")
    assert [one.has_data() for one in axes] == [True, False, True, True]


def _ticks(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_xticklabels()]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            lambda: pv.plot(NORMAL),
            r"^plot: expected a result, one of Annealed, .*, list, got ndarray; draw arr",
        ),
        (
            lambda: pv.plot(RESULTS["Run"]().vae),
            r"got VAE; ask the model first, such as pv.plot\(pv.latent_use\(vae, x\)\)$",
        ),
        (
            lambda: pv.plot(RESULTS["Imputation"](), truht=NORMAL),
            r"^plot: unknown argument 'truht' of Imputation; allowed: .* mean 'truth'\?$",
        ),
        (
            lambda: pv.plot(RESULTS["Evidence"](), axes=[Figure().add_subplot()]),
            r"^axes: expected 2 of them, one for each panel, got 1; pass more, or ax=",
        ),
        (
            lambda: pv.plot(RESULTS["Evidence"](), ax=Figure()),
            "^plot: expected axes of matplotlib, got Figure",
        ),
        (
            lambda: pv.plot(RESULTS["Evidence"](), ax=Figure().add_subplot(), axes=[]),
            "expected ax or axes, got both",
        ),
        (lambda: pv.plot([3]), "expected a list of runs, .* got int; pass each"),
        (lambda: pv.plot({}), "expected names and their Evidence, got none; pass {"),
        (lambda: pv.plot({"a": 3}), "got another result for 'a'"),
        (
            lambda: pv.plot(RESULTS["Samples"](), data=NORMAL[:, :2]),
            r"^data: expected rows of shape \(4,\)",
        ),
        (lambda: pv.plot(RESULTS["Samples"](), pairs=True), "pass data=x"),
        (lambda: pv.plot(FRAME), "^data: expected the table .* pass data=frame"),
        (
            lambda: pv.plot(FRAME, data=FRAME[["eggs"]]),
            "got none named .'mass in g', 'size'",
        ),
        (
            lambda: pv.plot(RESULTS["Codes"](), dimensions=(0, 9)),
            r"from 0 to 3, got \(0, 9\)",
        ),
        (
            lambda: pv.plot(RESULTS["Codes"](), dimensions=(2, 2)),
            r"two different ones from 0 to 3, got \(2, 2\)",
        ),
        (
            lambda: pv.plot(RESULTS["Codes"](), dimensions=(0.5, 1)),
            r"^dimensions: expected an integer, got 0.5",
        ),
        (lambda: pv.plot(RESULTS["Codes"](), dimensions=1), r"ones .*, got \(1,\)"),
        (lambda: pv.plot(RESULTS["Manifold"](), column="z"), "got 'z'"),
        (
            lambda: pv.plot(
                replace(RESULTS["Manifold"](), mean=np.full((5, 5, 3), np.nan))
            ),
            "got categories alone; see their probabilities",
        ),
        (lambda: pv.plot(RESULTS["Manifold"](), column=True), "an integer, got True"),
        (
            lambda: pv.plot(
                RESULTS["Codes of one dimension"](), colour_by=NORMAL[:, 0]
            ),
            r"2 dimensions or more, got 1; draw them with .*latent_scatter\(codes",
        ),
        (
            lambda: pv.plot(RESULTS["Imputation"](), truth=NORMAL[:5]),
            r"^truth: expected the shape \(30, 4\) of the imputed rows, got \(5, 4\)",
        ),
        (
            lambda: pv.plot(RESULTS["Imputation"](), column=3),
            "column: expected one with",
        ),
        (lambda: pv.plot(RESULTS["Anomaly"](), row=99), "from 0 to 29, got 99"),
        (lambda: pv.plot(RESULTS["Anomaly"](), row="a"), "^row: expected an integer"),
        (lambda: pv.plot(RESULTS["Anomaly"](), row=True), "^row: expected an integer"),
    ],
)
def test_what_can_not_be_drawn_is_said(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong()


def test_a_run_without_an_epoch() -> None:
    empty = pv.Run(RESULTS["Run"]().vae, RESULTS["Run"]().options)
    with pytest.raises(ValueError, match="at least one epoch"):
        pv.plot(empty)
