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
        return _Bits(dist.Bernoulli(logits=self.offset + raw), len(self.data_shape))

    def extra_repr(self) -> str:
        return "x ~ Bernoulli(logits)"


class _Bits(dist.Independent):
    """log p(x) = Σᵢ (xᵢ lᵢ - max(lᵢ, 0)) - Σ_g log ∏_{i ∈ g} (1 + e^-|lᵢ|), in groups g of 112 bits.

    No product is above 2^112, which float32 holds, and a logarithm costs more than a product. Where gradients are
    asked for, torch's own kernel is faster, and right at 0 too.
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
        most, rest = logits.tensor_split((grouped,), -1)
        groups = most.unflatten(-1, (grouped // GROUP, GROUP))
        log_factors = _log_product(groups).sum(-1) + _log_product(rest)
        return (x * logits - logits.relu()).sum(-1) - log_factors


def _log_product(logits: Tensor) -> Tensor:
    """log ∏ (1 + e^-|l|) over the last dimension."""
    return (1 + (-logits.abs()).exp()).prod(-1).log()
