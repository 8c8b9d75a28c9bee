"""P(missing | x) of normal and log-normal columns, which are integrated over in closed form."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.logistic_normal import (
    SelectedLogNormal,
    SelectedNormal,
    log_mean_sigmoid,
)
from pyro_vae.likelihoods.mechanisms import Linear


class OfNormal(Linear):
    """logit P(missing | x) = a + w (x - mean) / sd for x ~ N(loc, scale²).

    E[P(missing | x)] = E[σ(t)],   t ~ N(a + w (loc - mean) / sd, (w scale / sd)²)
    """

    def log_missing(self, p: Any) -> Tensor:
        logit, slope = self._of_cells(p.base_dist)
        return log_mean_sigmoid(logit, slope.square())

    def given_missing(self, p: Any) -> Distribution:
        return _row(self._selected(p.base_dist), p)

    def _of_cells(self, each: Any) -> tuple[Tensor, Tensor]:
        """The logit at loc, and how much it grows over one scale."""
        logit: Tensor = self.logit(each.loc)
        return logit, self.logit.slope * (each.scale / self.logit.unit)

    def _selected(self, each: Any) -> SelectedNormal:
        return SelectedNormal(each.loc, each.scale, *self._of_cells(each))


class OfLogNormal(OfNormal):
    """logit P(missing | x) = a + w (log x - mean) / sd for log x ~ N(loc, scale²).

    Mean and sd of log x are those of a log-normal distribution with the moments of the column.
    """

    def begin(self, data: Statistics) -> None:
        variance = torch.log1p((data.std / data.mean).square())
        unit = torch.where(variance > 0, variance.sqrt(), 1.0)
        self.logit.begin(data, data.mean.log() - variance / 2, unit)

    def logits(self, x: Tensor) -> Tensor:
        return super().logits(x.log())

    def given_missing(self, p: Any) -> Distribution:
        return _row(SelectedLogNormal(self._selected(p.base_dist)), p)


def _row(each: Any, like: Any) -> Distribution:
    """The distributions of cells as one over rows."""
    row: Distribution = each.to_event(like.reinterpreted_batch_ndims)
    return row
