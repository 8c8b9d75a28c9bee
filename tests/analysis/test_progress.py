"""Progress bars: shown where they are asked for, and not where nobody watches."""

import inspect
from typing import Any

import pytest
import torch

import pyro_vae as pv
from pyro_vae.analysis.report.linear_gaussian import LinearGaussian
from pyro_vae.progress_bar import progress_bar

TRUTH = LinearGaussian.random()
X = TRUTH.sample(5)

ASK: dict[str, Any] = {
    "annealed": lambda **how: pv.annealed(
        TRUTH.vae(), X, num_chains=2, temperatures=2, **how
    ),
    "anomaly": lambda **how: pv.anomaly(
        TRUTH.vae(), X, num_particles=20, num_samples=5, **how
    ),
    "audit": lambda **how: pv.audit(
        TRUTH.vae(),
        X[:1],
        num_chains=2,
        num_samples=4,
        warmup_steps=4,
        num_particles=20,
        **how,
    ),
    "bidirectional": lambda **how: pv.bidirectional(
        TRUTH.vae(), num_rows=2, num_chains=2, temperatures=2, **how
    ),
    "calibration": lambda **how: pv.calibration(
        TRUTH.vae(), num_rows=5, num_samples=5, **how
    ),
    "checkup": lambda **how: pv.checkup(TRUTH.vae(), X, num_particles=20, **how),
    "compare": lambda **how: pv.compare(
        {"a": TRUTH.vae(), "b": TRUTH.vae(widen=1.2)}, X, num_particles=20, **how
    ),
    "evidence": lambda **how: pv.evidence(TRUTH.vae(), X, num_particles=20, **how),
    "inference_gaps": lambda **how: pv.inference_gaps(
        TRUTH.vae(), X, steps=4, num_particles=2, **how
    ),
    "latent_use": lambda **how: pv.latent_use(TRUTH.vae(), X, **how),
    "transfer": lambda **how: pv.transfer(
        pv.VAE(data_shape=(2,), latent_dim=1, context={"dim": 1}),
        torch.zeros(3, 2),
        context=torch.zeros(3, 1),
        to=[[1.0]],
        num_particles=21,
        **how,
    ),
}


@pytest.mark.parametrize("name", ASK)
def test_none_is_the_default_and_shows_nothing_in_a_file(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect.signature(getattr(pv, name)).parameters["progress"].default is None
    ASK[name]()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "name",
    [
        "annealed",
        "audit",
        "calibration",
        "compare",
        "evidence",
        "inference_gaps",
        "latent_use",
        "transfer",
    ],
)
def test_true_shows_a_bar_anywhere(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ASK[name](progress=True)
    assert "100%" in capsys.readouterr().err


def test_a_bar_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with progress_bar(None, total=1, desc="rows", unit="row") as bar:
        assert bar.disable
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with progress_bar(None, total=1, desc="rows", unit="row") as bar:
        assert not bar.disable
    with progress_bar(False, total=1, desc="rows", unit="row") as bar:
        assert bar.disable
