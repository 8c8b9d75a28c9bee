"""Bits."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, logit_of_mean
from pyro_vae.networks import Shape


@LIKELIHOODS.register("bernoulli")
class Bernoulli(Family):
    """p(x | z) = ∏ᵢ σ(lᵢ)^xᵢ (1 - σ(lᵢ))^(1 - xᵢ) with logits l = offset + decoder(z), for x in {0, 1}.

    The offset is the log odds of the training means.

    Arguments:
        data_shape: shape of one row.

    Example:
        >>> float(Bernoulli((2,))(torch.zeros(2)).log_prob(torch.ones(2)))  # -2 log 2
        -1.386...
    """

    support = constraints.boolean
    remedy = (
        "binarize the data, or take likelihood 'continuous_bernoulli' (values in [0, 1]) or 'normal'; "
        "fit with binarize='dynamic' draws new bits from grey levels in each step"
    )
    offset: Tensor

    def __init__(self, data_shape: Shape) -> None:
        super().__init__(data_shape, data_shape)
        self.register_buffer("offset", torch.zeros(data_shape))

    def start_from(self, data: Statistics) -> None:
        self.offset.copy_(logit_of_mean(data.mean, data.rows))

    def forward(self, raw: Tensor) -> Distribution:
        return dist.Bernoulli(logits=self.offset + raw).to_event(len(self.data_shape))

    def extra_repr(self) -> str:
        return "x ~ Bernoulli(logits)"
