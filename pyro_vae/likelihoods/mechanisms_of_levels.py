"""P(missing | x) of categories, whose levels are summed over."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.categories import Categories, CategoryNumbers
from pyro_vae.likelihoods.mechanisms import (
    PACE,
    Direction,
    Line,
    Linear,
    Mechanism,
    logit_of_share,
)
from pyro_vae.networks import Shape


class _OfLevels(Mechanism):
    """Sums over the levels 0, ..., K - 1 of a category, which have a logit each."""

    levels: int

    def level_logits(self) -> Tensor:
        """logit P(missing | k) of each level, (*data_shape, K)."""
        raise NotImplementedError

    def log_missing(self, p: Any) -> Tensor:
        return self._log_joint(p).logsumexp(-1)

    def given_missing(self, p: Any) -> Distribution:
        categories = CategoryNumbers(logits=self._log_joint(p))
        return Categories(categories, p.reinterpreted_batch_ndims)

    def _log_joint(self, p: Any) -> Tensor:
        """log p(k | z) + log P(missing | k), (..., *data_shape, K)."""
        each = p.base_dist
        logits = self.level_logits()
        levels = torch.arange(self.levels, dtype=logits.dtype, device=logits.device)
        of_cells = [each.log_prob(k.expand(each.batch_shape)) for k in levels]
        return torch.stack(of_cells, -1) + logsigmoid(logits)


class OfOrder(_OfLevels, Linear):
    """logit P(missing | k) = a + w (k - mean) / sd for a bit, or the number k of an ordered level.

    Arguments:
        data_shape: of a row.
        direction: which levels are missing more often.
        levels: K.
    """

    def __init__(self, data_shape: Shape, direction: Direction, levels: int) -> None:
        super().__init__(data_shape, direction)
        self.levels = levels

    def level_logits(self) -> Tensor:
        center = self.logit.center
        levels = torch.arange(self.levels, dtype=center.dtype, device=center.device)
        columns = levels.reshape(-1, *(1,) * center.ndim)
        logits: Tensor = self.logit(columns)
        return logits.movedim(0, -1)


class OfNames(_OfLevels):
    """A logit for each level of a nominal category, which has no direction.

    Arguments:
        data_shape: of a row.
        levels: K.
    """

    start: Tensor

    def __init__(self, data_shape: Shape, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.shift = nn.Parameter(torch.zeros(*data_shape, levels))
        self.register_buffer("start", torch.zeros(data_shape))

    def begin(self, data: Statistics) -> None:
        self.start.copy_(logit_of_share(data))

    def level_logits(self) -> Tensor:
        return self.start.unsqueeze(-1) + PACE * self.shift

    def logits(self, x: Tensor) -> Tensor:
        table = self.level_logits().expand(*x.shape, self.levels)
        return table.gather(-1, x.long().unsqueeze(-1)).squeeze(-1)

    def start_logits(self) -> Tensor:
        return self.start

    def lines(self) -> list[Line]:
        columns = self.level_logits().flatten(0, -2)
        return [Line(column, None) for column in columns]
