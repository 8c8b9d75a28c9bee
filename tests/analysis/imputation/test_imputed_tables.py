"""Completed tables come back in the columns, dtypes and levels of the data."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import pyro_vae as pv

ROWS = 120


def frame(missing=True):
    """A table of numbers, counts, names, grades, truth values and times, with holes."""
    random = np.random.default_rng(0)
    size = random.normal(size=ROWS)
    made = pd.DataFrame(
        {
            "id": [f"r{i}" for i in range(ROWS)],
            "length": 40 + 5 * size + 0.1,
            "kind": np.where(size + random.normal(size=ROWS) > 0, "big", "small"),
            "count": random.poisson(np.exp(1 + 0.5 * size)),
            "grade": pd.Categorical(
                np.where(size > 0.5, "high", np.where(size > -0.5, "middle", "low")),
                categories=["low", "middle", "high"],
                ordered=True,
            ),
            "seen": random.random(ROWS) > 0.4,
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(random.integers(0, 4e7, ROWS), "s"),
        }
    )
    if not missing:
        return made
    holed = made.copy()
    for name in ("length", "kind", "grade", "day"):
        holed[name] = holed[name].mask(random.random(ROWS) < 0.2)
    holed["count"] = holed["count"].astype("Int64").mask(random.random(ROWS) < 0.2)
    holed["seen"] = holed["seen"].astype("boolean").mask(random.random(ROWS) < 0.2)
    return holed


@pytest.fixture(scope="module")
def fitted():
    holed = frame()
    vae = pv.VAE.from_data(holed, index="id", latent_dim=2, hidden_dims=(16,))
    pv.fit(vae, holed, epochs=5, progress=False)
    return vae, holed


@pytest.fixture(scope="module")
def imputed(fitted):
    vae, holed = fitted
    return pv.impute(vae, holed, num_imputations=3, num_particles=200)


def test_observed_cells_and_dtypes_are_those_of_the_data(imputed, fitted):
    _, holed = fitted
    for made in (*imputed.completed, imputed.mean):
        assert made.columns.tolist() == holed.columns.tolist()
        assert made.dtypes.to_dict() == holed.dtypes.to_dict()
        assert not made.isna().any().any()
        for name in holed:
            seen = holed[name].notna()
            assert (made[name][seen] == holed[name][seen]).all(), name


def test_one_line_for_each_missing_cell(imputed, fitted):
    _, holed = fitted
    lines = imputed.to_dataframe()
    assert len(lines) == holed.isna().sum().sum() == len(imputed.cells)
    assert lines.index[0].startswith("r")
    kinds = lines[lines["column"] == "kind"]
    assert set(kinds["value"]) <= {"big", "small"}
    assert kinds["probability"].between(0.5, 1).all()
    lengths = lines[lines["column"] == "length"]
    assert (lengths["5%"] < lengths["value"]).all()
    assert lengths["probability"].isna().all()
    days = lines[lines["column"] == "day"]
    assert pd.to_datetime(days["value"]).between("2023-01-01", "2026-01-01").all()
    probabilities = imputed.probabilities("grade")
    assert probabilities.columns.tolist() == ["low", "middle", "high"]
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1)
    assert "imputed" in str(imputed)


def test_tables_differ_where_cells_are_missing(imputed):
    first, second = imputed.completed[:2]
    assert (first["length"] != second["length"]).sum() == (
        imputed.to_dataframe()["column"] == "length"
    ).sum()


def test_complete_tables_come_back(fitted):
    vae, _ = fitted
    whole = frame(missing=False)
    found = pv.impute(vae, whole, num_imputations=2)
    pd.testing.assert_frame_equal(found.mean, whole)
    pd.testing.assert_frame_equal(found.completed[1], whole)
    assert len(found.to_dataframe()) == 0
    assert "0 cells" in str(found)


def test_columns_that_the_model_leaves_out_stay(fitted):
    vae, holed = fitted
    wider = holed.assign(remark="as it was")[["remark", *reversed(holed.columns)]]
    with pytest.warns(UserWarning, match="remark"):
        found = pv.impute(vae, wider, num_imputations=1, num_particles=100)
    made = found.completed[0]
    assert made.columns.tolist() == wider.columns.tolist()
    assert (made["remark"] == "as it was").all()


def test_polars_gives_polars():
    data = pl.DataFrame(
        {"a": [0.5, None, 2.5, 1.25, 3.5] * 10, "b": ["x", "y", None, "x", "y"] * 10}
    )
    vae = pv.VAE.from_data(data, latent_dim=1, hidden_dims=(8,))
    pv.fit(vae, data, epochs=2, progress=False)
    made = pv.impute(vae, data, num_imputations=1, num_particles=100).completed[0]
    assert isinstance(made, pl.DataFrame)
    assert made.schema == data.schema
    assert made.null_count().sum_horizontal().item() == 0
    assert made["a"][0] == 0.5


@pytest.mark.slow
def test_predict_gives_levels_and_intervals(fitted):
    vae, holed = fitted
    found = pv.predict(vae, holed, columns=["kind", "length"], num_particles=200)
    assert found.index.tolist() == holed["id"].tolist()
    assert found[["kind[big]", "kind[small]"]].sum(axis=1).to_numpy() == pytest.approx(
        1
    )
    assert set(found["kind"]) <= {"big", "small"}
    assert (found["length[5%]"] < found["length[95%]"]).all()
    assert found["length"].mean() == pytest.approx(40, abs=4)
    without = pv.predict(
        vae, holed.drop(columns=["kind", "day"]), columns=["kind", "day"]
    )
    assert not without["kind"].isna().any()
    assert without["day"].dtype.kind == "M"
    # what stands in the columns isn't read
    shuffled = holed.assign(kind=holed["kind"].to_numpy()[::-1])
    again = pv.predict(vae, shuffled, columns=["kind", "length"], num_particles=200)
    pd.testing.assert_frame_equal(found, again)


def test_calibration_has_the_columns(fitted):
    vae, holed = fitted
    found = pv.impute(vae, holed, num_imputations=0, num_particles=200, calibrate=True)
    lines = found.calibration.to_dataframe()
    assert lines.index.tolist() == ["length", "kind", "count", "grade", "seen", "day"]
    assert lines.loc["kind", ["error_normal", "coverage_90"]].isna().all()
    assert lines["error"].notna().all()
    wider = found.widened(2.0).cells
    numbers = ~np.isnan(found.cells.sd)
    assert (wider.sd[numbers] == 2 * found.cells.sd[numbers]).all()
    assert (wider.quantiles[numbers, 3] == found.cells.quantiles[numbers, 3]).all()
    assert "90 % interval" in str(found)
    assert len(found.widened().cells) == len(found.cells)


def test_arviz_has_the_imputations_with_names(imputed, fitted):
    vae, holed = fitted
    tree = pv.to_arviz(vae, holed, num_samples=2, imputation=imputed)
    group = tree["imputations"]
    assert group["length"].dims == ("imputation", "observation")
    assert group["length"].shape == (3, ROWS)
    assert group["observation"].values.tolist() == holed["id"].tolist()
    drawn = np.stack([table["length"] for table in imputed.completed])
    assert group["length"].values == pytest.approx(drawn)
    assert group["count"].dtype.kind == "i"
    cells = tree["imputed_cells"]
    for name in ("length", "count"):
        own = cells["value"][0, :, (cells["cell_column"] == name).values]
        rows = np.flatnonzero(holed[name].isna())
        assert own["cell_row"].values.tolist() == holed["id"].iloc[rows].tolist()
        assert own["cell"].values[0] == f"{holed['id'].iloc[rows[0]]}, {name}"
        np.testing.assert_array_equal(own.values, group[name].values[:, rows])
    with pytest.raises(ValueError, match="of the same 10 rows"):
        pv.to_arviz(vae, holed[:10], num_samples=2, imputation=imputed)


def test_arrays_keep_their_type_and_digits():
    vae = pv.VAE(data_shape=(2,), latent_dim=1, missing="at_random", hidden_dims=(8,))
    rows = np.array([[0.1, np.nan], [0.3, 0.7]])
    made = pv.impute(vae, rows, num_imputations=1, num_particles=100).completed[0]
    assert made.dtype == np.float64
    assert made[0, 0] == 0.1


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"num_particles": 5}, "num_particles: expected at least 21"),
        ({"num_imputations": -1}, "num_imputations: expected at least 0"),
        (
            {"hidden_share": 1.5},
            "hidden_share: expected a number between 0 and 1, got 1.5",
        ),
    ],
)
def test_wrong_arguments_are_refused(how, match):
    vae = pv.VAE(data_shape=(2,), latent_dim=1, missing="at_random", hidden_dims=(8,))
    with pytest.raises(ValueError, match=match):
        pv.impute(vae, np.array([[0.1, np.nan]]), **how)


def test_a_model_without_missing_cells_says_what_to_do():
    vae = pv.VAE(data_shape=(2,), latent_dim=1, hidden_dims=(8,))
    with pytest.raises(ValueError, match="missing='at_random'"):
        pv.impute(vae, np.array([[0.1, np.nan]]))
    with pytest.raises(ValueError, match="missing='at_random'"):
        pv.predict(vae, np.array([[0.1, 0.2]]), columns=[0])


def test_unknown_columns_are_named(fitted):
    vae, holed = fitted
    with pytest.raises(ValueError, match=r"'lenght'.*length"):
        pv.predict(vae, holed, columns=["lenght"])


def test_groups_are_predicted_as_a_whole():
    vae = pv.VAE(
        data_shape=(3,),
        latent_dim=1,
        likelihood="multinomial",
        missing="at_random",
        hidden_dims=(8,),
    )
    with pytest.raises(ValueError, match="depend on each other"):
        pv.predict(vae, np.ones((2, 3)), columns=[0])


def test_a_table_of_another_order_and_offset_is_taken_by_name():
    """A `Table` holds numbers less offsets of its own, in an order of its own."""
    random = np.random.default_rng(0)
    whole = pd.DataFrame(
        {"day": 2459000.5 + random.normal(size=40), "size": ["S", "L"] * 20}
    )
    holed = whole.assign(day=whole["day"].where(random.random(40) < 0.7))
    vae = pv.VAE.from_data(holed, latent_dim=1, hidden_dims=(4,))
    later = holed.assign(day=holed["day"] + 1)[["size", "day"]]
    found = pv.impute(
        vae, pv.data.table(later), num_imputations=1, num_particles=100, progress=False
    )
    for made in (found.mean, found.completed[0]):
        assert made["size"].tolist() == later["size"].tolist()
        seen = later["day"].notna()
        np.testing.assert_allclose(made["day"][seen], later["day"][seen], atol=1e-5)
