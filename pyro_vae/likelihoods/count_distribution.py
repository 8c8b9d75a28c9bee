"""A distribution of counts whose log probabilities are summed in float64."""

import math
from abc import abstractmethod
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from pyro_vae.special import wide

IN_CACHE = 2**16
"""Numbers that are computed together: half a megabyte of float64."""
MOST_PARTS = 16
"""Parts that a compiled graph may have."""


class Counts(dist.TorchDistribution):
    """A distribution of counts with log p(x) = varying(x, parameters) - constant(x), in float64.

    The value is that of the formulas in float64. Gradients come from the formula in the dtype of
    the parameters, whose value is subtracted: it is faster, and in the derivative no terms cancel.
    """

    @abstractmethod
    def parameters(self) -> tuple[Tensor, ...]:
        """The tensors that may have gradients."""

    @abstractmethod
    def varying(self, value: Tensor, *parameters: Tensor) -> Tensor:
        """The terms of log p(x) that depend on the parameters."""

    @abstractmethod
    def constant(self, value: Tensor) -> Tensor:
        """The other terms, with a minus, of the same shape as x."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.summed(value, 0)

    def summed(
        self, value: Tensor, dims: int, observed: Tensor | None = None
    ) -> Tensor:
        """log p(x), summed over so many dimensions on the right, or over the observed cells."""
        with torch.no_grad():
            exact = self._exact(value, dims, observed)
        if not torch.is_grad_enabled():
            return exact
        # the value of the exact sum, and the gradient of the narrow one
        narrow = _sum(self.varying(value, *self.parameters()), dims, observed)
        return exact + (narrow - narrow.detach())

    def _exact(self, value: Tensor, dims: int, observed: Tensor | None) -> Tensor:
        """The sum by the formulas in float64."""
        x = wide(value)
        parts = []
        for parameters in self._parts(value.ndim):
            varying = self.varying(x, *map(wide, parameters))
            parts.append(_sum(varying, dims, observed))
        total = parts[0] if len(parts) == 1 else torch.cat(parts)
        return total - _sum(self.constant(value), dims, observed)

    def _parts(self, dims: int) -> list[tuple[Tensor, ...]]:
        """The parameters, split along the draws of z, so that float64 numbers stay in the cache."""
        parameters = self.parameters()
        largest = max(parameters, key=lambda parameter: parameter.ndim)
        size = largest.numel()
        # torch.export of any number of rows: the number of parts would be fixed
        is_symbolic = isinstance(size, torch.SymInt)
        if largest.ndim <= dims or is_symbolic or not size:
            return [parameters]
        count = min(len(largest), MOST_PARTS, math.ceil(size / IN_CACHE))
        split: list[Any] = []
        for parameter in parameters:
            has_draws = parameter.ndim == largest.ndim and len(parameter) > 1
            split.append(
                parameter.tensor_split(count) if has_draws else [parameter] * count
            )
        return list(zip(*split, strict=True))

    def to_event(self, reinterpreted_batch_ndims: int | None = None) -> Any:
        dims = reinterpreted_batch_ndims
        if dims is None:
            dims = len(self.batch_shape)
        return CountRow(self, dims)


def _sum(terms: Tensor, dims: int, observed: Tensor | None = None) -> Tensor:
    """The sum over so many dimensions on the right, of the observed terms."""
    if observed is not None:
        terms = torch.where(observed, terms, 0.0)
    if not dims:
        return terms
    return terms.flatten(-dims).sum(-1)


class CountRow(dist.Independent):
    """Independent counts as one row: their log probabilities are summed in float64."""

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        counts: Counts = self.base_dist
        return counts.summed(value, self.reinterpreted_batch_ndims)

    def pyro_vae_observed_log_prob(self, value: Tensor, observed: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        counts: Counts = self.base_dist
        return counts.summed(value, self.reinterpreted_batch_ndims, observed)
