"""A small table with a column of each sort, as people have them."""

from typing import Any

import numpy as np
import pandas as pd

KINDS = {
    "species": "categorical",
    "mass": "normal",
    "eggs": "negative_binomial",
    "day": "normal",
    "ringed": "bernoulli",
    "$x$ and $y": "normal",
    "country": "constant",
    "ring_id": "left_out",
    "wing.length": "log_normal",
}
"""The kinds that are decided for the columns beside the unnamed first one, which is the label."""


def birds(rows: int = 60, seed: int = 0, **changes: Any) -> pd.DataFrame:
    """The table, whose first column has no name and numbers the rows from 1, as R writes it.

    Arguments:
        rows: how many.
        seed: of the cells.
        changes: columns that replace those of the table, or are added.
    """
    rng = np.random.default_rng(seed)
    species = rng.choice(["owl", "tit", "hen"], rows)
    species[:3] = ["owl", "tit", "hen"]
    days = pd.to_timedelta(rng.integers(0, 400, rows), unit="D")
    frame = pd.DataFrame(
        {
            "": np.arange(1, rows + 1),
            "species": species,
            "mass": (rng.normal(3, 1, rows) + (species == "owl")).round(3),
            "eggs": rng.negative_binomial(3, 0.1, rows),
            "day": pd.Timestamp("2021-03-01") + days,
            "ringed": rng.random(rows) > 0.5,
            "$x$ and $y": rng.normal(size=rows).round(4),
            "country": "NO",
            "ring_id": rng.permutation(rows) + 1000,
            "wing.length": rng.lognormal(0, 1, rows).round(4),
        }
    )
    return frame.assign(**changes)
