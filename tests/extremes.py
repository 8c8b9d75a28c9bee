"""Rows far from all that a model was fitted to, and log p(x) by quadrature in float64."""

import copy
import math

import numpy as np
import torch
from torch import Tensor

from pyro_vae import VAE, fit

ROWS = 5
LATENT = 2
LIKELIHOODS = ("normal", "laplace", "student_t", "poisson")
GLITCHES = (100.0, 9999.0, 1e7)


def rows_of_kind(kind: str, count: int = 900) -> np.ndarray:
    """Rows of five columns that two hidden numbers explain."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(count, 2)) @ rng.normal(size=(2, 5))
    if kind == "poisson":
        return rng.poisson(np.exp(1 + 0.5 * mean)).astype(float)
    return mean + 0.5 * rng.normal(size=(count, 5))


def fitted(kind: str) -> VAE:
    """A model of such rows."""
    likelihood = (
        {"kind": kind} if kind == "poisson" else {"kind": kind, "scale": "per_feature"}
    )
    vae = VAE(
        data_shape=(5,), latent_dim=LATENT, likelihood=likelihood, hidden_dims=(32, 32)
    )
    fit(vae, rows_of_kind(kind), epochs=60, progress=False)
    return vae


def with_glitch(kind: str, glitch: float) -> Tensor:
    """The first rows, with the glitch in their first column."""
    rows = torch.from_numpy(rows_of_kind(kind)[:ROWS]).float()
    rows[:, 0] = glitch
    return rows


def by_quadrature(vae: VAE, rows: Tensor) -> np.ndarray:
    """log ∫ p(x, z) dz of each row, about the highest mode that a search from everywhere finds."""
    exact = copy.deepcopy(vae).double().eval().requires_grad_(False)
    return np.array([_one(exact, row) for row in rows.double()])


def _one(vae: VAE, row: Tensor) -> float:
    def log_joint(z: Tensor) -> Tensor:
        parts = [
            vae.prior().log_prob(some)
            + vae.likelihood(some).log_prob(row.expand(len(some), -1))
            for some in z.split(100_000)
        ]
        return torch.cat(parts).nan_to_num(-torch.inf)

    axis = torch.linspace(-14, 14, 281, dtype=torch.float64).sinh()
    everywhere = torch.cartesian_prod(*[axis] * LATENT)
    starts = everywhere[log_joint(everywhere).topk(20).indices]
    modes = torch.stack([_climb(log_joint, start) for start in starts])
    mode = modes[log_joint(modes).argmax()]
    hessian = torch.autograd.functional.hessian(lambda z: log_joint(z[None])[0], mode)
    values, vectors = torch.linalg.eigh(-hessian)
    scale = values.abs().clamp_min(1e-12).rsqrt()
    return _about(log_joint, mode, vectors * scale)


def _climb(log_joint: object, start: Tensor) -> Tensor:
    """The mode that gradients lead to."""
    z = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [z], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = -log_joint(z[None])[0]  # type: ignore[operator]
        value.backward()
        return value

    optimizer.step(loss)
    return z.detach()


def _about(log_joint: object, mode: Tensor, axes: Tensor) -> float:
    """The integral by the trapezoidal rule for z = mode + axes sinh(t), fine near the mode."""
    t = torch.linspace(-7, 7, 351, dtype=torch.float64)
    grid = torch.cartesian_prod(*[t] * LATENT)
    log_volume = grid.cosh().log().sum(1) + LATENT * math.log(14 / 350)
    z = mode + grid.sinh() @ axes.T
    log_det = torch.linalg.slogdet(axes).logabsdet
    found: Tensor = (log_joint(z) + log_volume).logsumexp(0) + log_det  # type: ignore[operator]
    return float(found)
