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
RICHER: dict[str, tuple[dict[str, Any], Objective]] = {
    "vamp": ({"prior": VAMP}, PLAIN),
    "flow_prior": ({"prior": FLOW}, PLAIN),
    "flow_guide": ({"guide": FLOW_GUIDE}, PLAIN),
    "iwae_5": ({}, IWAE(num_particles=5)),
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
        net: dict[str, Any] = {
            "hidden_dims": self.hidden_dims,
            "activation": "tanh",
            "standardize": "none",
        }
        return VAE(
            data_shape=(self.data_dim,),
            latent_dim=self.latent_dim,
            likelihood="bernoulli",
            **net,
            **parts,
        )


SIZES = {
    "S": Size(64, (64,), 2, 100, steps=64),
    "M": Size(784, (200, 200), 50, 100, steps=32),
    "L": Size(784, (400,), 20, 256, steps=32),
}
