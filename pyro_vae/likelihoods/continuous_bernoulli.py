"""Grey values between 0 and 1."""

import pyro.distributions as dist
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.networks import Shape


@LIKELIHOODS.register("continuous_bernoulli")
class ContinuousBernoulli(Family):
    """p(x | z) = ∏ᵢ C(λᵢ) λᵢ^xᵢ (1 - λᵢ)^(1 - xᵢ) with log odds of λ from the decoder, for x in [0, 1]; C normalises.

    References:
        The continuous Bernoulli: fixing a pervasive error in variational autoencoders (Loaiza-Ganem, Cunningham, 2019).

    Arguments:
        data_shape: shape of one row.

    Example:
        >>> import torch
        >>> float(ContinuousBernoulli((1,))(torch.zeros(1)).log_prob(torch.full((1,), 0.3)))  # uniform at λ = ½
        0.0
    """

    support = constraints.unit_interval
    remedy = "scale the data into [0, 1], or take likelihood 'normal'"

    def __init__(self, data_shape: Shape) -> None:
        super().__init__(data_shape, data_shape)

    def forward(self, raw: Tensor) -> Distribution:
        return dist.ContinuousBernoulli(logits=raw).to_event(len(self.data_shape))

    def extra_repr(self) -> str:
        return "x ~ ContinuousBernoulli(logits)"
