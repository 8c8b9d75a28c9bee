"""The registry of priors, and the module that a plain distribution becomes."""

import copy
from collections.abc import Callable
from typing import Any, Self

from torch import Tensor, nn
from torch.distributions import Distribution, Transform

from pyro_vae.registry import Registry

PRIORS = Registry("prior")


class Constant(nn.Module):
    """A distribution that depends on nothing, as a module, which moves to a device or a dtype.

    Arguments:
        distribution: any `torch.distributions.Distribution`.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> Constant(dist.Laplace(torch.zeros(2), 1.0).to_event(1)).double()().sample().dtype
        torch.float64
    """

    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.distribution = distribution

    def forward(self, *condition: Tensor) -> Distribution:
        return self.distribution

    def _apply(
        self,
        fn: Callable[[Tensor], Tensor],
        recurse: bool = True,
    ) -> Self:
        self.distribution = _map_tensors(fn, self.distribution, {})
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        return str(self.distribution)


def _map_tensors(
    fn: Callable[[Tensor], Tensor],
    value: Any,
    done: dict[int, Any],
) -> Any:
    """`value` with `fn` applied to every tensor inside its distributions, transforms and lists.

    `done` has the copies made so far by the id of the original, since a transform and its inverse
    refer to each other.
    """
    if isinstance(value, Tensor):
        return fn(value)
    if isinstance(value, list | tuple):
        return type(value)([_map_tensors(fn, item, done) for item in value])
    if not isinstance(value, Distribution | Transform):
        return value
    if id(value) not in done:
        moved = copy.copy(value)
        done[id(value)] = moved
        for name, item in vars(value).items():
            vars(moved)[name] = _map_tensors(fn, item, done)
    return done[id(value)]
