"""Any distribution of Pyro or torch, by its name."""

import difflib
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import pyro.distributions as dist
import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, constraints, transform_to

from pyro_vae.data import Statistics
from pyro_vae.data.supports import with_number_bounds
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.beta import open_unit_interval
from pyro_vae.likelihoods.parameters import spread, stacked
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import factor

CLASSES: dict[str, Any] = {
    name: item
    for name, item in vars(dist).items()
    if isinstance(item, type) and issubclass(item, Distribution)
}
# where torch's support has ends at which the density is infinite, or more than one period
STRICTER = {
    "Beta": open_unit_interval,
    "Chi2": constraints.positive,
    "Gamma": constraints.positive,
    "Kumaraswamy": open_unit_interval,
    "RelaxedBernoulli": open_unit_interval,
    "VonMises": constraints.interval(-math.pi, math.pi),
}
LOG_ODDS = {"probs": "logits", "gate": "gate_logits"}
FIRST_ROWS = 500
STEPS = 200


@LIKELIHOODS.register("distribution")
class AnyDistribution(Family):
    """p(x | z) = ∏ᵢ p(xᵢ | its parameters), for any univariate distribution of Pyro or torch.

    Each parameter is one decoder output a feature, mapped into its constraint: above a bound by a
    smooth factor that stays above it, else by `transform_to`; log odds instead of probabilities.
    For x on the whole line `loc` and `scale` are in units of the data's median and of the std of
    most rows. The outputs start where the parameters of all rows together have their largest
    likelihood, sought on 500 random training rows.

    Arguments:
        data_shape: shape of one row.
        name: in `pyro.distributions`: "Gumbel", "Weibull", "VonMises".
        fixed: parameters that are numbers: {"df": 4}.

    Raises:
        ValueError: an unknown name; a distribution over vectors; one without a mean, or with a
            support that changes with z; a parameter that can't come from a decoder, such as a
            count: put it into `fixed`.

    Example:
        >>> weibull = AnyDistribution((3,), name="Weibull", fixed={"concentration": 1.5})
        >>> weibull(torch.zeros(5, 3)).event_shape
        torch.Size([3])
    """

    remedy = (
        "transform the data, or take likelihood 'normal' (real numbers), 'gamma' (positive) or "
        "'poisson' (counts)"
    )
    mean: Tensor
    std: Tensor
    offset: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        name: Annotated[str, Field(examples=["Gumbel"])],
        fixed: Mapping[str, float] = {},
    ) -> None:
        if name not in CLASSES:
            raise ValueError(f"distribution: unknown name {name!r}; {_similar(name)}")
        try:
            maps = _maps(name, fixed)
            super().__init__(data_shape, stacked(len(maps), data_shape))
            self.name = name
            self.fixed = dict(fixed)
            self.maps = maps
            self.register_buffer("mean", torch.zeros(data_shape))
            self.register_buffer("std", torch.ones(data_shape))
            self.register_buffer("offset", torch.zeros(self.param_shape))
            self.support = self._support()
        except Exception as error:  # whatever a constructor of somebody's raises
            why = str(error) or "it has no density or no mean"
            raise ValueError(
                f"distribution: {name} can't be a likelihood here: {why}"
            ) from error

    def pyro_vae_start(self, data: Statistics) -> None:
        if "loc" in self.maps and "Real" in str(self.support):
            self.mean.copy_(data.median)
            self.std.copy_(spread(data, robust=True))
        sample = data.sample[:FIRST_ROWS].to(self.offset)
        observed = ~sample.isnan()
        rows = torch.where(observed, sample, data.some_observed.to(sample))
        raw = torch.zeros_like(self.offset, requires_grad=True)
        optimizer = torch.optim.Rprop([raw], lr=0.1)
        for _ in range(STEPS):
            with torch.enable_grad():
                each = self._each(raw).log_prob(rows)
                loss = -torch.where(observed, each, 0.0).sum()
            raw.grad = torch.autograd.grad(loss, raw)[0].nan_to_num(0.0)
            optimizer.step()
        self.offset.copy_(raw.detach().clamp(-10, 1e4))

    def independent(self) -> Distribution:
        return self(torch.zeros_like(self.offset))

    def forward(self, raw: Tensor) -> Distribution:
        return self._as_row(self._each(self.offset + raw))

    def _each(self, raw: Tensor) -> Any:
        """The distribution of each feature."""
        heads = self._outputs(raw)
        values = {}
        for (key, to_constraint), head in zip(self.maps.items(), heads, strict=True):
            values[key] = to_constraint(head)
        if "loc" in values:
            values["loc"] = self.mean + self.std * values["loc"]
        if "scale" in values:
            values["scale"] = self.std * values["scale"]
        fixed = {key: raw.new_full((), value) for key, value in self.fixed.items()}
        return CLASSES[self.name](**values, **fixed)

    def _support(self) -> constraints.Constraint:
        """The values x may take, which no output of the decoder may change."""
        outputs = [torch.full(self.param_shape, raw) for raw in (-1.0, 0.0, 1.0)]
        rows = [self._each(raw) for raw in outputs]
        supports = [with_number_bounds(row.support) for row in rows]
        first = rows[0]
        if first.event_shape or first.batch_shape != self.data_shape:
            raise ValueError("it is over vectors, and each feature needs a number")
        if len(set(map(str, supports))) > 1:
            parameters = " and ".join(self.maps)
            raise ValueError(
                f"its support changes with {parameters}; fix what bounds it"
            )
        first.mean  # noqa: B018  # raises where there is none
        with suppress(ValueError):  # 0 may lie outside its support
            first.log_prob(torch.zeros(self.data_shape))
        return STRICTER.get(self.name, supports[0])

    def extra_repr(self) -> str:
        return f"x ~ {self.name}({', '.join(self.maps)})"


def _similar(name: str) -> str:
    close = difflib.get_close_matches(name, CLASSES, n=3, cutoff=0.5)
    if not close:
        return "see pyro.distributions"
    return f"did you mean {' or '.join(map(repr, close))}?"


def _maps(
    name: str, fixed: Mapping[str, float]
) -> dict[str, Callable[[Tensor], Tensor]]:
    """For each parameter that is not fixed, a map from the real numbers into its constraint."""
    limits = CLASSES[name].arg_constraints
    if not isinstance(limits, Mapping):
        raise ValueError("its parameters depend on each other")
    pairs = {probs: logits for probs, logits in LOG_ODDS.items() if logits in limits}
    replaced = {logits if probs in fixed else probs for probs, logits in pairs.items()}
    unused = {*fixed, *replaced}
    maps = {}
    for key, limit in limits.items():
        if key not in unused:
            maps[key] = _map(key, limit)
    if not maps:
        raise ValueError("it has no parameter for the decoder")
    return maps


def _map(key: str, limit: Any) -> Callable[[Tensor], Tensor]:
    if constraints.is_dependent(limit) or limit.is_discrete:
        raise ValueError(
            f"{key} can't come from a decoder; give it as a number, fixed={{{key!r}: ...}}"
        )
    if limit.event_dim:
        raise ValueError(
            f"{key} is a vector or a matrix, and each feature needs a number"
        )
    if type(limit) in {type(constraints.positive), type(constraints.nonnegative)}:
        return partial(_above, limit.lower_bound)
    to_constraint: Callable[[Tensor], Tensor] = transform_to(limit)
    return to_constraint


def _above(bound: float, raw: Tensor) -> Tensor:
    return bound + factor(raw)
