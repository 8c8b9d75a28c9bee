"""Bits."""

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family, logit_of_mean
from pyro_vae.likelihoods.mechanisms import Direction
from pyro_vae.likelihoods.mechanisms_of_levels import OfOrder
from pyro_vae.likelihoods.observed_cells import independent_log_prob
from pyro_vae.networks import Shape

GROUP = 112


@LIKELIHOODS.register("bernoulli")
class Bernoulli(Family):
    """p(x | z) = ∏ᵢ σ(lᵢ)^xᵢ (1 - σ(lᵢ))^(1 - xᵢ) for x in {0, 1}, with l = offset + decoder(z).

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

    def pyro_vae_start(self, data: Statistics) -> None:
        self.offset.copy_(logit_of_mean(data.mean, data.count))

    def independent(self) -> Distribution:
        return self(torch.zeros_like(self.offset))

    def forward(self, raw: Tensor) -> Distribution:
        each = dist.Bernoulli(logits=self.offset + raw)
        return _Bits(each, len(self.data_shape))

    def pyro_vae_missing_mechanism(self, direction: Direction) -> OfOrder:
        return OfOrder(self.data_shape, direction, levels=2)

    def extra_repr(self) -> str:
        return "x ~ Bernoulli(logits)"


class _Bits(dist.Independent):
    """log p(x) = Σ_g [Σ_{i ∈ g} (xᵢ lᵢ - max(lᵢ, 0)) - log ∏_{i ∈ g} (1 + e^-|lᵢ|)].

    The groups g are of 112 bits: no product is above 2^112, which float32 holds, and a logarithm
    costs more than a product. Where gradients are needed, torch's own kernel is faster, and its
    gradient is right at 0 too.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            density: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
            return density
        return self._without_gradient(value)

    def pyro_vae_observed_log_prob(self, value: Tensor, observed: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return independent_log_prob(self, value, observed)
        return self._without_gradient(value, observed)

    def _without_gradient(
        self, value: Tensor, observed: Tensor | None = None
    ) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        first_dim = -self.reinterpreted_batch_ndims
        x = value.flatten(first_dim)
        logits = self.base_dist.logits.flatten(first_dim)
        terms = x * logits - logits.relu()
        # e^-|l| ≤ 1, so that each factor is between 1 and 2
        factors = 1 + (-logits.abs()).exp()
        if observed is not None:
            cells = observed.flatten(first_dim)
            terms = torch.where(cells, terms, 0.0)
            factors = torch.where(cells, factors, 1.0)
        groups = logits.shape[-1] // GROUP
        grouped_terms, rest_terms = terms.tensor_split((groups * GROUP,), -1)
        grouped_factors, rest_factors = factors.tensor_split((groups * GROUP,), -1)
        each_group = _log_prob(
            grouped_terms.unflatten(-1, (groups, GROUP)),
            grouped_factors.unflatten(-1, (groups, GROUP)),
        )
        return each_group.sum(-1) + _log_prob(rest_terms, rest_factors)


def _log_prob(terms: Tensor, factors: Tensor) -> Tensor:
    """log p of one group, along the last dimension."""
    return terms.sum(-1) - factors.prod(-1).log()
