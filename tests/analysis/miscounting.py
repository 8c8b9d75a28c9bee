"""A guide whose density is wrong by a constant, for tests of what must find it."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn


class TooDense(dist.Normal):
    """A normal whose density integrates to e^(1/2) in each dimension."""

    def log_prob(self, value: Tensor) -> Tensor:
        density: Tensor = super().log_prob(value) + 0.5
        return density


class Miscounting(nn.Module):
    """A guide of such densities; its closed-form KL is that of the normal."""

    def __init__(self, data_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(data_dim, latent_dim)

    def forward(self, x: Tensor) -> Any:
        loc = self.layer(x)
        return TooDense(loc, torch.ones_like(loc)).to_event(1)
