"""Counts of a row that share its total: words of a document, reads of a sample."""

from typing import Any

import torch
from pydantic import PositiveInt
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.networks import Shape


@LIKELIHOODS.register("multinomial")
class Multinomial(Family):
    """p(x | z, n) = n! ∏ᵢ pᵢ^xᵢ / xᵢ! with p = softmax(offset + decoder(z)) and n = Σᵢ xᵢ, the total of each row.

    The total is conditioned on, not modelled: log p(x) is that of a row among the rows with its total. Draws and means
    have one total for all rows.

    Arguments:
        data_shape: shape of one row, one-dimensional.
        total_count: n of draws and means. None: the mean total of the training rows, rounded.

    Raises:
        ValueError: rows that are not one-dimensional.

    Example:
        >>> float(Multinomial((2,))(torch.zeros(2)).log_prob(torch.ones(2)).exp())  # 2 orders of ¼
        0.5
    """

    support = constraints.nonnegative_integer
    remedy = "round the counts, or take likelihood 'gamma' (positive numbers) or 'normal'"
    offset: Tensor
    total: Tensor

    def __init__(self, data_shape: Shape, *, total_count: PositiveInt | None = None) -> None:
        if len(data_shape) != 1:
            raise ValueError(f"multinomial: expected a row of counts, data_shape (D,), got {data_shape}; flatten it")
        super().__init__(data_shape, data_shape)
        self.total_count = total_count
        self.register_buffer("offset", torch.zeros(data_shape))
        self.register_buffer("total", torch.tensor(float(total_count or 1)))

    def start_from(self, data: Statistics) -> None:
        self.offset.copy_(torch.log(data.mean + 0.5 / data.rows))
        if self.total_count is None:
            self.total.copy_(data.mean.sum().round())

    def forward(self, raw: Tensor) -> Distribution:
        return _Multinomial(self.total, self.offset + raw)

    def extra_repr(self) -> str:
        return "x ~ Multinomial(Σx, softmax)"


class _Multinomial(TorchDistribution):
    """Counts x given their sum; `total` is the sum of draws and of the mean."""

    arg_constraints = {"logits": constraints.real_vector}  # noqa: RUF012
    support = constraints.independent(constraints.nonnegative_integer, 1)

    def __init__(self, total: Tensor, logits: Tensor) -> None:
        self.total, self.logits = total, logits.log_softmax(-1)
        super().__init__(logits.shape[:-1], logits.shape[-1:])

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        orders = torch.lgamma(value.sum(-1) + 1) - torch.lgamma(value + 1).sum(-1)
        return orders + (value * self.logits).sum(-1)

    @property
    def mean(self) -> Tensor:
        return self.total * self.logits.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.logits.exp())

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        """One count after the other: each is binomial, given what the ones before have left."""
        with torch.no_grad():
            logits = self.logits.expand(self._extended_shape(sample_shape))
            here_or_later = logits.flip(-1).logcumsumexp(-1).flip(-1)
            counts, left = [], self.total.expand(logits.shape[:-1])
            for share in (logits - here_or_later).exp().clamp(max=1).unbind(-1):
                counts.append(torch.binomial(left, share))
                left = left - counts[-1]
            return torch.stack(counts, -1)
