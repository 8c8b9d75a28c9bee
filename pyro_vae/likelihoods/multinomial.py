"""Counts of a row that share its total: words of a document, reads of a sample."""

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import counts
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.networks import Shape


@LIKELIHOODS.register("multinomial")
class Multinomial(Family):
    """p(x | z, n) = n! ∏ᵢ pᵢ^xᵢ / xᵢ! with p = softmax(offset + decoder(z)) and n = Σᵢ xᵢ.

    n is the total of each row. It is conditioned on, not modelled: log p(x) is that of a row among
    the rows with its total. Draws and means have one total for all rows, and given(p, x) has that
    of each row.

    Arguments:
        data_shape: shape of one row, one-dimensional.
        total_count: n of draws and means. None: the mean total of the training rows, rounded.

    Raises:
        ValueError: rows that are not one-dimensional.

    Example:
        >>> Multinomial((2,))(torch.zeros(2)).log_prob(torch.ones(2)).exp().float()  # 2 orders of ¼
        tensor(0.5000)
    """

    support = constraints.nonnegative_integer
    remedy = (
        "round the counts, or take likelihood 'gamma' (positive numbers) or 'normal'"
    )
    offset: Tensor
    total: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        total_count: PositiveInt | None = None,
    ) -> None:
        if len(data_shape) != 1:
            raise ValueError(
                f"multinomial: expected a row of counts, data_shape (D,), got {data_shape}; "
                "flatten it"
            )
        super().__init__(data_shape, data_shape)
        self.total_count = total_count
        self.register_buffer("offset", torch.zeros(data_shape))
        self.register_buffer("total", torch.tensor(float(total_count or 1)))

    @property
    def missing_together(self) -> dict[str, list[int]]:
        columns = list(range(*self.data_shape))
        return {"the counts of a multinomial": columns}

    def pyro_vae_start(self, data: Statistics) -> None:
        self.offset.copy_(torch.log(data.mean + 0.5 / data.count))
        if self.total_count is None:
            self.total.copy_(data.mean.sum().round())

    def independent(self) -> Distribution:
        """The multinomial with the shares of all training rows: only the total ties its columns."""
        return self(torch.zeros_like(self.offset))

    def forward(self, raw: Tensor) -> Distribution:
        return counts.Multinomial(self.total, self.offset + raw)

    def extra_repr(self) -> str:
        return "x ~ Multinomial(Σx, softmax)"
