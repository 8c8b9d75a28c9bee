"""Mixtures: distributions with the component summed out, and the prior of normal components."""

import math
from typing import Any

import pyro.distributions as dist
import torch
from pydantic import PositiveInt
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    Normal,
    constraints,
)
from torch.nn import functional
from torch.types import _size

from pyro_vae.networks.positive_numbers import PositiveTensor
from pyro_vae.priors.base import PRIORS


@PRIORS.register("mixture")
class Mixture(nn.Module):
    """p(z) = Σₖ πₖ N(z | μₖ, diag σₖ²), with the component summed out; π, μ and σ are learned.

    It starts with equal weights at locations drawn from N(0, I). Where the rows fall into groups,
    so may z: `responsibilities` gives the probabilities that a z belongs to each component.

    References:
        Variational Deep Embedding: An Unsupervised and Generative Approach to Clustering (Jiang,
        Zheng, Tan, Tang, Zhou, 2017); Deep Unsupervised Clustering with Gaussian Mixture
        Variational Autoencoders (Dilokthanakul et al., 2016).

    Arguments:
        latent_dim: length of z.
        components: K, the number of normals.

    Example:
        >>> prior, z = Mixture(2, components=5), torch.zeros(4, 2)
        >>> prior().log_prob(z).shape, prior.responsibilities(z).shape
        (torch.Size([4]), torch.Size([4, 5]))
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        components: PositiveInt = 10,
    ) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent_dim))
        self.scale = PositiveTensor((components, latent_dim), "learned")

    def forward(self) -> Distribution:
        return self._mixture()

    def responsibilities(self, z: Tensor) -> Tensor:
        """p(k | z) ∝ πₖ N(z | μₖ, diag σₖ²), shaped (..., K), for z (..., latent_dim)."""
        return self._mixture().log_joint(z).softmax(-1)

    def _mixture(self) -> "Marginal":
        components = dist.Normal(self.loc, self.scale()).to_event(1)
        return Marginal(self.logits.log_softmax(-1), components)

    def extra_repr(self) -> str:
        return "z ~ Σₖ πₖ N(μₖ, diag σₖ²)"


def log_normals(
    z: Tensor,
    loc: Tensor,
    scale: Tensor,
    log_weights: Tensor,
) -> Tensor:
    """log wₖ N(z | μₖ, diag σₖ²) for every z and k.

    log wₖ - ½ (Σ z²/σₖ² - 2 Σ z μₖ/σₖ² + Σ μₖ²/σₖ²) - Σ log σₖ - D/2 log 2π

    The sums over the D dimensions are one product of (z², z) with a matrix, in float64 since the
    three nearly cancel where σ is small: anything more would be a pass over K numbers for each z.

    Arguments:
        z: (..., D).
        loc, scale: (K, D).
        log_weights: log wₖ, (K,).

    Returns:
        (..., K), in the dtype of z.

    Example:
        >>> loc = torch.zeros(5, 2)
        >>> log_normals(torch.zeros(3, 2), loc, torch.ones(5, 2), torch.zeros(5)).shape
        torch.Size([3, 5])
    """
    loc = loc.double()
    precision = scale.double().reciprocal().square()
    of_squares_and_z = torch.cat([-0.5 * precision, loc * precision], -1)
    log_det = scale.double().log().sum(-1)
    log_normaliser = 0.5 * z.shape[-1] * math.log(2 * math.pi)
    squares_at_zero = (loc.square() * precision).sum(-1)
    at_zero = log_weights.double() - 0.5 * squares_at_zero - log_det - log_normaliser
    wide = z.double()
    squares_and_z = torch.cat([wide.square(), wide], -1)
    return functional.linear(squares_and_z, of_squares_and_z, at_zero).to(z.dtype)


class Marginal(TorchDistribution):
    """p(z) = Σₖ wₖ pₖ(z) over vectors z, for components of any family.

    Unlike `MixtureSameFamily` it doesn't expand the components with the batch, which would copy
    covariances, and it draws from the components only as often as needed.

    Arguments:
        log_weights: log wₖ, shaped (K,).
        components: a distribution with batch shape (K,) and event shape (latent_dim,).

    Example:
        >>> two = dist.Normal(torch.tensor([[-9.0], [9.0]]), 1.0).to_event(1)
        >>> Marginal(torch.full((2,), 0.5).log(), two).sample((3,)).abs() > 4
        tensor([[True],
                [True],
                [True]])
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012

    def __init__(
        self,
        log_weights: Tensor,
        components: Distribution,
    ) -> None:
        self.log_weights = log_weights
        self.components = components
        super().__init__(event_shape=components.event_shape)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint | None:
        return self.components.support

    def log_joint(self, z: Tensor) -> Tensor:
        """log wₖ pₖ(z) for z (..., latent_dim): shaped (..., K)."""
        components: Any = self.components
        if isinstance(components, Independent) and isinstance(
            components.base_dist, Normal
        ):
            normals = components.base_dist
            return log_normals(z, normals.loc, normals.scale, self.log_weights)
        count = len(self.log_weights)
        each = z.unsqueeze(-2).expand(*z.shape[:-1], count, z.shape[-1])
        log_density: Tensor = components.log_prob(each)
        return self.log_weights + log_density

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.log_joint(value).logsumexp(-1)

    def sample(self, sample_shape: _size = torch.Size()) -> Tensor:
        """Draw the component of each sample, then as many from each as the most frequent needs."""
        count = torch.Size([math.prod(sample_shape)])
        with torch.no_grad():
            component = Categorical(logits=self.log_weights).sample(count)
            times = component.bincount(minlength=len(self.log_weights))
            draws = self.components.sample(torch.Size([int(times.max())]))
            rank = _rank_within(component, times)
            return draws[rank, component].reshape(*sample_shape, *self.event_shape)


def _rank_within(component: Tensor, times: Tensor) -> Tensor:
    """For each sample the number of samples before it, in sorted order, of the same component.

    Arguments:
        component: of each sample.
        times: how often each component occurs.
    """
    order = component.argsort()
    first = times.cumsum(0) - times
    rank = torch.empty_like(component)
    positions = torch.arange(len(component), device=component.device)
    rank[order] = positions - first[component[order]]
    return rank
