"""examples/digits_picture.py draws the picture of the README."""

import importlib.util
import sys
from pathlib import Path

import matplotlib.image
import matplotlib.pyplot as plt
import numpy as np
import pytest

import pyro_vae as pv
from tests.docs.pages import DOCS, ROOT

LARGEST_FILE = 200_000


@pytest.mark.slow
def test_the_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = importlib.util.spec_from_file_location(
        "digits_picture", ROOT / "examples" / "digits_picture.py"
    )
    assert source is not None
    assert source.loader is not None
    script = importlib.util.module_from_spec(source)
    source.loader.exec_module(script)

    def untrained(x: np.ndarray) -> pv.VAE:
        likelihood = {"kind": "beta_binomial", "total_count": 16}
        vae = pv.VAE(data_shape=(64,), latent_dim=8, likelihood=likelihood)
        pv.fit(vae, x, epochs=1, seed=0)
        return vae

    monkeypatch.setattr(script, "fitted", untrained)
    monkeypatch.setattr(
        sys, "argv", ["digits_picture.py", str(tmp_path / "digits.png")]
    )
    script.main()
    plt.close("all")
    drawn = matplotlib.image.imread(tmp_path / "digits.png")
    committed = matplotlib.image.imread(DOCS / "images" / "digits.png")
    assert drawn.shape == committed.shape


def test_the_pictures_of_the_documentation_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (DOCS / "images").glob("*.png")}
    assert sizes
    assert {name for name, size in sizes.items() if size > LARGEST_FILE} == set()
