"""Distributions made by moving standard normal noise: z = f(ε; x)."""

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import constraints
from torch.func import functional_call

from pyro_vae.networks import traced


class Drawn(NamedTuple):
    """The last draw, its log density, and whether both carry gradients."""

    z: Tensor
    log_prob: Tensor
    grad: bool

    def of(self, value: Tensor) -> Tensor | None:
        """The log density of `value` if it is this tensor; None if it isn't, or has no gradient."""
        if value is not self.z:
            return None
        if not torch.is_grad_enabled():
            return self.log_prob.detach()
        if not self.grad:
            return None
        return self.log_prob


class Pushforward(TorchDistribution):
    """The distribution of z = f(ε), ε ~ N(0, I), for an invertible f.

    log q(z) = log N(ε | 0, I) - log |∂z/∂ε| at ε = f⁻¹(z)

    The last draw keeps its log density: `log_prob` of that very tensor takes no inverse. `mean`,
    `variance` and `stddev` have no closed form: they are those of the images f(points), a Monte
    Carlo estimate with the same noise for every row and call, exact for a linear f.

    Arguments:
        points: fixed noise vectors, from `noise_points`.
        batch_shape: of the distribution.

    Attributes:
        passes: of its networks for the density of any z; more than two are too many to mix it with
            other proposals.
    """

    passes: int = 1
    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, points: Tensor, batch_shape: torch.Size) -> None:
        self.points = points
        self._drawn: Drawn | None = None
        super().__init__(batch_shape, points.shape[-1:])

    @abstractmethod
    def push(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = f(ε) and log |∂z/∂ε|, for noise (..., *batch_shape, latent_dim)."""

    @abstractmethod
    def pull(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """ε = f⁻¹(z) and log |∂z/∂ε|."""

    def rsample(
        self,
        sample_shape: Any = torch.Size(),
        generator: torch.Generator | None = None,
    ) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        noise = torch.randn(
            shape,
            generator=generator,
            dtype=self.points.dtype,
            device=self.points.device,
        )
        z, log_det = self.push(noise)
        self._drawn = Drawn(
            z, standard_normal(noise) - log_det, torch.is_grad_enabled()
        )
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        if self._drawn is not None:
            kept = self._drawn.of(value)
            if kept is not None:
                return kept
        noise, log_det = self.pull(value)
        return standard_normal(noise) - log_det

    @property
    def mean(self) -> Tensor:
        return self._images().mean(0)

    @property
    def variance(self) -> Tensor:
        return self._images().var(0, correction=0)

    def _images(self) -> Tensor:
        """f(points), shaped (points, *batch_shape, latent_dim)."""
        count, dim = self.points.shape
        ones = (1,) * len(self.batch_shape)
        noise = self.points.reshape(count, *ones, dim).expand(
            count, *self.batch_shape, dim
        )
        images, _ = self.push(noise)
        return images


def bind_parameters(network: nn.Module, *first: Any) -> Callable[..., Any]:
    """The network with its current parameters and first arguments, for a later call.

    A distribution that is made inside `torch.func.functional_call` keeps the parameters that it was
    made with, and one that is made under `torch.no_grad` has no gradients. TorchScript can't trace
    `functional_call`: there the parameters are not bound.

    Example:
        >>> network = nn.Linear(2, 1)
        >>> later = bind_parameters(network)
        >>> network.weight = nn.Parameter(torch.zeros(1, 2))
        >>> bool(later(torch.ones(2)) == network(torch.ones(2)))
        False
    """
    if traced():
        return partial(network, *first)
    parameters: dict[str, Tensor] = dict(network.named_parameters())
    if not torch.is_grad_enabled():
        parameters = {name: weight.detach() for name, weight in parameters.items()}

    def bound(*rest: Any, **options: Any) -> Any:
        return functional_call(network, parameters, (*first, *rest), options)

    return bound


def standard_normal(noise: Tensor) -> Tensor:
    """log N(ε | 0, I).

    Example:
        >>> float(standard_normal(torch.zeros(2)))  # -log(2 pi)
        -1.837...
    """
    return -0.5 * (noise.square().sum(-1) + noise.shape[-1] * math.log(2 * math.pi))


def noise_points(count: int, dim: int, seed: int = 0) -> Tensor:
    """Fixed noise vectors (count, dim): pairs of ε and -ε, of variance 1 in each dimension.

    Where count / 2 ≥ dim their covariance is the identity, so that the mean of any quadratic
    function is exact.

    Example:
        >>> points = noise_points(256, 3)
        >>> torch.allclose(points.T @ points / 256, torch.eye(3), atol=1e-5)
        True
    """
    half = torch.randn(count // 2, dim, generator=torch.Generator().manual_seed(seed))
    if count // 2 >= dim:
        half = torch.linalg.qr(half).Q
    half = half / half.square().mean(0).sqrt()
    return torch.cat([half, -half])
