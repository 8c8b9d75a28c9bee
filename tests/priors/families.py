"""One model for each kind of prior, and integrals over its z by quadrature."""

import itertools
import zlib
from functools import cache
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.vae import VAE

CASES: dict[str, dict[str, Any]] = {
    "standard_normal": {"kind": "standard_normal"},
    "normal": {"kind": "normal"},
    "laplace": {"kind": "laplace"},
    "laplace_learned": {"kind": "laplace", "scale": "learned"},
    "student_t": {"kind": "student_t"},
    "student_t_learned": {"kind": "student_t", "df": "learned", "scale": "learned"},
    "mixture": {"kind": "mixture", "components": 3},
    "vamp": {"kind": "vamp", "pseudo_inputs": 4},
    "flow": {"kind": "flow", "transforms": 3, "hidden_dims": (6,)},
    "flow_autoregressive": {
        "kind": "flow",
        "transform": "autoregressive",
        "transforms": 2,
        "hidden_dims": (6,),
    },
    "flow_spline": {
        "kind": "flow",
        "transform": "spline",
        "transforms": 2,
        "hidden_dims": (6,),
    },
    "hierarchical": {"kind": "hierarchical", "top_dim": 1, "hidden_dims": (6,)},
    "hierarchical_mixture": {
        "kind": "hierarchical",
        "top_dim": 1,
        "top": {"kind": "mixture", "components": 3},
        "hidden_dims": (6,),
    },
    "hierarchical_flow": {
        "kind": "hierarchical",
        "top_dim": 1,
        "top": {
            "kind": "flow",
            "transform": "spline",
            "transforms": 1,
            "hidden_dims": (),
        },
        "hidden_dims": (6,),
    },
}
NEED_TWO = {"flow", "hierarchical", "hierarchical_mixture", "hierarchical_flow"}
DIMS = {name: (2,) if name in NEED_TWO else (1, 2) for name in CASES}
EACH = [(name, latent_dim) for name, dims in DIMS.items() for latent_dim in dims]
ROWS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
"""Every row of four bits."""


class Wide(nn.Module):
    """q(z | x) with heavier tails than any prior here, around a location that moves with x."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.loc = nn.Linear(4, latent_dim)

    def forward(self, x: Tensor) -> Distribution:
        loc = torch.tanh(self.loc(x))
        return dist.StudentT(
            torch.full_like(loc, 2.5), loc, torch.full_like(loc, 1.5)
        ).to_event(1)


def build(name: str, latent_dim: int = 2, **fields: Any) -> VAE:
    """A small model with this prior for rows of four bits, its prior and encoder perturbed."""
    fields = {
        "data_shape": (4,),
        "likelihood": "bernoulli",
        "hidden_dims": (6,),
        "prior": CASES[name],
    } | fields
    vae = VAE(latent_dim=latent_dim, **fields)
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    for parameter in (*vae.prior.parameters(), *vae.posterior.parameters()):
        parameter.data += 0.3 * torch.randn(
            parameter.shape, generator=generator, dtype=parameter.dtype
        )
    return vae


@cache
def grid(latent_dim: int, cells: int = 0) -> tuple[Tensor, Tensor]:
    """Points in all of R^latent_dim and their log weights: midpoints of z = 2t / (1 - t²)."""
    cells = cells or {1: 4000, 2: 360}[latent_dim]
    t = (torch.arange(cells, dtype=torch.float64) + 0.5) * 2 / cells - 1
    z = 2 * t / (1 - t**2)
    log_weight = torch.log(2 * (1 + t**2) / (1 - t**2).square() * 2 / cells)
    points = torch.cartesian_prod(*[z] * latent_dim).reshape(-1, latent_dim)
    return points, torch.cartesian_prod(*[log_weight] * latent_dim).reshape(
        len(points), -1
    ).sum(-1)


def masses(p: Distribution, latent_dim: int) -> tuple[Tensor, Tensor]:
    """The points of the grid, and the mass of p in the cell of each: E f = mass @ f(points)."""
    points, log_weight = grid(latent_dim)
    with torch.no_grad():
        return points, (p.log_prob(points) + log_weight).exp()
