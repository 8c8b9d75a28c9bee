"""What every result has in common: the summary that it prints, the table of a notebook, the rows."""

import math

import numpy as np

from pyro_vae.analysis.results.answer import Answer, Total


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
        return {"score": np.array([1.0, 2.0, 3.0]), "trusted": np.array([True, False, True])}

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
    assert "<td>mean score</td><td>2.000 ± 1.000 nats</td><td>of &lt;all&gt; rows</td>" in shown
    assert "a score &lt; 1 is low &amp; rare<br>see the docs" in shown


def test_rows_have_their_order_their_types_and_their_labels():
    plain, labelled = Scores().to_dataframe(), Scores(["b", "a", "c"]).to_dataframe()
    assert plain.index.tolist() == [0, 1, 2]
    assert plain.index.name == labelled.index.name == "row"
    assert labelled.loc["a", "score"] == 2.0
    assert plain["trusted"].dtype == bool
