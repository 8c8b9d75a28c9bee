"""Distributions of a latent variable in other units, or with more numbers at its end."""

from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import TorchDistribution
from torch import Size, Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    constraints,
)


def with_noise(q: Any, count: int) -> Distribution:
    """The distribution of (u, ε) for u ~ q and standard normal numbers ε, a normal where q is one.

    Example:
        >>> q = dist.Normal(torch.ones(3, 2), 2.0).to_event(1)
        >>> with_noise(q, 1).stddev[0]
        tensor([2., 2., 1.])
    """
    if not count:
        found: Distribution = q
        return found
    base = getattr(q, "base_dist", None)
    if isinstance(q, Independent) and isinstance(base, Normal):
        lead = (*q.batch_shape, count)
        loc = torch.cat([base.loc, base.loc.new_zeros(lead)], -1)
        scale = torch.cat([base.scale, base.scale.new_ones(lead)], -1)
        return dist.Normal(loc, scale).to_event(1)
    return WithNoise(q, count)


class WithNoise(TorchDistribution):
    """The distribution of (u, ε) for u ~ q and standard normal numbers ε.

    Arguments:
        of: q, with one event dimension.
        count: how many numbers ε has.

    Example:
        >>> of = dist.Laplace(torch.ones(3, 2), 2.0).to_event(1)
        >>> WithNoise(of, 1).mean[0]
        tensor([1., 1., 0.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, of: Any, count: int) -> None:
        self.of, self.count = of, count
        size = of.event_shape[0] + count
        super().__init__(of.batch_shape, Size([size]), validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.of.has_rsample)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.of.mean
        return torch.cat([mean, self._noise(mean, torch.zeros_like)], -1)

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.of.variance
        return torch.cat([variance, self._noise(variance, torch.ones_like)], -1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        drawn: Tensor = self.of.sample(sample_shape)
        return torch.cat([drawn, self._noise(drawn, torch.randn_like)], -1)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        drawn: Tensor = self.of.rsample(sample_shape)
        return torch.cat([drawn, self._noise(drawn, torch.randn_like)], -1)

    def log_prob(self, u: Tensor) -> Tensor:
        own, noise = u[..., : -self.count], u[..., -self.count :]
        density: Tensor = self.of.log_prob(own)
        of_noise: Tensor = dist.Normal(torch.zeros_like(noise), 1.0).log_prob(noise)
        return density + of_noise.sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "WithNoise":
        return WithNoise(self.of.expand(Size(batch_shape)), self.count)

    def _noise(self, like: Tensor, made: Any) -> Tensor:
        """Numbers for ε beside those of u."""
        one: Tensor = made(like[..., :1].expand(*like.shape[:-1], self.count))
        return one


def whitened(q: Any, loc: Tensor, scale: Tensor) -> Distribution:
    """The distribution of (z - loc) / scale for z ~ q, a normal where q is one.

    Example:
        >>> q = dist.Normal(torch.ones(3, 2), 2.0).to_event(1)
        >>> whitened(q, torch.ones(3, 2), 2 * torch.ones(3, 2)).stddev[0]
        tensor([1., 1.])
    """
    base = getattr(q, "base_dist", None)
    if isinstance(q, Independent) and isinstance(base, Normal):
        return dist.Normal((base.loc - loc) / scale, base.scale / scale).to_event(1)
    if isinstance(q, LowRankMultivariateNormal):
        factor = q.cov_factor / scale.unsqueeze(-1)
        diagonal = q.cov_diag / scale.square()
        return dist.LowRankMultivariateNormal((q.loc - loc) / scale, factor, diagonal)
    if isinstance(q, MultivariateNormal):
        tril = q.scale_tril / scale.unsqueeze(-1)
        return dist.MultivariateNormal((q.loc - loc) / scale, scale_tril=tril)
    return Whitened(q, loc, scale)


class Whitened(TorchDistribution):
    """The distribution of u = (z - loc) / scale.

    Arguments:
        of: the distribution of z, event shape (latent_dim,).
        loc, scale: (n, latent_dim).

    Example:
        >>> of = dist.Laplace(torch.ones(3, 2), 2.0).to_event(1)
        >>> Whitened(of, torch.ones(3, 2), 2 * torch.ones(3, 2)).mean[0]
        tensor([0., 0.])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector

    def __init__(self, of: Any, loc: Tensor, scale: Tensor) -> None:
        self.of, self.loc, self.scale = of, loc, scale
        super().__init__(of.batch_shape, of.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.of.has_rsample)

    @property
    def mean(self) -> Tensor:
        mean: Tensor = (self.of.mean - self.loc) / self.scale
        return mean

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.of.variance / self.scale.square()
        return variance

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        drawn: Tensor = (self.of.sample(sample_shape) - self.loc) / self.scale
        return drawn

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        drawn: Tensor = (self.of.rsample(sample_shape) - self.loc) / self.scale
        return drawn

    def log_prob(self, u: Tensor) -> Tensor:
        density: Tensor = self.of.log_prob(self.loc + self.scale * u)
        return density + self.scale.log().sum(-1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Whitened":
        shape = Size(batch_shape)
        full = (*shape, *self.event_shape)
        return Whitened(
            self.of.expand(shape), self.loc.expand(full), self.scale.expand(full)
        )
