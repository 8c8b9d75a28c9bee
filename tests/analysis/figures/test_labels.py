"""Labels of any type become groups of rows."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pyro_vae.analysis.figures.labels import by_label


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([10, 9, 10], {"9": [1], "10": [0, 2]}),
        ([True, False, True], {"False": [1], "True": [0, 2]}),
        (["b", "a", "b"], {"a": [1], "b": [0, 2]}),
        ([1.0, 2.5, 1.0], {"1": [0, 2], "2.5": [1]}),
        ([1.0, np.nan, 1.0], {"1": [0, 2], "nan": [1]}),
        (np.array(["x", None, 3], dtype=object), {"3": [2], "None": [1], "x": [0]}),
        (
            np.array(["2020-01-02", "2020-01-01"], dtype="datetime64[D]"),
            {"2020-01-01": [1], "2020-01-02": [0]},
        ),
        (None, {"": [0, 1]}),
    ],
)
def test_groups_in_order(labels: Any, expected: dict[str, list[int]]) -> None:
    found = by_label(labels, len(labels) if labels is not None else 2)
    assert {
        name: np.flatnonzero(chosen).tolist() for name, chosen in found.items()
    } == expected
    assert list(found) == list(expected)


def test_a_number_of_many_values_is_cut_into_ranges() -> None:
    values = np.random.default_rng(0).permutation(1000) / 8
    values[:10] = np.nan
    found = by_label(values, 1000)
    assert list(found)[-1] == "unknown"
    assert found.pop("unknown").sum() == 10
    assert {int(chosen.sum()) for chosen in found.values()} == {99}
    parts = [values[chosen] for chosen in found.values()]
    assert all(low.max() < high.min() for low, high in pairwise(parts))


def test_rare_labels_are_one_group() -> None:
    labels = np.repeat([f"kind {i:03}" for i in range(100)], np.arange(1, 101))
    found = by_label(labels, len(labels))
    assert len(found) == 40
    assert list(found)[-1] == "others"
    assert found["others"].sum() == sum(range(1, 62))
    assert np.sum(list(found.values())) == len(labels)
