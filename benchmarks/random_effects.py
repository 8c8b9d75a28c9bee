"""Random effects beside the mixed linear model of statsmodels, by maximum likelihood.

    python -m benchmarks.random_effects

203 rows in levels of 2 to 60, all of them in each batch; the linear VAE has the same likelihood.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch

import pyro_vae as pv
from pyro_vae import VAE

SIZES = np.array([2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60])


def drawn() -> tuple[pd.DataFrame, np.ndarray]:
    """y = 3 + 0.05 age + u + 0.8 ε in levels of 2 to 60 rows, and u."""
    rng = np.random.default_rng(1)
    u = rng.normal(size=len(SIZES))
    level = np.repeat(np.arange(len(SIZES)), SIZES)
    age = rng.normal(50, 10, size=len(level))
    y = 3 + 0.05 * age + u[level] + 0.8 * rng.normal(size=len(level))
    named = {"batch": [f"b{i:02}" for i in level], "age": age, "y": y}
    return pd.DataFrame(named), u


def fitted(frame: pd.DataFrame, **how: Any) -> VAE:
    """A linear model of y, whose effects add to its mean."""
    kinds = {"batch": "random_effect", "age": "normal"}
    context = {"columns": kinds, "prior": False}
    vae = VAE.from_data(frame, latent_dim=1, hidden_dims=(), context=context)
    whole = {"lr": 2e-2, "compile": "off", "validation": None, "progress": False}
    pv.fit(vae, frame, **whole, **how)
    return vae


def in_units_of_y(vae: VAE) -> dict[str, Any]:
    """Effects, s and the residual variance of y."""
    family, decoder = vae.likelihood.family, vae.likelihood.decoder[1]
    with torch.no_grad():
        one, zero = family(torch.ones(1, 1)), family(torch.zeros(1, 1))
        unit = float(one.mean - zero.mean)
        of_z, of_u, of_age = (unit * decoder.weight[0]).tolist()
        variance = float(one.variance) + of_z**2
        mean, std = vae.model.features.mean[1], vae.model.features.std[1]
        at_mean = zero.mean + unit * decoder.bias - of_age * mean / std
    found = pv.random_effects(vae)
    return {
        "mean": of_u * found.mean,
        "sd": abs(of_u) * found.sd,
        "s": abs(of_u) * found.scales["batch"],
        "variance": variance,
        "fixed": np.array([float(at_mean), of_age / float(std)]),
    }


def by_statsmodels(frame: pd.DataFrame) -> dict[str, Any]:
    """The same by maximum likelihood."""
    import statsmodels.api as sm

    design = sm.add_constant(frame[["age"]])
    found = sm.MixedLM(frame["y"], design, groups=frame["batch"]).fit(reml=False)
    covariances = found.random_effects_cov.values()
    return {
        "mean": np.array([float(one.iloc[0]) for one in found.random_effects.values()]),
        "sd": np.array([float(one.iloc[0, 0]) for one in covariances]) ** 0.5,
        "s": float(found.cov_re.iloc[0, 0]) ** 0.5,
        "variance": float(found.scale),
        "fixed": found.params.iloc[:2].to_numpy(),
    }


def main() -> None:
    """Print both fits."""
    frame, u = drawn()
    ours = in_units_of_y(fitted(frame, epochs=3000, batch_size=len(frame)))
    theirs = by_statsmodels(frame)
    print("rows   truth   statsmodels           pyro_vae")
    for k, size in enumerate(SIZES):
        each = [
            f"{one['mean'][k]:>7.3f} ± {one['sd'][k]:.3f}" for one in (theirs, ours)
        ]
        print(f"{size:>4} {u[k]:>7.3f}   {each[0]:<20}  {each[1]}")
    for name in ("s", "variance"):
        print(f"{name:<15} {theirs[name]:<20.3f}  {ours[name]:.3f}")
    worst = np.abs(ours["mean"] - theirs["mean"]).max() / theirs["s"]
    errors = np.abs(ours["sd"] / theirs["sd"] - 1).max()
    print(f"effects differ by at most {worst:.3f} s, their errors by {errors:.1%}")


if __name__ == "__main__":
    main()
