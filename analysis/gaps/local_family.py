"""What a family of distributions over z, with parameters for each row, has to do."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.rng import own_seed, row_seed

Parameters = Sequence[Tensor]

BLOCK = 200
"""Draws of a row that share one seed, drawn whole: no number of draws changes the first ones."""


class Rows(NamedTuple):
    """Rows x with the guide's q(z | x) of each, of batch shape (1,), and a seed for each.

    Arguments:
        x: shaped (rows, *data_shape).
        each: q(z | x).
        seeds: which are the rows' own.
    """

    x: Tensor
    each: Sequence[Distribution]
    seeds: Sequence[int]

    @classmethod
    def of(
        cls,
        x: Tensor,
        each: Sequence[Distribution],
        seed: int,
    ) -> "Rows":
        """Seeds from the numbers of each row, whatever stands beside it."""
        return cls(x, each, [row_seed(row, str(seed)) for row in x])


class Local(ABC):
    """Distributions of one family, one for each row; at the parameters `start` they are the guide.

    Arguments:
        rows: which they are for.

    Attributes:
        name: of the family, in words.
        start: the parameters of the guide, each shaped (rows, ...).
    """

    name: str
    start: Parameters

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    @abstractmethod
    def log_prob(self, parameters: Parameters, z: Tensor) -> Tensor:
        """log q of any z (draws, rows, latent_dim)."""

    @abstractmethod
    def moments(self, parameters: Parameters) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each, (rows, latent_dim)."""

    @abstractmethod
    def draw(
        self,
        parameters: Parameters,
        noise: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Draws z (draws, rows, latent_dim) from noise, and log q (draws, rows), with gradients."""

    @abstractmethod
    def noise_of(self, q: Distribution) -> Tensor:
        """One block of noise for one row."""

    def noise(self, count: int, stream: int) -> Tensor:
        """Noise for `count` draws of each row, (count, rows, ...).

        The numbers of a row and a stream depend on nothing else.
        """
        num_blocks = math.ceil(count / BLOCK)
        columns = []
        for q, seed in zip(self.rows.each, self.rows.seeds, strict=True):
            first_seed = seed + (stream << 20)
            blocks = [self._block(q, first_seed + block) for block in range(num_blocks)]
            columns.append(torch.cat(blocks))
        return torch.cat(columns, 1)[:count]

    def _block(self, q: Distribution, seed: int) -> Tensor:
        with own_seed(seed, self.rows.x.device):
            return self.noise_of(q)
