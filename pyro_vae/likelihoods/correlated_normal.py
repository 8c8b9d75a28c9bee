"""Real numbers whose noise is correlated within a row."""

from functools import cached_property
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

    def pyro_vae_complete(self, x: Tensor, observed: Tensor) -> Tensor:
        """Rows whose missing cells are drawn from p(x_m | x_o), one draw for each row.

        A draw of the whole row is moved by the regression on its error in the observed cells.

        References:
            Constrained realizations of Gaussian fields (Hoffman, Ribak, 1991).

        Arguments:
            x: rows, (..., D); what stands in missing cells is not read.
            observed: a mask, (..., D).
        """
        known = torch.where(observed, x, self.loc)
        noise = (known - self.loc) / self.scale
        drawn = self.correlation.draw(noise)
        moved = drawn + self.correlation.conditional(noise - drawn, observed).mean
        return torch.where(observed, x, self.loc + self.scale * moved)

    def pyro_vae_given_observed(
        self, x: Tensor, observed: Tensor
    ) -> "ConditionalNormal":
        """The same conditional with its means, variances and draws."""
        return ConditionalNormal(self, x, observed)

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


class ConditionalNormal(TorchDistribution):
    """p(x_m | x_o) of rows of a `CorrelatedNormal`; a draw has x where it is observed.

    Arguments:
        row: the distribution of whole rows.
        x: rows, which broadcast with the batch shape; what stands in missing cells is not read.
        observed: a mask, shaped as x.

    Example:
        >>> from pyro_vae.likelihoods.correlation import CholeskyCorrelation
        >>> correlation = CholeskyCorrelation(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
        >>> row = CorrelatedNormal(torch.zeros(2), torch.tensor([1.0, 10.0]), correlation)
        >>> p = ConditionalNormal(row, torch.tensor([2.0, 0.0]), torch.tensor([True, False]))
        >>> p.mean, p.variance
        (tensor([ 2., 12.]), tensor([ 0., 64.]))
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.real_vector

    def __init__(self, row: CorrelatedNormal, x: Tensor, observed: Tensor) -> None:
        self.row = row
        self.x = x
        self.observed = observed
        super().__init__(row.batch_shape, row.event_shape)

    @cached_property
    def _noise(self) -> Conditional:
        """That of the missing cells in units of their scale; its covariance is that of a mask."""
        known = torch.where(self.observed, self.x, self.row.loc)
        noise = (known - self.row.loc) / self.row.scale
        return self.row.correlation.conditional(noise, self.observed)

    @property
    def mean(self) -> Tensor:
        moved = self.row.loc + self.row.scale * self._noise.mean
        return torch.where(self.observed, self.x, moved)

    @property
    def variance(self) -> Tensor:
        return self.row.scale.square() * self._noise.covariance.diagonal(
            dim1=-2, dim2=-1
        )

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            batch_shape = torch.Size(sample_shape) + self.batch_shape
            whole = self.row.expand(batch_shape)
            return whole.pyro_vae_complete(self.x, self.observed)
