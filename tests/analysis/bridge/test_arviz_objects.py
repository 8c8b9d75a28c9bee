"""Named arrays become what the installed ArviZ takes, on both lines, without torch."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pyro_vae.analysis.bridge.arviz_objects import as_integers, to_datatree
from pyro_vae.analysis.bridge.elpd import to_elpd
from pyro_vae.analysis.bridge.netcdf import write_netcdf
from pyro_vae.atomic_files import written_whole

ROOT = Path(__file__).parents[3]
OLD = az.__version__.startswith("0.")
DRAWS = 50
ROWS = 4
LATENT = 2
FEATURES = 6


def groups(
    data_shape: tuple[int, ...] = (FEATURES,), dtype: str = "float32"
) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(DRAWS, ROWS, LATENT)).astype("float32")
    x = rng.uniform(0, 200, size=(DRAWS, ROWS, *data_shape)).astype(dtype)
    log_p, log_q = rng.normal(size=(2, DRAWS, ROWS))
    return {
        "posterior": {"z": z},
        "posterior_predictive": {"x": x},
        "prior": {"z": 2 * z[:20]},
        "prior_predictive": {"x": x[:20]},
        "observed_data": {"x": x[0]},
        "sample_stats": {"log_p": log_p, "log_q": log_q, "log_weight": log_p - log_q},
    }


@pytest.fixture
def pyplot() -> Iterator[Any]:
    backend = matplotlib.get_backend()
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    yield plt
    plt.close("all")
    matplotlib.use(backend)


def test_is_what_the_installed_arviz_takes() -> None:
    tree = to_datatree(groups())
    assert type(tree) is (az.InferenceData if OLD else xr.DataTree)


@pytest.mark.parametrize("data_shape", [(FEATURES,), (3, 2), (1, 3, 2)])
def test_values_dimensions_and_coordinates(data_shape: tuple[int, ...]) -> None:
    given = groups(data_shape)
    tree = to_datatree(given)
    data_dims = (
        ("feature",)
        if len(data_shape) == 1
        else tuple(f"feature_{i}" for i in range(len(data_shape)))
    )
    drawn = ("chain", "draw", "observation")
    dims = {
        "posterior": (*drawn, "latent"),
        "prior": (*drawn, "latent"),
        "sample_stats": drawn,
    }
    dims |= {"observed_data": ("observation", *data_dims)}
    for group, found in given.items():
        for name, array in found.items():
            variable = tree[group][name]
            assert variable.dims == dims.get(group, (*drawn, *data_dims))
            assert variable.dtype == array.dtype
            np.testing.assert_array_equal(variable.values.reshape(array.shape), array)
            for dim, size in variable.sizes.items():
                np.testing.assert_array_equal(variable[dim].values, np.arange(size))


def test_what_stands_beside_draws_is_a_coordinate() -> None:
    z = groups()["posterior"]["z"]
    k_hat = np.linspace(0, 1, ROWS)
    tree = to_datatree({"resampled": {"z": z, "pareto_k": k_hat}})
    assert set(tree["resampled"].data_vars) == {"z"}
    chosen = tree["resampled"]["z"][:, :, k_hat > 0.5]
    np.testing.assert_array_equal(chosen["pareto_k"], k_hat[k_hat > 0.5])


def test_chains_may_be_real() -> None:
    z = np.zeros((3, DRAWS, ROWS, LATENT))
    tree = to_datatree({"posterior": {"z": z}}, has_chains=True)
    assert dict(tree["posterior"].sizes)["chain"] == 3
    with pytest.raises(ValueError, match=r"expected shape \(chain, draw, .* keep the"):
        to_datatree({"posterior": {"z": z[0]}}, has_chains=True)


def test_columns_name_the_features() -> None:
    names = [f"column {i}" for i in range(FEATURES)]
    tree = to_datatree(groups(), columns=names)
    assert tree["observed_data"]["x"]["feature"].values.tolist() == names
    assert tree["posterior_predictive"]["x"].sel(feature="column 2").shape == (
        1,
        DRAWS,
        ROWS,
    )


def test_summary_takes_the_codes() -> None:
    table = az.summary(to_datatree(groups()), var_names=["z"], kind="stats")
    assert len(table) == ROWS * LATENT
    mean = groups()["posterior"]["z"].mean(axis=0).ravel()
    np.testing.assert_allclose(table["mean"].astype(float), mean, atol=0.06)


@pytest.mark.filterwarnings(
    "ignore:Passing a dict or None as alias_mapping:DeprecationWarning"
)
def test_posterior_plot_takes_the_codes(pyplot: Any) -> None:
    draw = az.plot_posterior if OLD else az.plot_dist
    draw(to_datatree(groups()), var_names=["z"])
    assert len(pyplot.gcf().axes) >= ROWS * LATENT


@pytest.mark.filterwarnings(
    "ignore:Passing a dict or None as alias_mapping:DeprecationWarning"
)
def test_predictive_plot_takes_the_data(pyplot: Any) -> None:
    draw = az.plot_ppc if OLD else az.plot_ppc_dist
    draw(to_datatree(groups()), num_pp_samples=10) if OLD else draw(
        to_datatree(groups()), num_samples=10
    )
    assert pyplot.gcf().axes[0].lines


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64"])
def test_netcdf_round_trip(dtype: str, tmp_path: Path) -> None:
    given = groups(dtype=dtype)
    attrs = {"guide": "mean_field", "num_particles": 1000, "beta": 0.5}
    write_netcdf(to_datatree(given, attrs=attrs), tmp_path / "run.nc")
    assert [path.name for path in tmp_path.iterdir()] == ["run.nc"]
    back = az.from_netcdf(str(tmp_path / "run.nc"))
    assert {name: back.attrs[name] for name in attrs} == attrs
    for group, found in given.items():
        for name, array in found.items():
            assert back[group][name].dtype == array.dtype
            np.testing.assert_array_equal(
                back[group][name].values.reshape(array.shape), array
            )
    back.close()


def counts(whole: bool) -> dict[str, dict[str, np.ndarray]]:
    """Groups whose data are counts, in floating point as a model draws them, or as integers."""
    given = groups()
    for found in given.values():
        if "x" in found:
            found["x"] = (
                as_integers(np.round(found["x"])) if whole else np.round(found["x"])
            )
    return given


def test_integers_hold_the_same_numbers() -> None:
    for largest, kind in (
        (9.0, np.int32),
        (2.0**31, np.int64),
        (2.0**53, np.int64),
        (1e19, np.float64),
    ):
        values = np.array([0.0, -largest, largest, 3.0])
        assert as_integers(values).dtype == kind
        np.testing.assert_array_equal(as_integers(values), values)
    assert as_integers(np.zeros((0, 3), np.float32)).dtype == np.int32


@pytest.mark.skipif(not OLD, reason="ArviZ 0.x")
def test_arviz_0_draws_integers_as_steps(pyplot: Any) -> None:
    styles = []
    for whole in (False, True):
        axes = np.atleast_1d(az.plot_ppc(to_datatree(counts(whole)), num_pp_samples=5))[
            0
        ]
        styles.append({line.get_drawstyle() for line in axes.lines})
    assert styles == [{"default"}, {"default", "steps-pre"}]


@pytest.mark.skipif(OLD, reason="ArviZ 1.x")
def test_arviz_1_takes_integers_for_counts(pyplot: Any) -> None:
    real, whole = (
        to_datatree(counts(is_whole)).isel(feature=0, missing_dims="ignore")
        for is_whole in (False, True)
    )
    with pytest.raises(ValueError, match="continuous"):
        az.plot_ppc_rootogram(real)
    az.plot_ppc_rootogram(whole)
    assert pyplot.gcf().axes


def table() -> dict[str, dict[str, np.ndarray]]:
    """Columns that are variables: a count and a length, and a size beside them."""
    rng = np.random.default_rng(0)
    count = rng.poisson(4.0, size=(DRAWS, ROWS)).astype("int32")
    length = rng.normal(size=(DRAWS, ROWS))
    drawn = {"count": count, "length": length}
    return {
        "posterior": groups()["posterior"],
        "posterior_predictive": drawn,
        "observed_data": {name: array[0] for name, array in drawn.items()},
        "constant_data": {"size": np.ones(ROWS)},
    }


def test_columns_of_a_table_are_variables() -> None:
    tree = to_datatree(table(), scalars={"count", "length"})
    drawn = ("chain", "draw", "observation")
    assert tree["posterior_predictive"]["count"].dims == drawn
    assert tree["posterior_predictive"]["count"].dtype == np.int32
    assert tree["observed_data"]["length"].dims == ("observation",)
    assert tree["constant_data"]["size"].dims == ("observation",)


@pytest.mark.skipif(OLD, reason="ArviZ 1.x")
def test_arviz_1_draws_a_rootogram_of_one_column(pyplot: Any) -> None:
    tree = to_datatree(table(), scalars={"count", "length"})
    az.plot_ppc_rootogram(tree, var_names=["count"])
    with pytest.raises(ValueError, match="continuous"):
        az.plot_ppc_rootogram(tree, var_names=["length"])
    az.plot_ppc_dist(tree, var_names=["length"], num_samples=10)
    assert pyplot.gcf().axes


LABELS: dict[str, tuple[list[Any], list[Any]]] = {
    "text": (["b", "a", "c", "d"], ["b", "a", "c", "d"]),
    "numbers": ([3, 1, 2, 0], [3, 1, 2, 0]),
    "of several parts": (
        [("a", 1), ("a", 2), ("b", 1), ("b", 2)],
        ["a, 1", "a, 2", "b, 1", "b, 2"],
    ),
    "mixed": (["a", 1, None, 2.5], ["a", "1", "None", "2.5"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LABELS)
def test_rows_are_labelled_in_the_file_too(name: str, tmp_path: Path) -> None:
    given, expected = LABELS[name]
    write_netcdf(to_datatree(groups(), rows=given), tmp_path / "run.nc")
    back = az.from_netcdf(str(tmp_path / "run.nc"))
    for group in groups():
        assert back[group]["observation"].values.tolist() == expected
    back.close()


def test_times_are_labels(tmp_path: Path) -> None:
    days = pd.date_range("2024-02-28", periods=ROWS)
    write_netcdf(to_datatree(groups(), rows=list(days)), tmp_path / "run.nc")
    back = az.from_netcdf(str(tmp_path / "run.nc"))
    leap = back["observed_data"].sel(observation="2024-02-29")
    np.testing.assert_array_equal(leap["x"].values, groups()["observed_data"]["x"][1])
    back.close()


def test_every_row_has_one_label() -> None:
    with pytest.raises(ValueError, match=r"rows: expected 4 labels, .* got 3"):
        to_datatree(groups(), rows=["a", "b", "c"])


def test_writing_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    for value in (1, 2):
        write_netcdf(to_datatree(groups(), attrs={"value": value}), path)
    with xr.open_dataset(path, engine="h5netcdf") as root:
        assert root.attrs["value"] == 2


def test_failed_writing_leaves_what_was_there(tmp_path: Path) -> None:
    class Broken:
        def to_netcdf(self, engine: str) -> bytes:
            raise OSError(f"disk full in {engine}")

    path = tmp_path / "run.nc"
    path.write_text("before")
    with pytest.raises(OSError, match="disk full"):
        write_netcdf(Broken(), path)
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [
        ("run.nc", "before")
    ]


def test_writing_says_which_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "h5netcdf" else found(name),
    )
    with pytest.raises(ValueError, match=r"without h5netcdf; pip install h5netcdf$"):
        write_netcdf(to_datatree(groups()), tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_writing_wants_a_folder(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"expected an existing folder, got .*missing"
    ):
        write_netcdf(to_datatree(groups()), tmp_path / "missing" / "run.nc")
    with written_whole(tmp_path / "note.txt") as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("done")
    assert (tmp_path / "note.txt").read_text() == "done"


@pytest.mark.parametrize("value", [None, True, {"a": 1}, [1, 2], np.True_])
def test_attributes_are_strings_and_numbers(value: Any) -> None:
    with pytest.raises(
        ValueError, match=r"attrs\['note'\]: expected a string or a number, got"
    ):
        to_datatree(groups(), attrs={"note": value})


def array(*shape: int) -> np.ndarray:
    return np.zeros(shape)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "groups: expected at least one array in each, got none"),
        ({"posterior": {}}, r"groups: .* got none in \['posterior'\]"),
        (
            {"posteriors": {"z": array(9, 4, 2)}},
            r"groups: expected names out of .* got \['posteriors'\]",
        ),
        (
            {"posterior": {"z": array(1, 9, 4, 2)}},
            r"posterior\['z'\]: expected shape \(draw, observation, latent\), got",
        ),
        (
            {"posterior_predictive": {"x": array(9, 4)}},
            r"expected shape \(draw, observation, feature\), got \(9, 4\)",
        ),
        (
            {"sample_stats": {"log_p": array(9)}},
            r"sample_stats\['log_p'\]: expected shape \(draw, observation\), got",
        ),
        (
            {"observed_data": {"x": array(4)}},
            r"observed_data\['x'\]: expected shape \(observation, feature\), got",
        ),
        (
            {
                "posterior": {"z": array(9, 4, 2)},
                "sample_stats": {"log_q": array(8, 4)},
            },
            r"sample_stats\['log_q'\]: expected draws = 9 as in posterior\['z'\], got 8",
        ),
        (
            {"prior": {"z": array(9, 4, 2)}, "prior_predictive": {"x": array(8, 4, 6)}},
            r"prior_predictive\['x'\]: expected draws of the prior = 9 as in prior\['z'\], got 8",
        ),
        (
            {"posterior": {"z": array(9, 4, 2)}, "observed_data": {"x": array(5, 6)}},
            r"observed_data\['x'\]: expected observation = 4 as in posterior\['z'\], got 5",
        ),
        (
            {
                "observed_data": {"x": array(4, 6)},
                "posterior_predictive": {"x": array(9, 4, 7)},
            },
            r"posterior_predictive\['x'\]: expected feature = 6 as in observed_data\['x'\], got 7",
        ),
        (
            {
                "observed_data": {"x": array(4, 3, 2)},
                "posterior_predictive": {"x": array(9, 4, 6)},
            },
            r"expected number of data dimensions = 2 as in observed_data\['x'\], got 1",
        ),
    ],
)
def test_shapes_are_checked(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        to_datatree(given)


@pytest.mark.parametrize(
    ("given", "columns"),
    [
        ({"observed_data": {"x": array(4, 3)}}, ["a", "b"]),
        ({"observed_data": {"x": array(4, 2)}}, ["a", "a"]),
        ({"observed_data": {"x": array(4, 2, 3)}}, ["a", "b"]),
        ({"posterior": {"z": array(9, 4, 2)}}, ["a", "b"]),
    ],
)
def test_columns_are_checked(given: Any, columns: list[str]) -> None:
    with pytest.raises(ValueError, match="columns: expected"):
        to_datatree(given, columns=columns)


@pytest.mark.slow
def test_imports_no_torch() -> None:
    program = (
        "import sys, numpy as np; from pyro_vae.analysis.bridge.arviz_objects import to_datatree; "
        "assert 'arviz' not in sys.modules and 'xarray' not in sys.modules; "
        "to_datatree({'posterior': {'z': np.zeros((9, 4, 2))}}); assert 'torch' not in sys.modules"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ArviZ is undergoing" not in done.stderr


# ELPD


def log_marginals(
    rows: int = 120, level: float = -80
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log p(x) of two models, the first one better, and a k-hat of each row."""
    rng = np.random.default_rng(0)
    first = rng.normal(level, 10, rows)
    return (
        first,
        first - rng.normal(1, 2, rows),
        np.r_[-np.inf, np.nan, rng.normal(0.2, 0.1, rows - 2)],
    )


# ArviZ 0.23 on pandas 3, and stacking's optimiser.
@pytest.mark.filterwarnings(
    "ignore:The inplace keyword in DataFrame", "ignore:delta_grad == 0.0:UserWarning"
)
@pytest.mark.parametrize("method", ["stacking", "BB-pseudo-BMA"])
def test_compare_takes_held_out_evidence(method: str) -> None:
    first, second, k_hat = log_marginals()
    elpds = {
        name: to_elpd(p, k_hat, num_particles=500)
        for name, p in {"second": second, "first": first}.items()
    }
    table = az.compare(elpds, method=method, **({} if OLD else {"round_to": "none"}))
    assert list(table.index) == ["first", "second"]
    np.testing.assert_allclose(
        table["elpd_loo" if OLD else "elpd"].astype(float), [first.sum(), second.sum()]
    )
    difference = first - second
    np.testing.assert_allclose(
        np.abs(table["elpd_diff"].astype(float)), [0, difference.sum()]
    )
    np.testing.assert_allclose(
        table["dse"].astype(float), [0, np.sqrt(len(first) * difference.var())]
    )
    assert table["weight"].iloc[0] > table["weight"].iloc[1]


@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame")
def test_compare_of_rows_that_are_very_unlikely() -> None:
    first, second, k_hat = log_marginals(level=-2000)
    elpds = {
        name: to_elpd(p, k_hat, num_particles=500)
        for name, p in {"first": first, "second": second}.items()
    }
    table = az.compare(
        elpds, method="BB-pseudo-BMA", **({} if OLD else {"round_to": "none"})
    )
    np.testing.assert_allclose(
        np.abs(table["elpd_diff"].astype(float)), [0, (first - second).sum()]
    )


@pytest.mark.filterwarnings("ignore:Passing a dict or None as alias_mapping")
def test_khat_plot_takes_it(pyplot: Any) -> None:
    first, _, k_hat = log_marginals()
    az.plot_khat(to_elpd(first, k_hat, num_particles=500))
    drawn = pyplot.gcf().axes[0].collections[0].get_offsets()
    np.testing.assert_allclose(np.ma.getdata(drawn)[2:, 1], k_hat[2:])


def test_elpd_is_a_sum_with_its_standard_error() -> None:
    first, _, k_hat = log_marginals()
    made = to_elpd(first, k_hat, num_particles=500)
    assert (
        isinstance(made, az.ELPDData) if OLD else type(made).__name__ == "ELPDDataLOO"
    )
    assert made["elpd_loo" if OLD else "elpd"] == first.sum()
    assert made["se"] == np.sqrt(len(first) * first.var())
    assert "Computed from 500 posterior samples and 120 observations" in str(made)
    assert made["warning"]  # a k-hat that doesn't exist warrants nothing
    small = np.where(np.isnan(k_hat), 0.1, k_hat)
    assert not to_elpd(first, small, num_particles=500)["warning"]
    assert to_elpd(first, small + 0.6, num_particles=500)["warning"]


@pytest.mark.parametrize(
    ("log_marginal", "pareto_k"),
    [
        ([], []),
        ([-1.0], [0.1, 0.2]),
        ([-1.0, -np.inf], [0.1, 0.1]),
        ([[-1.0]], [[0.1]]),
    ],
)
def test_elpd_wants_finite_rows(log_marginal: Any, pareto_k: Any) -> None:
    with pytest.raises(ValueError, match="to_elpd: expected a finite log p"):
        to_elpd(log_marginal, pareto_k, num_particles=10)
