"""Names of columns that mean something to a program which draws or stores them."""

from pathlib import Path

import arviz as az
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from tests.cli.command import QUICK

NAMES = ["$a$ and $b_", "two\nlines", 300 * "n", "%_^{x", "a/b", "..", '"quoted", é']
FILES = {"history.png", "latent.png", "samples.png", "posterior.nc", "evidence.csv"}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_all_files_are_made(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two `$` are a formula for matplotlib, and `/` a folder for netCDF."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(60, len(NAMES)))
    table = pd.DataFrame(values, columns=NAMES)
    if suffix == "csv":
        table.to_csv("rows.csv", index=False)
    else:
        table.to_parquet("rows.parquet", index=False)
    fields = {"data": f"rows.{suffix}", "latent_dim": 2, "hidden_dims": (8,)}
    outcome = pv.run(fields, "run", settings=[word for word in QUICK if "=" in word])
    assert {file.name for file in outcome.files} >= FILES
    for picture in ("history.png", "latent.png", "samples.png"):
        assert matplotlib.image.imread(f"run/{picture}").std() > 0
    tree = az.from_netcdf("run/posterior.nc")
    assert tree["observed_data"]["x"]["feature"].values.tolist() == NAMES
    tree.close()


def test_characters_that_the_font_lacks_are_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(60, 2))
    pd.DataFrame(values, columns=["日本", "語"]).to_csv("rows.csv", index=False)
    fields = {"data": "rows.csv", "latent_dim": 2, "hidden_dims": (8,)}
    with pytest.warns(
        UserWarning, match="samples.png: 3 characters are missing"
    ) as caught:
        pv.run(fields, "run", settings=[word for word in QUICK if "=" in word])
    assert len(caught) == 1
    assert Path("run/samples.png").exists()
