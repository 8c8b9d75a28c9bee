"""The prior of rows with a context."""

import pyro.distributions as dist
from torch import Tensor, nn
from torch.distributions import Distribution

from pyro_vae.networks.context import ContextFeatures, Resolved
from pyro_vae.networks.positive_numbers import factor


class ConditionalNormal(nn.Module):
    """p(z | c) = N(z | μ(c), diag σ(c)²), where μ and σ start at 0 and 1 for every context.

    μ(c) is linear in e(c), and so is what σ(c) is a smooth positive function of.

    References:
        Learning Structured Output Representation using Deep Conditional Generative Models (Sohn,
        Lee, Yan, 2015).

    Arguments:
        features: e(c).
        latent_dim: length of z.

    Example:
        >>> import torch
        >>> prior = ConditionalNormal(ContextFeatures([None]), 2)
        >>> prior(torch.zeros(5, 1)).batch_shape
        torch.Size([5])
    """

    def __init__(self, features: ContextFeatures, latent_dim: int) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(features.width, 2 * latent_dim)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def moments(self, context: Tensor | Resolved) -> tuple[Tensor, Tensor]:
        """μ(c) and σ(c), each (..., latent_dim)."""
        loc, raw_scale = self.head(self.features(context)).chunk(2, -1)
        return loc, factor(raw_scale)

    def forward(self, context: Tensor | Resolved | None = None) -> Distribution:
        if context is None:
            raise ValueError(
                "prior: expected a context, since p(z | c) depends on it; take "
                "vae.given(context).prior()"
            )
        return dist.Normal(*self.moments(context)).to_event(1)

    def extra_repr(self) -> str:
        return "z ~ N(μ(c), diag σ(c)²)"
