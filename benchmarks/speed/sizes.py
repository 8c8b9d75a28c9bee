"""The nets that all contestants train, the rows, and the richer parts of ours."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_vae import VAE
from pyro_vae.objectives import ELBO, IWAE, Objective

PLAIN = ELBO()
VAMP = {"kind": "vamp", "pseudo_inputs": 500}
FLOW = {
    "kind": "flow",
    "transform": "coupling",
    "transforms": 8,
    "hidden_dims": (128, 128),
}
FLOW_GUIDE = {"kind": "flow", "transforms": 2, "hidden_dims": (256,)}
HIERARCHICAL: dict[str, Any] = {
    "prior": {"kind": "hierarchical", "top_dim": 25},
    "guide": {"kind": "hierarchical", "top_dim": 25},
}
CONVOLUTIONS: dict[str, Any] = {
    "kind": "conv",
    "channels": (16, 32),
    "hidden_dims": (100,),
}
KINDS = ("normal", "laplace", "student_t", "bernoulli", "poisson")
TEN_GROUPS: dict[str, Any] = {
    "kind": "mixed",
    "columns": [
        {"columns": f"{start}:{min(start + 80, 784)}", "kind": kind}
        for start, kind in zip(range(0, 784, 80), 2 * KINDS, strict=True)
    ],
}


@dataclass(frozen=True)
class Richer:
    """What a model has in the place of the parts of the plain one, and its rows.

    Attributes:
        parts: of `VAE`.
        objective: of the training.
        missing: share of the cells that are missing.
    """

    parts: dict[str, Any]
    objective: Objective = PLAIN
    missing: float = 0.0


RICHER = {
    "vamp": Richer({"prior": VAMP}),
    "flow_prior": Richer({"prior": FLOW}),
    "flow_guide": Richer({"guide": FLOW_GUIDE}),
    "iwae_5": Richer({}, IWAE(num_particles=5)),
    "hierarchical": Richer(HIERARCHICAL),
    "conv": Richer(
        {
            "data_shape": (1, 28, 28),
            "encoder": CONVOLUTIONS,
            "decoder": CONVOLUTIONS,
        }
    ),
    "mixed": Richer({"likelihood": TEN_GROUPS}),
    "missing_cells": Richer({"missing": "at_random"}, missing=0.3),
}


@dataclass(frozen=True)
class Size:
    """A net with tanh, the rows of a batch, and the steps of an epoch."""

    data_dim: int
    hidden_dims: tuple[int, ...]
    latent_dim: int
    batch_size: int
    steps: int

    def __str__(self) -> str:
        widths = "-".join(map(str, (self.data_dim, *self.hidden_dims, self.latent_dim)))
        return f"{widths}, batch {self.batch_size}"

    @property
    def encoder(self) -> tuple[int, ...]:
        """Widths from x to the mean and the raw scale of q(z | x)."""
        return self.data_dim, *self.hidden_dims, 2 * self.latent_dim

    @property
    def decoder(self) -> tuple[int, ...]:
        """Widths from z to the logits of x."""
        return self.latent_dim, *self.hidden_dims[::-1], self.data_dim

    def rows(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        uniform = torch.rand(
            self.steps * self.batch_size, self.data_dim, generator=generator
        )
        return (uniform < 0.3).float()

    def vae(self, **parts: Any) -> VAE:
        plain: dict[str, Any] = {
            "data_shape": (self.data_dim,),
            "latent_dim": self.latent_dim,
            "likelihood": "bernoulli",
            "hidden_dims": self.hidden_dims,
            "activation": "tanh",
            "standardize": "none",
        }
        return VAE(**{**plain, **parts})


SIZES = {
    "S": Size(64, (64,), 2, 100, steps=64),
    "M": Size(784, (200, 200), 50, 100, steps=32),
    "L": Size(784, (400,), 20, 256, steps=32),
}
