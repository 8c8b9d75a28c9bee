"""Bits."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, logit_of_mean
from pyro_vae.networks import Shape

GROUP = 112


@LIKELIHOODS.register("bernoulli")
class Bernoulli(Family):
    """p(x | z) = ∏ᵢ σ(lᵢ)^xᵢ (1 - σ(lᵢ))^(1 - xᵢ) with logits l = offset + decoder(z), for x in {0,
    1}.

    The offset is the log odds of the training means.

    Arguments:
        data_shape: shape of one row.

    Example:
        >>> float(Bernoulli((2,))(torch.zeros(2)).log_prob(torch.ones(2)))  # -2 log 2
        -1.386...
    """

    support = constraints.boolean
    remedy = (
        "binarize the data, or take likelihood 'continuous_bernoulli' (values in [0, 1]) or "
        "'normal'; fit with binarize='dynamic' draws new bits from grey levels in each step"
    )
    offset: Tensor

    def __init__(self, data_shape: Shape) -> None:
        super().__init__(data_shape, data_shape)
        self.register_buffer("offset", torch.zeros(data_shape))

    def start_from(self, data: Statistics) -> None:
        self.offset.copy_(logit_of_mean(data.mean, data.rows))

    def independent(self) -> Distribution:
        return self(torch.zeros_like(self.offset))

    def forward(self, raw: Tensor) -> Distribution:
        return _Bits(dist.Bernoulli(logits=self.offset + raw), len(self.data_shape))

    def extra_repr(self) -> str:
        return "x ~ Bernoulli(logits)"


class _Bits(dist.Independent):
    """log p(x) = Σ_g [Σ_{i ∈ g} (xᵢ lᵢ - max(lᵢ, 0)) - log ∏_{i ∈ g} (1 + e^-|lᵢ|)], in groups g of
    112 bits.

    No product is above 2^112, which float32 holds, and a logarithm costs more than a product. Where
    gradients are asked for, torch's own kernel is faster, and right at 0 too.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            density: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
            return density
        if self._validate_args:
            self._validate_sample(value)
        first = -self.reinterpreted_batch_ndims
        x, logits = value.flatten(first), self.base_dist.logits.flatten(first)
        grouped = logits.shape[-1] // GROUP * GROUP
        (most, rest), (most_logits, rest_logits) = (
            part.tensor_split((grouped,), -1) for part in (x, logits)
        )
        groups = (grouped // GROUP, GROUP)
        whole = _log_prob(most.unflatten(-1, groups), most_logits.unflatten(-1, groups)).sum(-1)
        return whole + _log_prob(rest, rest_logits)


def _log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """Of one group, along the last dimension: both sums in one pass."""
    log_factors = (1 + (-logits.abs()).exp()).prod(-1).log()
    return (x * logits - logits.relu()).sum(-1) - log_factors
