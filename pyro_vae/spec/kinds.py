"""Distributions of other libraries as Pyro's kind, which `pyro.sample` takes and which has moments
and a support.
"""

import copy
from functools import cache
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints

from pyro_vae.rng import own_seed

DRAWS = 1000
"""Draws that a mean and a variance without a closed form are estimated from."""


def gives_pyro_kind(part: nn.Module) -> None:
    """From now on a module's calls give Pyro's kind of distribution."""
    if _converted not in part._forward_hooks.values():
        part.register_forward_hook(_converted)


def _converted(part: nn.Module, inputs: Any, output: Any) -> Any:
    return as_pyro(output)


def as_pyro(distribution: Any) -> Any:
    """A distribution of torch, zuko or anyone as Pyro's kind.

    It keeps its type, its parameters and its methods, and gets Pyro's in addition. Where it has no
    formula for its mean and variance, they are estimated from draws with fixed noise; where it
    doesn't know its support, that is the domain of its transform, or else all vectors. What lacks
    nothing, or is no distribution, stays as it is.

    Example:
        >>> normal = torch.distributions.Normal(torch.zeros(2), 1.0)
        >>> as_pyro(normal).to_event(1).event_shape, isinstance(as_pyro(normal), torch.distributions.Normal)
        (torch.Size([2]), True)
    """
    if not isinstance(distribution, Distribution) or isinstance(distribution, Converted):
        return distribution
    if isinstance(distribution, TorchDistributionMixin) and not _lacks_moments(distribution):
        return distribution
    wrapped: Any = copy.copy(distribution)
    kind: Any = type(distribution)
    wrapped.__class__ = _class_for(kind)
    return wrapped


def support_of(distribution: Any) -> Any:
    """The values that a draw may take; of a mixture those of its components, which have a map to
    real numbers.
    """
    try:
        return _of_components(distribution.support)
    except NotImplementedError:
        return _domain(distribution)


def _of_components(support: Any) -> Any:
    return (
        support.base_constraint
        if type(support).__name__ == "MixtureSameFamilyConstraint"
        else support
    )


def _domain(distribution: Any) -> Any:
    """The support of a flow, which maps its draws to noise; zuko's flows don't tell it themselves."""
    try:
        return distribution.transform.domain
    except (AttributeError, NotImplementedError):
        dims = len(distribution.event_shape)
        return constraints.independent(constraints.real, dims) if dims else constraints.real


def _lacks_moments(distribution: Any) -> bool:
    while isinstance(distribution, Independent):
        distribution = distribution.base_dist
    return type(distribution).mean is Distribution.mean


class Converted:
    """What a converted distribution has besides its own methods and Pyro's."""

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
    bases = (
        (Converted, kind)
        if issubclass(kind, TorchDistributionMixin)
        else (Converted, kind, TorchDistributionMixin)
    )
    made: type = metaclass(kind.__name__, bases, {})
    made.__module__, made.__doc__ = kind.__module__, kind.__doc__
    return made
