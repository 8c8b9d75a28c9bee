"""`pyro-vae report` of a model with random effects, a label with holes, and missing cells."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pyro_vae as pv
from pyro_vae.analysis.report import checks
from tests.cli.command import pyro_vae
from tests.page.reading import Page, small_spec
from tests.page.test_report import TITLES

pytestmark = pytest.mark.slow
OWN = ["z and the context", "Random effects", "Labels"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "GAP_STEPS", 4)


def birds(n: int = 120) -> pd.DataFrame:
    """Birds of sites, of an age, and of a species that is known of some."""
    random = np.random.default_rng(0)
    species = random.choice(["owl", "tit"], n).astype(object)
    site = random.integers(0, 6, n)
    size = random.normal(size=n) + (species == "owl") + random.normal(size=6)[site]
    species[random.random(n) < 0.5] = None
    table = pd.DataFrame(
        {
            "site": [f"site {one}" for one in site],
            "age": random.integers(1, 9, n),
            "wing": 10 + size,
            "tail": size + 0.3 * random.normal(size=n),
            "eggs": random.poisson(np.exp(0.3 * size)),
            "species": species,
        }
    )
    table.loc[random.random(n) < 0.15, "tail"] = np.nan
    return table


def test_a_table_with_everything(tmp_path: Path) -> None:
    birds().to_csv(tmp_path / "birds.csv", index=False)
    context = {
        "columns": {"site": "random_effect", "age": "normal"},
        "label": "species",
    }
    spec = small_spec(tmp_path / "birds.csv", context=context)
    pv.run(spec, tmp_path / "run", settings=["data.test=60"])
    done = pyro_vae("report", tmp_path / "run", "--json")
    assert (done.status, done.json["failed"]) == (0, {})
    page = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    symbol = "log p(x, known y | c)"
    titles = [title for level, title in page.headings if level == 2]
    expected = [title.replace("log p(x)", symbol) for title in TITLES]
    assert titles == [*expected[:8], *OWN, *expected[8:]]
    assert f"{symbol} = " in page.whole
    assert "one normal given the context" in page.whole
    assert "given the context of each row (site, age)" in page.whole
    assert "site = site " in page.whole
    assert "missing" in page.whole
    assert "s of site" in page.whole
    assert "accuracy" in page.whole
    assert "known labels" in page.whole
    assert "The model takes complete rows only" not in page.whole
    labels = [picture.get("aria-label") or "" for picture in page.pictures]
    assert len(set(labels)) == len(labels)
    assert any(label.startswith("effects of 6 levels of site") for label in labels)


def test_images_whose_contexts_are_at_the_end_of_the_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    label = random.integers(0, 3, 70)
    bits = random.random((70, 16)) < np.linspace(0.2, 0.8, 3)[label][:, None]
    one_hot = np.eye(3)[label]
    fields = {"context": {"dim": 3, "prior": False}, "likelihood": "bernoulli"}
    vae = pv.VAE(data_shape=(4, 4), latent_dim=2, hidden_dims=(8,), **fields)
    x = bits.reshape(-1, 4, 4).astype(np.float32)
    pv.fit(vae, x, context=one_hot, epochs=2, progress=False)
    pv.save(vae, tmp_path / "run")
    np.save(tmp_path / "rows.npy", np.hstack([bits, one_hot]))
    few = ("--set", "evaluate.num_particles=50", "--json")
    done = pyro_vae("report", tmp_path / "run", "--data", tmp_path / "rows.npy", *few)
    assert (done.status, done.json["failed"]) == (0, {})
    page = Page((tmp_path / "run" / "report.html").read_text(encoding="utf-8"))
    assert "each in the context of the row in its place" in page.whole
    assert "Each row has 3 numbers more in its context c" in page.whole
    assert "E[z | x, c] of each row" in page.whole
    assert "Its context: c[0] = " in page.whole
