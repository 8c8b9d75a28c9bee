"""Counts with a known maximum."""

import torch
from pydantic import PositiveInt
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods import counts
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, logit_of_mean
from pyro_vae.networks import Shape


@LIKELIHOODS.register("binomial")
class Binomial(Family):
    """p(x | z) = ∏ᵢ C(n, xᵢ) σ(lᵢ)^xᵢ (1 - σ(lᵢ))^(n - xᵢ) with logits l = offset + decoder(z), for x in {0, ..., n}.

    Arguments:
        data_shape: shape of one row.
        total_count: n, the largest value.

    Example:
        >>> float(Binomial((1,), total_count=2)(torch.zeros(1)).log_prob(torch.ones(1)))  # log ½
        -0.693...
    """

    remedy = "raise total_count to the largest value, or take likelihood 'normal'"
    offset: Tensor

    def __init__(self, data_shape: Shape, *, total_count: PositiveInt) -> None:
        super().__init__(data_shape, data_shape)
        self.total_count = total_count
        self.support = constraints.integer_interval(0, total_count)
        self.register_buffer("offset", torch.zeros(data_shape))

    def start_from(self, data: Statistics) -> None:
        self.offset.copy_(logit_of_mean(data.mean / self.total_count, data.rows * self.total_count))

    def independent(self) -> Distribution:
        return self(torch.zeros_like(self.offset))

    def forward(self, raw: Tensor) -> Distribution:
        logits = self.offset + raw
        return counts.Binomial(logits.new_tensor(self.total_count), logits).to_event(len(self.data_shape))

    def extra_repr(self) -> str:
        return f"x ~ Binomial({self.total_count}, logits)"
