"""Distributions of other libraries as Pyro's kind, which has moments and a support."""

import copy
from functools import cache
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from pyro_vae.rng import own_seed

DRAWS = 1000
"""Draws from which a mean and a variance without a closed form are estimated."""


def gives_pyro_kind(part: nn.Module) -> None:
    """Register a hook by which a module returns Pyro's kind of distribution."""
    if _converted not in part._forward_hooks.values():
        part.register_forward_hook(_converted)


def _converted(part: nn.Module, inputs: Any, output: Any) -> Any:
    return as_pyro(output)


def as_pyro(distribution: Any) -> Any:
    """A distribution of torch, zuko or another library as Pyro's kind.

    It keeps its type, its parameters and its methods, and gets Pyro's in addition. A mean and a
    variance without a formula are estimated from draws with fixed noise. An unknown support is the
    domain of the distribution's transform, or else all vectors. A distribution that lacks nothing
    is returned as it is, and so is any other object.

    Example:
        >>> normal = as_pyro(torch.distributions.Normal(torch.zeros(2), 1.0))
        >>> normal.to_event(1).event_shape, isinstance(normal, torch.distributions.Normal)
        (torch.Size([2]), True)
    """
    if not isinstance(distribution, Distribution) or isinstance(
        distribution, Converted
    ):
        return distribution
    if isinstance(distribution, TorchDistributionMixin) and not _lacks_moments(
        distribution
    ):
        return distribution
    wrapped: Any = copy.copy(distribution)
    kind: Any = type(distribution)
    wrapped.__class__ = _class_for(kind)
    return wrapped


def support_of(distribution: Any) -> Any:
    """The support of a distribution.

    That of a mixture is given as that of its components, which has a map to real numbers.
    """
    try:
        return _of_components(distribution.support)
    except NotImplementedError:
        return _domain(distribution)


def _of_components(support: Any) -> Any:
    if type(support).__name__ == "MixtureSameFamilyConstraint":
        return support.base_constraint
    return support


def _domain(distribution: Any) -> Any:
    """The domain of a flow, which maps its draws to noise: zuko's flows have no support."""
    try:
        return distribution.transform.domain
    except (AttributeError, NotImplementedError):
        dims = len(distribution.event_shape)
        return (
            constraints.independent(constraints.real, dims)
            if dims
            else constraints.real
        )


def _lacks_moments(distribution: Any) -> bool:
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return type(distribution).mean is Distribution.mean


class Converted:
    """What a converted distribution has in addition to its own methods and Pyro's."""

    @property
    def support(self) -> Any:
        own: Any = super()
        try:
            return _of_components(own.support)
        except NotImplementedError:
            return _domain(self)

    @property
    def mean(self) -> Tensor:
        own: Any = super()
        try:
            return own.mean
        except NotImplementedError:
            return _drawn(self).mean(0)

    @property
    def variance(self) -> Tensor:
        own: Any = super()
        try:
            return own.variance
        except NotImplementedError:
            return _drawn(self).var(0)


def _drawn(distribution: Any) -> Tensor:
    """Draws with the same noise in every call."""
    with own_seed(0, getattr(distribution, "device", "cpu")):
        draws: Tensor = distribution.sample(torch.Size([DRAWS]))
    return draws


@cache
def _class_for(kind: type) -> type:
    """The subclass of a kind of distribution with what it lacks."""
    metaclass: Any = type(TorchDistributionMixin)
    bases: tuple[type, ...] = (Converted, kind)
    if not issubclass(kind, TorchDistributionMixin):
        bases = (Converted, kind, TorchDistributionMixin)
    made: type = metaclass(kind.__name__, bases, {})
    made.__module__ = kind.__module__
    made.__doc__ = kind.__doc__
    return made
