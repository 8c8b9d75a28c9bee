"""One small result of each kind, without a model where that is possible."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import pyro_vae as pv
from pyro_vae import analysis
from pyro_vae.analysis.contexts.dependence_results import Told
from pyro_vae.analysis.imputation.calibration import Calibrated
from pyro_vae.analysis.posterior_checks.moments import Difference, Moments
from pyro_vae.analysis.results.answer import Answer, Total
from pyro_vae.training.options import FitOptions

N = 30
RANDOM = np.random.default_rng(0)
NORMAL = RANDOM.normal(size=(N, 4))
FRAME = pd.DataFrame(
    {
        "mass in g": NORMAL[:, 0],
        "eggs": RANDOM.poisson(3, N),
        "size": pd.Categorical(["S", "M", "L"] * 10, categories=["S", "M", "L"]),
    }
)


def evidence(shift: float = 0.0, seconds: float = 3.0) -> pv.analysis.Evidence:
    log_p = -80 + 5 * NORMAL[:, 0] + shift
    whole = np.full(N, 1000)
    return analysis.Evidence(
        log_marginal=log_p,
        se=np.full(N, 0.1),
        elbo=log_p - 2,
        ess=np.full(N, 50.0),
        pareto_k=NORMAL[:, 1] / 3,
        num_particles=whole,
        data_size=4,
        reached=np.full(N, "num_particles"),
        retried=np.zeros(N, bool),
        row_hashes=np.arange(N, dtype=np.uint64),
        method=np.full(N, "refined"),
        proposal_elbo=log_p - 1,
        upper=np.full(N, np.nan),
        seconds=seconds,
    )


def annealed() -> analysis.Annealed:
    one = np.ones(N)
    hashes = np.arange(N, dtype=np.uint64)
    return analysis.Annealed(NORMAL[:, 0], one, one, one, one, hashes, 16, 1000)


def bracket() -> analysis.Bracket:
    lower = NORMAL[:, 0] - 80
    se = np.full(N, 0.05)
    return analysis.Bracket(NORMAL, lower, lower + NORMAL[:, 1] ** 2, se, se, 16, 1000)


def gaps() -> analysis.Gaps:
    log_p, one = NORMAL[:, 0] - 80, np.full(N, 0.1)
    parts = NORMAL[:, 1] ** 2, NORMAL[:, 2] ** 2
    return analysis.Gaps(
        log_marginal=log_p,
        log_marginal_se=one,
        pareto_k=one,
        elbo=log_p - parts[0] - parts[1],
        elbo_best=log_p - parts[0],
        elbo_full_rank=log_p,
        approximation_gap=parts[0],
        approximation_gap_se=one,
        amortization_gap=parts[1],
        amortization_gap_se=one,
        last_gain=one,
        num_particles=1000,
        family="normals",
        estimator="importance sampling",
    )


def latent_use() -> analysis.LatentUse:
    four = np.array([1.0, 0.5, 0.001, 0.2])
    return analysis.LatentUse(
        variance=four,
        threshold=0.01,
        rate=3.0,
        rate_se=0.1,
        rate_per_dim=four,
        information=2.0,
        information_se=0.1,
        information_upper=3.0,
        information_upper_se=0.1,
        marginal_kl_se=(0.1, 0.1),
        num_rows=N,
        mean=four / 3,
        mean_se=four / 9,
        scale=0.5 + four,
        scale_se=four / 9,
        prior_mean=np.zeros(4),
        prior_scale=np.ones(4),
    )


def audit() -> analysis.Audit:
    mean, sd, se = NORMAL[:2], np.ones((2, 4)), np.full((2, 4), 0.05)
    nuts = Moments(mean, se, sd, se)
    guide = Moments(mean + 0.1, se, sd * [0.5, 1, 1, 2], se)
    return analysis.Audit(
        z=np.zeros((2, 4, 2, 4)),
        r_hat=sd,
        ess=500 * sd,
        divergences=np.zeros(2, int),
        pareto_k=np.array([0.2, 0.9]),
        num_particles=2000,
        nuts=nuts,
        guide=Difference.between(guide, nuts),
        resampled=Difference.between(nuts, nuts),
        warmup_steps=500,
        row_labels=("owl", "tit"),
    )


def comparison() -> analysis.Comparison:
    log_p = np.stack([NORMAL[:, 0], NORMAL[:, 0] - 1 + 0.3 * NORMAL[:, 1]]) - 80
    return analysis.Comparison(
        ("vamp", "standard normal"),
        log_p,
        np.full((2, N), 0.1),
        np.zeros((2, N)),
        np.full((2, N), 1000),
        np.zeros((2, N), bool),
        (None, None),
    )


def anomaly() -> analysis.Anomaly:
    return analysis.Anomaly(
        log_marginal=NORMAL.sum(1),
        se=np.full(N, 0.1),
        trusted=np.ones(N, bool),
        p_value=np.full(N, 0.5),
        typicality=np.ones(N),
        typicality_p_value=np.full(N, 0.5),
        reference=NORMAL[:, 1],
        shared=0,
        shares=NORMAL,
        share_se=np.full((N, 4), 0.1),
        usual=NORMAL.mean(0),
        usual_rate=0.0,
        column_names=("mass in g", "eggs", "size", "wing in mm"),
        row_labels=None,
    )


@cache
def imputed() -> analysis.Imputation:
    """Real ones: a linear decoder whose posterior is close to exact."""
    vae = pv.VAE(data_shape=(4,), latent_dim=1, hidden_dims=(4,), missing="at_random")
    x = torch.tensor(NORMAL, dtype=torch.float32)
    x[::2, 1] = torch.nan
    x[::3, 0] = torch.nan
    how: Any = {"num_particles": 100, "num_imputations": 2, "progress": False}
    return pv.impute(vae, x, calibrate=True, **how)


def calibrated() -> Calibrated:
    found = imputed().calibration
    assert found is not None
    return found


@cache
def run() -> pv.Run:
    history = [
        {
            "epoch": float(i),
            "loss": 1.0,
            "seconds": 1.0,
            "elbo": -9.0 - 1 / i,
            "rate": 4.0,
            "distortion": 5.0 + 1 / i,
        }
        for i in range(1, 8)
    ]
    vae = pv.VAE(data_shape=(4,), latent_dim=1, hidden_dims=(4,))
    return pv.Run(vae, FitOptions(), history=history, best_epoch=7)


def outcome() -> pv.Outcome:
    fitted = run()
    nothing: Any = None
    return pv.Outcome(fitted.vae, fitted, {}, evidence(), nothing, Path("run"))


def finding(verdict: Any = "pass", name: str = "k-hat") -> analysis.Finding:
    how: Any = {"number": 0.2, "threshold": 0.7, "unit": "nats per row"}
    return analysis.Finding(name=name, verdict=verdict, meaning="as it is", **how)


def checkup() -> analysis.Checkup:
    verdicts = ("pass", "warn", "fail", "none")
    return analysis.Checkup(tuple(finding(v, f"finding {v}") for v in verdicts))


def traversal() -> analysis.Traversal:
    z = np.tile(np.linspace(-2, 2, 5), (3, 1))
    mean = np.stack([z, z**2, -z], 2)
    return analysis.Traversal(np.array([4, 0, 2]), z, mean, np.ones(3), ("a", "b", "c"))


def traversal_of_pictures() -> analysis.Traversal:
    z = np.tile(np.linspace(-2, 2, 5), (3, 1))
    mean = RANDOM.random((3, 5, 8, 8))
    return analysis.Traversal(np.array([4, 0, 2]), z, mean, np.ones((8, 8)))


class Scores(Answer):
    """A result without a picture of its own."""

    reading = "higher is better"

    def totals(self) -> list[Total]:
        return [Total("rows", N)]

    def columns(self) -> dict[str, np.ndarray]:
        return {"score": NORMAL[:, 0], "name": np.full(N, "owl"), "rank": np.arange(N)}


Z = np.linspace(-2, 2, 5)
RESULTS: dict[str, Callable[[], Any]] = {
    "Evidence": evidence,
    "dict": lambda: {"guide": evidence(-1, 0.5), "refined": evidence()},
    "Annealed": annealed,
    "Bracket": bracket,
    "Gaps": gaps,
    "LatentUse": latent_use,
    "Codes": lambda: analysis.Codes(NORMAL, np.full((N, 4), 0.3)),
    "Codes of one dimension": lambda: analysis.Codes(NORMAL[:, :1], NORMAL[:, :1] ** 2),
    "Samples": lambda: analysis.Samples(NORMAL, NORMAL, NORMAL),
    "Samples of pictures": lambda: analysis.Samples(
        NORMAL, RANDOM.random((N, 64)), RANDOM.random((N, 64))
    ),
    "Traversal": traversal,
    "Traversal of pictures": traversal_of_pictures,
    "Manifold": lambda: analysis.Manifold(
        (0, 1), Z, Z, RANDOM.random((5, 5, 3)), ("a", "b", "c")
    ),
    "Manifold of pictures": lambda: analysis.Manifold(
        (0, 1), Z, Z, RANDOM.random((5, 5, 64))
    ),
    "Calibration": lambda: analysis.Calibration(
        RANDOM.random((N, 2)), RANDOM.random(N), 99, None
    ),
    "Audit": audit,
    "Comparison": comparison,
    "Anomaly": anomaly,
    "Imputation": imputed,
    "Calibrated": calibrated,
    "Pooled": lambda: pv.pool([[1.0, 2], [3.0, 2.2]], [[1.0, 0.1]] * 2),
    "MissingMechanism": lambda: analysis.MissingMechanism(
        ["income", "size"], [None, "S"], np.zeros(2), np.array([2.0, np.nan])
    ),
    "Independence": lambda: analysis.Independence(
        (
            Told("batch", NORMAL[:, 0] + 2.0, 0.9, 0.4, is_level=True),
            Told("age", NORMAL[:, 1], 0.0, 0.0, is_level=False),
        )
    ),
    "LevelEffects": lambda: analysis.LevelEffects(
        np.array(["batch"] * 6),
        np.repeat(np.array(["a", "b", "c"]), 2),
        np.array([0, 1] * 3),
        np.arange(6.0) - 1,
        np.full(6, 0.5),
        {"batch": 1.0},
    ),
    "Run": run,
    "list": lambda: [run(), run()],
    "Outcome": outcome,
    "Answer": Scores,
    "Checkup": checkup,
    "Finding": finding,
}
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "codes by a column": ("Codes", {"colour_by": NORMAL[:, 0], "name": "mass in g"}),
    "codes by a label": ("Codes", {"colour_by": np.arange(N) % 3, "name": "class"}),
    "samples and data": ("Samples", {"data": NORMAL[:20], "names": list("abcd")}),
    "pairs": ("Samples", {"data": NORMAL[:20], "pairs": True}),
    "pictures and data": ("Samples of pictures", {"data": RANDOM.random((9, 64))}),
    "a column over z": ("Manifold", {"column": "b"}),
    "imputation and truth": ("Imputation", {"truth": NORMAL}),
    "one imputed column": ("Imputation", {"truth": NORMAL, "column": 1}),
    "a row": ("Anomaly", {"row": 3}),
}
"""A name -> a result and the options with which it is drawn."""
