"""The random numbers of each row, under its own seed."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

DEGREES_OF_FREEDOM = 20.0
"""ν: heavy enough to cover a normal that was fitted too narrow, light enough to waste few draws."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""φ: u, u + φ, u + 2 φ, ... mod 1 fills [0, 1) evenly, whatever the number of draws."""


class RowNoise(NamedTuple):
    """The random numbers that draws are made from, of each row under its own seed.

    Attributes:
        normal: ε ~ N(0, I), (draws, rows, latent_dim).
        mixing: w ~ Gamma(ν / 2, ν / 2), (draws, rows).
        uniform: for the choice of a component, (draws, rows).
        pool_index: into a pool of draws from the prior, (draws, rows).
    """

    normal: Tensor
    mixing: Tensor
    uniform: Tensor
    pool_index: Tensor

    def squared_distance(self) -> Tensor:
        """|ε|² / w, (draws, rows), in float64."""
        squared = self.normal.square().sum(-1, dtype=torch.float64)
        return squared / self.mixing.double()


class NoiseMaker:
    """Noise of each row under its own seed, in blocks that are always drawn whole.

    So no chunk size changes the numbers.

    Arguments:
        block: draws that share one seed.
        restart: starts torch's generators from a seed.
        like: for type and device of the noise; (..., latent_dim).
        pool_size: of the pool that `pool_index` points into.
    """

    def __init__(
        self,
        block: int,
        restart: Callable[[int], None],
        like: Tensor,
        pool_size: int,
    ) -> None:
        self.block = block
        self.restart = restart
        self.like = like
        self.pool_size = pool_size

    def draw(self, seeds: Sequence[int], first: int, last: int) -> RowNoise:
        """The noise of draws `first` to `last` of the rows with these seeds."""
        numbers = range(first // self.block, (last - 1) // self.block + 1)
        shape = len(seeds), len(numbers), self.block
        normal = self.like.new_empty(*shape, self.like.shape[-1])
        mixing = self.like.new_empty(shape)
        pool_index = torch.empty(shape, dtype=torch.long, device=self.like.device)
        half = self.like.new_full((self.block,), DEGREES_OF_FREEDOM / 2)
        for row, seed in enumerate(seeds):
            for place, number in enumerate(numbers):
                self.restart(seed + number)
                normal[row, place].normal_()
                mixing[row, place] = torch._standard_gamma(half) / half
                pool_index[row, place].random_(self.pool_size)
        start = numbers[0] * self.block
        wanted = slice(first - start, last - start)
        parts = normal, mixing, self._uniform(seeds, numbers), pool_index
        # the draws of a row lie together
        return RowNoise(
            *(part.flatten(1, 2)[:, wanted].transpose(0, 1) for part in parts)
        )

    def _uniform(self, seeds: Sequence[int], numbers: range) -> Tensor:
        """u + k φ mod 1 for each row, (rows, blocks, block)."""
        # the seed is a hash: its last bits are uniform over rows and seeds, the same for all blocks
        starts = [(seed % 2**32) / 2**32 for seed in seeds]
        first = numbers[0] * self.block
        last = (numbers[-1] + 1) * self.block
        steps = torch.arange(first, last, dtype=torch.float64)
        column = torch.tensor(starts, dtype=torch.float64).unsqueeze(1)
        uniform = (column + GOLDEN * steps) % 1
        return uniform.to(self.like.device).unflatten(1, (-1, self.block))
