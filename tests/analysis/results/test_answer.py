"""What all results have in common: the printed summary, the table of a notebook, the rows."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from pyro_vae.analysis.results.answer import Answer, Total, mean_and_se
from pyro_vae.data import table
from pyro_vae.data.row_labels import row_labels


class Scores(Answer):
    reading = "a score < 1 is low & rare\nsee the docs"

    def __init__(self, names=None):
        self.names = names

    def totals(self):
        return [
            Total("mean score", 2.0, 1.0, "nats", "of <all> rows"),
            Total("rows", 3),
            Total("share", 0.5, math.nan),
        ]

    def columns(self):
        return {
            "score": np.array([1.0, 2.0, 3.0]),
            "trusted": np.array([True, False, True]),
        }

    def labels(self):
        return self.names


def test_it_prints_its_totals_and_how_to_read_them():
    assert str(Scores()).splitlines() == [
        "mean score  2.000 ± 1.000 nats   (of <all> rows)",
        "rows        3",
        "share       0.500",
        "a score < 1 is low & rare",
        "see the docs",
    ]


def test_a_notebook_shows_a_table_whose_text_is_escaped():
    shown = Scores()._repr_html_()
    assert shown.count("<tr>") == 3
    assert (
        "<td>mean score</td><td>2.000 ± 1.000 nats</td><td>of &lt;all&gt; rows</td>"
        in shown
    )
    assert "a score &lt; 1 is low &amp; rare<br>see the docs" in shown


def test_rows_have_their_order_their_types_and_their_labels():
    plain = Scores().to_dataframe()
    labelled = Scores(["b", "a", "c"]).to_dataframe()
    assert plain.index.tolist() == [0, 1, 2]
    assert plain.index.name == labelled.index.name == "row"
    assert labelled.loc["a", "score"] == 2.0
    assert plain["trusted"].dtype == bool


def test_a_total_has_its_own_digits_or_words():
    assert Total("bits per dim", 1.23456, digits=4).shown() == "1.2346"
    assert Total("acceptance", 0.8, 0.01, digits=2).shown() == "0.80 ± 0.01"
    assert Total("trusted", 1.0, text="all rows").shown() == "all rows"
    assert Total("rows", np.int64(7)).shown() == "7"


def test_the_standard_error_of_a_mean():
    assert mean_and_se(np.array([1.0, 2.0, 6.0])) == (
        3.0,
        pytest.approx(math.sqrt(7 / 3)),
    )
    mean, se = mean_and_se(np.array([4.0]))
    assert mean == 4.0
    assert math.isnan(se)


VALUES = np.zeros((2, 3))


class Cells:
    """What an AnnData object has."""

    X = VALUES
    obs_names = pd.Index(["b", "a"])
    var_names = pd.Index(["x", "y", "z"])


NAMED = {
    "index": pd.DataFrame(VALUES, index=["b", "a"]),
    "index before columns": pd.DataFrame(
        {"labels": [1, 2], "obs_names": [3, 4], "values": [5, 6]}, index=["b", "a"]
    ),
    "Series": pd.Series([1.0, 2.0], index=["b", "a"]),
    "AnnData": Cells(),
    "table": table(pd.DataFrame({"x": [0.5, 1.5], "y": [2.5, 0.1]}, index=["b", "a"])),
}


@pytest.mark.parametrize("name", NAMED)
def test_rows_have_the_names_that_their_data_have(name):
    assert row_labels(NAMED[name]) == ("b", "a")


class Classes(TensorDataset):
    labels = (0, 1)


@pytest.mark.parametrize(
    "x",
    [
        VALUES,
        VALUES.tolist(),
        torch.zeros(2, 3),
        Classes(torch.zeros(2, 3)),
        SimpleNamespace(values=VALUES, labels=None),
    ],
    ids=["array", "list", "tensor", "dataset with classes", "table without names"],
)
def test_other_rows_have_none(x):
    assert row_labels(x) is None
