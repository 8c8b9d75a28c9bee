"""Statistics of observed cells, and rows with missing ones as they are read and checked."""

import numpy as np
import pandas as pd
import pytest
import torch

from pyro_vae import VAE, evidence, fit
from pyro_vae.data import Statistics, as_rows, checked, statistics
from pyro_vae.data.checks import MissingCells, with_missing
from pyro_vae.data.summary_statistics import farthest
from pyro_vae.networks import Standardize
from pyro_vae.rng import row_hash, row_seed

NAN = float("nan")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(97, 2, 3)) * [1, 10, 1e-3] + [5, 1e6, 0]
HOLED = np.where(RANDOM.random(X.shape) < 0.4, NAN, X)


def batches(x, size):
    return torch.as_tensor(x).split(size)


@pytest.mark.parametrize("size", [1, 2, 7, 97])
def test_statistics_are_those_of_the_observed_cells(size):
    found = statistics(batches(HOLED, size))
    np.testing.assert_allclose(found.mean, np.nanmean(HOLED, 0), rtol=1e-13)
    np.testing.assert_allclose(found.std, np.nanstd(HOLED, 0), rtol=1e-9)
    np.testing.assert_array_equal(found.count, (~np.isnan(HOLED)).sum(0))
    assert found.rows == 97


def test_medians_are_those_of_the_observed_cells():
    found = statistics(batches(HOLED, 97))
    median = np.nanmedian(HOLED, 0)
    np.testing.assert_allclose(found.median, median, rtol=1e-13)
    deviation = np.nanmedian(np.abs(HOLED - median), 0)
    np.testing.assert_allclose(found.robust_std, 1.4826 * deviation, rtol=1e-9)
    for column in np.ndindex(2, 3):
        assert found.some_observed[column] in HOLED[(slice(None), *column)]


@pytest.mark.parametrize("size", [1, 7, 97])
def test_complete_rows_have_the_same_statistics_as_ever(size):
    """To the last bit: Chan's update without a count for each feature."""
    origin = torch.as_tensor(X[0])
    rows, mean, squares = 0, torch.tensor(0.0), torch.tensor(0.0)
    for batch in batches(X, size):
        wide = batch - origin
        delta = wide.mean(0) - mean
        total = rows + len(batch)
        own = (wide - wide.mean(0)).square().sum(0)
        squares = squares + own + delta.square() * (rows * len(batch) / total)
        mean = mean + delta * (len(batch) / total)
        rows = total
    found = statistics(batches(X, size))
    assert torch.equal(found.mean, origin + mean)
    assert torch.equal(found.std, (squares / rows).sqrt())
    assert found.observed is None
    if size == 97:
        assert torch.equal(found.median, torch.as_tensor(X).quantile(0.5, 0))


def test_few_observed_cells_have_their_mean_for_a_median():
    x = np.full((100, 1), NAN)
    x[:3, 0] = [0.0, 1.0, 100.0]
    assert float(statistics(batches(x, 100)).median) == 1.0  # all that there are
    assert float(statistics(reversed(batches(x, 50))).median) == pytest.approx(101 / 3)


def test_a_column_without_an_observed_cell_has_no_statistics():
    x = np.array([[1.0, NAN], [3.0, NAN]])
    found = statistics(batches(x, 1))
    assert found.count.tolist() == [2, 0]
    assert found.mean[0] == 2
    assert found.mean[1].isnan()
    assert found.std[1].isnan()


def test_an_empty_first_batch_loses_no_digits():
    x = np.full((200, 1), NAN)
    x[100:, 0] = 1e6 + RANDOM.normal(size=100)
    found = statistics(batches(x, 50))
    np.testing.assert_allclose(found.std, np.nanstd(x, 0), rtol=1e-6)


def test_some_columns_of_statistics():
    found = statistics(batches(HOLED[:, 0], 97)).of_columns([2, 0])
    np.testing.assert_allclose(found.mean, np.nanmean(HOLED[:, 0], 0)[[2, 0]])
    np.testing.assert_array_equal(found.count, (~np.isnan(HOLED[:, 0])).sum(0)[[2, 0]])
    assert isinstance(found, Statistics)


def test_the_farthest_value_is_no_missing_one():
    x = torch.cat([torch.linspace(-1, 1, 99), torch.tensor([NAN, -9999.0])]).unsqueeze(
        1
    )
    assert farthest([x], statistics([x]), (0,))[:2] == (100, -9999.0)


@pytest.mark.parametrize("mode", ["feature", "all", "none"])
def test_standardised_rows_have_zeros_and_the_mask(mode):
    standardize = Standardize((2, 3), mode, missing=True)
    standardize.pyro_vae_start(statistics(batches(HOLED, 97)))
    found = standardize(torch.as_tensor(HOLED).float())
    expected = HOLED
    if mode == "feature":
        expected = (HOLED - np.nanmean(HOLED, 0)) / np.nanstd(HOLED, 0)
    if mode == "all":
        expected = (HOLED - np.nanmean(HOLED)) / np.nanstd(HOLED)
    assert found.shape == (97, 2, 2, 3)
    np.testing.assert_allclose(
        found[:, 0], np.nan_to_num(expected), rtol=1e-4, atol=1e-2
    )
    np.testing.assert_array_equal(found[:, 1], ~np.isnan(HOLED))


def test_noise_is_added_to_observed_cells_alone():
    standardize = Standardize((3,), "none", noise=1.0, missing=True).train()
    found = standardize(torch.tensor([[0.0, NAN, 0.0]]))
    assert found[0, 1] == 0
    assert found[0, 0] != 0
    assert found[0, 3:].tolist() == [1, 0, 1]


def test_hashes_know_missing_cells_and_one_kind_of_nan():
    row = torch.tensor([1.0, NAN, 2.0])
    other = row.clone()
    other.view(torch.int32)[1] ^= 1  # another nan, of the same meaning
    other.view(torch.int32)[1] |= -(2**31)
    assert other.isnan().tolist() == row.isnan().tolist()
    assert row_hash(row) == row_hash(other) == row_hash(row.double())
    assert row_seed(row, "draws") == row_seed(other, "draws")
    assert row_hash(row) != row_hash(torch.tensor([NAN, 1.0, 2.0]))


GIVEN = {
    "none": [[1.0, None], [None, 2.0]],
    "nan": np.array([[1.0, NAN], [NAN, 2.0]]),
    "object": np.array([[1.0, pd.NA], [None, 2.0]], dtype=object),
    "masked": np.ma.masked_array([[1.0, 7.0], [7.0, 2.0]], [[0, 1], [1, 0]]),
    "masked integers": np.ma.masked_array([[1, 7], [7, 2]], [[0, 1], [1, 0]]),
    "tensor": torch.tensor([[1.0, NAN], [NAN, 2.0]]),
    "table": pd.DataFrame({"a": [1.0, None], "b": pd.array([None, 2.0], "Float64")}),
}


@pytest.mark.parametrize("name", GIVEN)
def test_missing_cells_of_every_kind_are_nan(name):
    rows = as_rows(GIVEN[name], (2,), missing=True)
    found = torch.cat(list(rows.batches(10)))
    np.testing.assert_array_equal(found, [[1, NAN], [NAN, 2]])


@pytest.mark.parametrize("name", sorted(set(GIVEN) - {"nan", "tensor"}))
def test_they_are_an_error_where_none_are_expected(name):
    with pytest.raises(ValueError, match=r"missing='at_random'|real numbers"):
        fit(VAE(data_shape=(2,), latent_dim=1), GIVEN[name], epochs=1)


def test_a_mask_that_shows_nan_disagrees_with_it():
    x = np.ma.masked_array([[1.0, NAN]], [[True, False]])
    with pytest.raises(ValueError, match="a mask that hides each nan"):
        with_missing(x, "x")


def test_text_is_no_missing_cell():
    with pytest.raises(ValueError, match="expected numbers, and None, NA or nan"):
        with_missing(np.array([[1.0, "?"]], dtype=object), "x")


def check(x, **options):
    support = torch.distributions.constraints.positive
    given = dict(support=support, remedy="take logs", name="x", **options)
    return list(checked([torch.as_tensor(x)], (3,), **given))


def test_nan_is_an_error_with_a_remedy_where_nothing_may_be_missing():
    with pytest.raises(
        ValueError, match=r"got nan in row 1, column 2; make .*'at_random'"
    ):
        check([[1.0, 1.0, 1.0], [1.0, 1.0, NAN]])


def test_infinities_and_values_outside_stay_errors():
    may = MissingCells()
    assert len(check([[1.0, NAN, 1.0]], missing=may)) == 1
    with pytest.raises(
        ValueError, match="finite numbers, got inf in row 0, column 1; replace"
    ):
        check([[NAN, float("inf"), 1.0]], missing=may)
    with pytest.raises(
        ValueError, match="support of numbers above 0, got -1 in row 0, column 2"
    ):
        check([[NAN, 1.0, -1.0]], missing=may)


def test_a_group_is_missing_as_a_whole():
    may = MissingCells({"columns 1:3 (multinomial)": [1, 2]})
    assert len(check([[1.0, NAN, NAN], [NAN, 1.0, 1.0]], missing=may)) == 1
    with pytest.raises(
        ValueError,
        match=r"all cells of columns 1:3 \(multinomial\) or none, .* in row 1",
    ):
        check([[1.0, 1.0, 1.0], [1.0, NAN, 1.0]], missing=may)


GROUPS = {
    "multinomial": ({"kind": "multinomial"}, "the counts of a multinomial"),
    "sized": (
        {"kind": "poisson", "size_factor": "column"},
        "the counts and their size factor",
    ),
    "mixed": (
        {
            "kind": "mixed",
            "columns": [
                {"columns": 0, "kind": "normal"},
                {
                    "columns": "1:4",
                    "kind": "negative_binomial",
                    "size_factor": "column",
                },
            ],
        },
        r"columns 1:4 \(negative_binomial\)",
    ),
}


@pytest.mark.parametrize("name", GROUPS)
def test_half_of_a_group_is_refused_by_its_name(name):
    likelihood, shown = GROUPS[name]
    vae = VAE(data_shape=(4,), latent_dim=1, likelihood=likelihood, missing="at_random")
    rows = np.array([[1.0, 2.0, 1.0, 2.0], [1.0, NAN, 1.0, 2.0]])
    with pytest.raises(ValueError, match=f"x: expected all cells of {shown} or none"):
        fit(vae, rows, epochs=1, validation=None)
    rows[1, 1:] = NAN
    rows[1, 0] = NAN
    with pytest.warns(UserWarning, match="1 of 2 rows have no observed cell"):
        fit(vae, rows, epochs=1, validation=None, progress=False)


def test_a_column_without_an_observed_cell_is_named():
    vae = VAE(data_shape=(3,), latent_dim=1, missing="at_random")
    x = np.array([[1.0, NAN, 1.0], [2.0, NAN, 3.0]])
    with pytest.raises(
        ValueError, match=r"an observed cell in each column.* of 1; leave"
    ):
        fit(vae, x, epochs=1, validation=None)
    frame = pd.DataFrame(x, columns=["age", "pulse", "weight"])
    named = VAE(data_shape=(3,), latent_dim=1, missing="at_random")
    with pytest.raises(ValueError, match="of 'pulse'; leave"):
        fit(named, frame, epochs=1, validation=None)


def test_grey_levels_can_not_be_missing():
    vae = VAE(
        data_shape=(2,), latent_dim=1, likelihood="bernoulli", missing="at_random"
    )
    with pytest.raises(ValueError, match="got nan"):
        fit(
            vae, np.array([[0.5, NAN], [0.2, 1.0]]), binarize="dynamic", validation=None
        )


def test_a_code_is_a_number_unless_it_is_declared(tmp_path):
    from pyro_vae.data import read

    path = tmp_path / "codes.csv"
    path.write_text("a,b\n1.5,2.5\n-999,0.5\n3.5,-999\n0.25,4.5\n")
    assert read(path).missing == {}
    declared = read(path, missing=[-999])
    assert declared.missing == {"a": 1, "b": 1}
    assert VAE.from_data(declared, latent_dim=1).spec.missing == "at_random"
    assert VAE.from_data(read(path), latent_dim=1).spec.missing == "none"


def test_evidence_of_a_table_with_missing_cells_by_names():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": random.normal(size=60),
            "b": random.poisson(3.0, 60),
            "c": list("uvw") * 20,
        }
    ).astype({"b": "Int64"})
    frame.loc[3, "a"] = None
    frame.loc[4, "b"] = pd.NA
    frame.loc[5, "c"] = None
    vae = VAE.from_data(frame, latent_dim=1)
    assert vae.spec.missing == "at_random"
    fit(vae, frame, epochs=2, progress=False)
    found = evidence(vae, frame, num_particles=50, given=["c"], progress=False)
    assert found.n_observed[:7].tolist() == [2, 2, 2, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="given: unknown column 'd'"):
        evidence(vae, frame, given=["d"])
