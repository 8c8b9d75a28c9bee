"""A label on the command line."""

import json
from pathlib import Path

import pytest

import pyro_vae as pv
from pyro_vae.cli.main import main
from tests.labels.test_tables import a_table

SPEC = """
latent_dim = 1
hidden_dims = [8]

[data]
source = "birds.csv"

[context]
columns = ["site"]
label = "species"

[fit]
epochs = 3

[evaluate]
num_particles = 100
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:fit. the", "ignore:fit. no training row")
def test_a_label_of_a_description(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    a_table(120).to_csv("birds.csv", index=False)
    Path("spec.toml").write_text(SPEC, encoding="utf-8")
    assert main(["fit", "spec.toml", "--output", "run"]) == 0
    metrics = json.loads(Path("run/metrics.json").read_text(encoding="utf-8"))
    assert "given the context of each row (site)" in metrics["measure"]
    spec = pv.load("run").spec
    assert spec.missing == "none"  # the label alone is, and it is no column of x
    assert spec.context is not None
    assert spec.context.levels == (2, 2)
