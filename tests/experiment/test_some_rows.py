"""`evaluate.rows`: a random subset of the rows, in their order."""

import numpy as np
import pytest

from pyro_vae.experiment.description import EvaluateOptions, some_rows

X = np.arange(200.0).reshape(100, 2)


def chosen(count: int | None, seed: int = 0) -> list[int]:
    """The numbers of the rows that are kept."""
    rows = some_rows(X, EvaluateOptions(rows=count, seed=seed))
    numbers = (rows[:, 0] / 2).astype(int)
    np.testing.assert_array_equal(rows, X[numbers])
    return [*map(int, numbers)]


@pytest.mark.parametrize("seed", range(5))
def test_some_rows_keep_their_order(seed: int) -> None:
    found = chosen(40, seed)
    assert found == sorted(set(found))
    assert len(found) == 40
    assert found not in ([*range(40)], [*range(60, 100)])


def test_the_choice_follows_its_seed() -> None:
    assert chosen(40) == chosen(40)
    assert chosen(40) != chosen(40, seed=1)


def test_every_row_is_as_likely() -> None:
    """Of 500 choices of 20 in 100, each row is in 100 ± 9."""
    counts = np.bincount(
        [row for seed in range(500) for row in chosen(20, seed)], minlength=100
    )
    assert (np.abs(counts - 100) < 4.5 * np.sqrt(500 * 0.2 * 0.8)).all()


@pytest.mark.parametrize("count", [None, 100, 1000])
def test_all_rows_are_taken_where_no_fewer_are_asked_for(count: int | None) -> None:
    assert chosen(count) == [*range(100)]
