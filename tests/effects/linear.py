"""A linear mixed model with known variances, and what is exact for it.

    u_k ~ N(0, s²),   z ~ N(M u_k + a c, t²),   x | z ~ N(W z + V u_k + B c + b, e² I)

With c given, rows of a level are jointly normal, and u has the posterior of the best linear
unbiased predictor.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import multivariate_normal

from pyro_vae import VAE
from pyro_vae.networks.positive_numbers import RAW_OF_ONE, raw_of

W = np.array([1.0, -0.5])
V = np.array([0.7, 0.4])
B = np.array([0.3, -0.2])
b = np.array([2.0, -1.0])
M, a, t, e, s = 0.5, -0.4, 0.8, 0.6, 1.3
SIZES = [2, 5, 1, 4]
LEVELS = ["k0", "k1", "k2", "k3"]

COVARIANCE = t**2 * np.outer(W, W) + e**2 * np.eye(2)
SLOPE = V + M * W
"""Of E[x | u] in u."""


def drawn(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of levels of several sizes, and the true effects."""
    rng = np.random.default_rng(seed)
    u = s * rng.normal(size=len(SIZES))
    level = np.repeat(np.arange(len(SIZES)), SIZES)
    c = rng.normal(size=len(level))
    noise = rng.normal(size=(len(level), 2)) @ np.linalg.cholesky(COVARIANCE).T
    x = without_effects(c) + np.outer(u[level], SLOPE) + noise
    named = {"batch": np.array(LEVELS)[level], "age": c, "x": x[:, 0], "y": x[:, 1]}
    frame = pd.DataFrame(named)
    return frame.sample(frac=1.0, random_state=seed, ignore_index=True), u


def without_effects(c: np.ndarray) -> np.ndarray:
    """E[x | c, u = 0]."""
    return b + np.outer(c, B + a * W)


def residuals(frame: pd.DataFrame) -> np.ndarray:
    """x less what is known without the levels."""
    return frame[["x", "y"]].to_numpy() - without_effects(frame["age"].to_numpy())


def posterior(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations of u, given all rows."""
    inverse = np.linalg.inv(COVARIANCE)
    means, sds = [], []
    for level in LEVELS:
        r = residuals(frame[frame["batch"] == level])
        precision = 1 / s**2 + len(r) * SLOPE @ inverse @ SLOPE
        means.append(SLOPE @ inverse @ r.sum(0) / precision)
        sds.append(precision**-0.5)
    return np.array(means), np.array(sds)


def log_marginal(frame: pd.DataFrame) -> float:
    """log p of all rows together, whose rows of a level depend on each other."""
    total = 0.0
    for _, rows in frame.groupby("batch"):
        r = residuals(rows).reshape(-1)
        n = len(rows)
        shared = s**2 * np.kron(np.ones((n, n)), np.outer(SLOPE, SLOPE))
        covariance = shared + np.kron(np.eye(n), COVARIANCE)
        total += float(multivariate_normal(np.zeros(2 * n), covariance).logpdf(r))
    return total


def log_given(frame: pd.DataFrame, u: np.ndarray, variance: float = 0.0) -> np.ndarray:
    """log p(x | c, u) of each row, for the effect of each row; or with a variance about it."""
    covariance = COVARIANCE + variance * np.outer(SLOPE, SLOPE)
    r = residuals(frame) - np.outer(u, SLOPE)
    density: np.ndarray = multivariate_normal(np.zeros(2), covariance).logpdf(r)
    return density


def exact_vae(frame: pd.DataFrame, label: Any = None, **fields: Any) -> VAE:
    """The truth as a model, whose guide is the posterior."""
    effect = {"kind": "random_effect", "scale": s}
    context: dict[str, Any] = {"columns": {"batch": effect, "age": "normal"}}
    vae = VAE.from_data(
        frame,
        latent_dim=1,
        likelihood={"kind": "normal", "scale": e},
        hidden_dims=(),
        standardize="none",
        context={**context, **fields.pop("context", {})},
        **fields,
    ).double()
    decoder, family = vae.likelihood.decoder[1], vae.posterior.family
    head = getattr(family, "base", family).head
    variance = 1 / (1 / t**2 + W @ W / e**2)
    of_x = variance * W / e**2
    means, sds = posterior(frame)
    assert vae.guide.effects is not None
    with torch.no_grad():
        decoder.weight.copy_(torch.tensor(np.stack([W, V, B], 1)))
        decoder.bias.copy_(torch.tensor(b))
        of_u = variance * M / t**2 - of_x @ V
        of_c = variance * a / t**2 - of_x @ B
        head.weight.zero_()
        head.weight[0] = torch.tensor([*of_x, of_u, of_c])
        head.bias.copy_(torch.tensor([-of_x @ b, raw_of(variance**0.5)]))
        vae.prior.head.weight.zero_()
        vae.prior.head.weight[0] = torch.tensor([M, a])
        vae.prior.head.bias.copy_(torch.tensor([0.0, raw_of(t) - RAW_OF_ONE]))
        vae.guide.effects.locs[0].copy_(torch.tensor(means[:, None]))
        raw = [[raw_of(sd)] for sd in sds]
        vae.guide.effects.raw[0].copy_(torch.tensor(raw))
    return vae
