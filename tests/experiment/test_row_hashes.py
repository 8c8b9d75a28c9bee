"""Hashes of rows: what they depend on, and what they tell of a file that has changed."""

from pathlib import Path

import numpy as np
import pytest

from pyro_vae.data import Splits
from pyro_vae.experiment.description import DataOptions
from pyro_vae.experiment.row_hashes import FILE, RowHashes, hashes_of
from pyro_vae.experiment.splits import hold_out

OPTIONS = DataOptions(source="rows.npy")
X = np.random.default_rng(0).normal(size=(9000, 3))


def source(train: np.ndarray, **others: np.ndarray) -> Splits:
    given = {"valid": None, "test": None, "columns": None, **others}
    return Splits("rows", train, **given)  # type: ignore[arg-type]


def known(rows: Splits) -> RowHashes:
    return RowHashes.of(hold_out(rows, OPTIONS), rows)


def test_a_row_has_its_hash_wherever_it_stands_and_however_it_is_stored(
    tmp_path: Path,
) -> None:
    expected = hashes_of(X)
    assert len(np.unique(expected)) == len(X)
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_array_equal(hashes_of(X[order]), expected[order])
    np.testing.assert_array_equal(hashes_of(X.astype("f4")), expected)
    np.testing.assert_array_equal(hashes_of(X.astype(">f8")), expected)
    np.testing.assert_array_equal(hashes_of(X.reshape(-1, 3, 1)), expected)
    np.testing.assert_array_equal(hashes_of(np.asfortranarray(X)), expected)
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_array_equal(
        hashes_of(np.load(tmp_path / "x.npy", mmap_mode="r")), expected
    )


def test_integers_booleans_and_minus_zero_are_their_numbers() -> None:
    bits = np.array([[0, 1], [1, 0]])
    np.testing.assert_array_equal(
        hashes_of(bits.astype(bool)), hashes_of(bits.astype(float))
    )
    np.testing.assert_array_equal(
        hashes_of(np.array([[-0.0, 1.0]])), hashes_of(bits[:1])
    )
    assert len(set(hashes_of(np.array([[0, 1], [1, 0], [1, 1]])))) == 3


def test_all_missing_values_are_alike() -> None:
    signs = np.array([[np.nan, 1.0], [-np.nan, 1.0]])
    assert len({row.tobytes() for row in signs}) == 2
    assert len(set(hashes_of(signs))) == 1


def test_the_hashes_are_spread_over_64_bits() -> None:
    """Each bit is set in half of 9000 rows ± 4.5 standard errors, also in rows of small numbers."""
    for rows in (X, np.arange(9000)[:, None]):
        bits = np.unpackbits(hashes_of(rows).view(np.uint8).reshape(-1, 8), axis=1)
        assert (np.abs(bits.mean(0) - 0.5) < 4.5 * 0.5 / np.sqrt(9000)).all()


def test_the_rows_of_a_run_are_fitted_or_held_out(tmp_path: Path) -> None:
    rows = source(X)
    found = known(rows)
    parts = hold_out(rows, OPTIONS)
    assert found.were_fitted(parts.splits.train).all()
    assert not found.were_fitted(parts.test).any()
    assert (len(found.fitted), len(found.held_out)) == (7200, 1800)
    np.save(tmp_path / "x.npy", X)
    mapped = known(source(np.load(tmp_path / "x.npy", mmap_mode="r")))
    np.testing.assert_array_equal(mapped.fitted, found.fitted)
    np.testing.assert_array_equal(mapped.held_out, found.held_out)


def test_rows_that_chose_the_best_epoch_are_fitted() -> None:
    found = known(source(X[:50], valid=X[50:60], test=X[60:80]))
    assert found.were_fitted(X[:100]).tolist() == 60 * [True] + 40 * [False]
    np.testing.assert_array_equal(found.held_out, np.sort(hashes_of(X[60:80])))


def test_they_are_written_and_read(tmp_path: Path) -> None:
    assert RowHashes.read(tmp_path) is None
    found = known(source(X))
    found.write(tmp_path / FILE)
    again = RowHashes.read(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.fitted, found.fitted)
    np.testing.assert_array_equal(again.held_out, found.held_out)
    assert (tmp_path / FILE).stat().st_size < 8 * len(X) + 1000


@pytest.mark.parametrize("content", [b"", b"damaged", b"PK\x03\x04 half"])
def test_what_cannot_be_read_is_not_known(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert RowHashes.read(tmp_path) is None


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        (X[:100][::-1], "these in another order, or with other digits"),
        (X[:105], "these 100 and 5 more"),
        (X[:90], "90 of these 100 and 0 others"),
        (X[10:120], "90 of these 100 and 20 others"),
        (X[500:600], "0 of these 100 and 100 others"),
        (np.concatenate([X[:100], X[:100]]), "these 100 and 100 more"),
    ],
)
def test_what_a_changed_file_holds(now: np.ndarray, sentence: str) -> None:
    assert known(source(X[:100])).compared_with(source(now)) == sentence
    cut = source(now[:50], test=now[50:])
    assert known(source(X[:100])).compared_with(cut) == sentence
