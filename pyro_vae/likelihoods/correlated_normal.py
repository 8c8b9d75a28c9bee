"""Real numbers whose noise is correlated within a row."""

from typing import Any

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.likelihoods.correlation import Conditional, Correlation


class CorrelatedNormal(TorchDistribution):
    """N(loc, Σ) over rows, with Σ = diag(scale) R diag(scale) and R a correlation matrix.

    Arguments:
        loc: (..., D).
        scale: the standard deviation of each cell, which broadcasts with loc.
        correlation: R, the same for all rows.

    Example:
        >>> from pyro_vae.likelihoods.correlation import CholeskyCorrelation
        >>> correlation = CholeskyCorrelation(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
        >>> row = CorrelatedNormal(torch.zeros(2), torch.tensor([1.0, 10.0]), correlation)
        >>> row.covariance_matrix
        tensor([[  1.,   6.],
                [  6., 100.]])
        >>> mean, _ = row.pyro_vae_conditional(
        ...     torch.tensor([2.0, torch.nan]), torch.tensor([True, False])
        ... )
        >>> mean
        tensor([ 2., 12.])
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        correlation: Correlation,
    ) -> None:
        self.loc, self.scale = torch.broadcast_tensors(loc, scale)
        self.correlation = correlation
        super().__init__(self.loc.shape[:-1], self.loc.shape[-1:])

    def expand(self, batch_shape: Any, _instance: Any = None) -> "CorrelatedNormal":
        shape = torch.Size(batch_shape) + self.event_shape
        return CorrelatedNormal(
            self.loc.expand(shape), self.scale.expand(shape), self.correlation
        )

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        noise = (value - self.loc) / self.scale
        return self.correlation.log_prob(noise) - self.scale.log().sum(-1)

    def pyro_vae_observed_log_prob(self, x: Tensor, observed: Tensor) -> Tensor:
        """log N(x_o; loc_o, Σ_oo) of the observed cells; 0 where none is observed.

        Arguments:
            x: rows, (..., D), with any finite numbers for the missing cells.
            observed: a mask, (..., D).
        """
        noise = (x - self.loc) / self.scale
        units = torch.where(observed, self.scale.log(), 0.0).sum(-1)
        return self.correlation.observed_log_prob(noise, observed) - units

    def pyro_vae_conditional(self, x: Tensor, observed: Tensor) -> Conditional:
        """Mean and covariance of p(x_m | x_o) = N(loc_m + Σ_mo Σ_oo⁻¹ (x_o - loc_o), Σ_mm|o).

        Arguments:
            x: rows, (..., D); what stands in missing cells is not read.
            observed: a mask, (..., D).

        Returns:
            The mean, (..., D), which is x where it is observed; the covariance, (..., D, D), 0
            where a cell is observed.
        """
        known = torch.where(observed, x, self.loc)
        noise = self.correlation.conditional((known - self.loc) / self.scale, observed)
        mean = torch.where(observed, x, self.loc + self.scale * noise.mean)
        outer = self.scale.unsqueeze(-1) * self.scale.unsqueeze(-2)
        return Conditional(mean, outer * noise.covariance)

    def rsample(self, sample_shape: Any = torch.Size(), **options: Any) -> Tensor:
        loc = self.loc.expand(self._extended_shape(sample_shape))
        return loc + self.scale * self.correlation.draw(loc)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.scale.square()

    @property
    def covariance_matrix(self) -> Tensor:
        """Σ, (..., D, D)."""
        outer = self.scale.unsqueeze(-1) * self.scale.unsqueeze(-2)
        return outer * self.correlation.matrix()
