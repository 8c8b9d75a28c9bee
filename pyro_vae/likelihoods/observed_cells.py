"""p(x | z) of rows with missing cells: the density of those that are observed."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.torch_distribution import ExpandedDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, constraints
from torch.distributions.utils import _sum_rightmost

from pyro_vae.data import Statistics
from pyro_vae.hooks import (
    ConditionsOnData,
    HasConditional,
    HasObservedDensity,
    HasProbabilities,
    HasRepresentative,
)
from pyro_vae.networks import Shape

CANDIDATES = (0.0, 1.0, 0.5, -1.0, 2.0)
"""Numbers of which one is in the support of each family."""


class MissingAtRandom(nn.Module):
    """What a likelihood needs for rows with missing cells, nan: a number for each of them.

    A missing cell is filled with a number inside the support before the density is computed, and
    the density of the cell is left out afterwards. The number changes no density; outside of the
    support, or far from the data, the gradient would be nan. It is a typical one of the training
    rows.

    Arguments:
        data_shape: shape of one row.
        support: of p(x | z).
        together: groups of columns, in the flattened row, that are missing as a whole or not, by
            name.

    Example:
        >>> import pyro.distributions as dist
        >>> row = dist.Normal(torch.zeros(2), 1.0).to_event(1)
        >>> p = MissingAtRandom((2,), row.support)(row)
        >>> p.log_prob(torch.tensor([[0.0, torch.nan], [torch.nan, torch.nan]]))
        tensor([-0.9189,  0.0000])
    """

    fill: Tensor

    def __init__(
        self,
        data_shape: Shape,
        support: Any,
        together: Mapping[str, list[int]] | None = None,
    ) -> None:
        super().__init__()
        self.together = dict(together or {})
        self.register_buffer("fill", _inside(support, data_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        """Take an observed cell of each column; of a group that belongs together a whole row."""
        typical = data.some_observed.to(self.fill).flatten()
        rows = data.sample.flatten(1).to(self.fill)
        for columns in self.together.values():
            is_whole = ~rows[:, columns].isnan().any(1)
            if is_whole.any():
                typical[columns] = rows[int(is_whole.nonzero()[0])][columns]
        typical = typical.reshape(self.fill.shape)
        self.fill.copy_(torch.where(typical.isnan(), self.fill, typical))

    def forward(self, p: Distribution) -> "ObservedCells":
        """The same distribution, for rows with missing cells."""
        return ObservedCells(p, self.fill)

    def independent(self, p: Distribution) -> "ObservedCells":
        """The distribution of rows without dependence, for rows with missing cells."""
        return self(p)

    def lacking(self, x: Tensor, like: Tensor) -> Tensor:
        """The rows x, of which the cells are missing that other rows lack."""
        return torch.where(like.isnan(), like, x)

    def extra_repr(self) -> str:
        return f"{tuple(self.fill.shape)}"


def _inside(support: Any, data_shape: Shape) -> Tensor:
    """A number inside the support for each cell, before there are data."""
    size = math.prod(data_shape)
    chosen = torch.zeros(data_shape)
    is_chosen = torch.zeros(data_shape, dtype=torch.bool)
    for candidate in (*CANDIDATES, 1 / size):  # the last is on the simplex
        row = torch.full((1, *data_shape), candidate)
        inside = support.check(row)
        inside = inside.reshape(*inside.shape, *(1,) * (row.ndim - inside.ndim))
        is_better = inside.expand_as(row)[0] & ~is_chosen
        chosen = torch.where(is_better, candidate, chosen)
        is_chosen = is_chosen | is_better
    return chosen


class ObservedCells(TorchDistribution):
    """p(x | z) whose log p is that of the observed cells of a row; nan is a missing cell.

    log p(x_observed | z) = Σ_{i observed} log p(xᵢ | z)   for p(x | z) = ∏ᵢ p(xᵢ | z)

    Where all cells are missing it is 0. Draws, means and all else are those of p: complete rows.
    Cells that depend on each other given z are observed together: a row that has some of them and
    lacks others gets nan. A distribution that knows the density of any of its cells has the hook
    `pyro_vae_observed_log_prob(x, observed)`.

    References:
        Inference and Missing Data (Rubin, 1976), for missing at random.

    Arguments:
        base_dist: p(x | z).
        fill: a number inside the support for each cell of a row, (*event_shape).
    """

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, base_dist: Any, fill: Tensor) -> None:
        self.base_dist = base_dist
        self.fill = fill
        super().__init__(base_dist.batch_shape, base_dist.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        support: constraints.Constraint = self.base_dist.support
        return support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.base_dist.has_rsample)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "ObservedCells":
        if torch.Size(batch_shape) == self.batch_shape:
            return self
        return self.over(self.base_dist.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        filled, observed = self.filled(value)
        return observed_log_prob(self.base_dist, filled, observed)

    def mask_log_prob(self, value: Tensor) -> Tensor:
        """log p of which cells are observed, given what is not missing: nothing, at random."""
        return torch.zeros_like(value)

    def filled(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Rows with numbers for the missing cells, and which cells are observed."""
        observed = ~value.isnan()
        return torch.where(observed, value, self.fill.to(value.dtype)), observed

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        drawn: Tensor = self.base_dist.sample(sample_shape)
        return drawn

    def rsample(self, sample_shape: Any = torch.Size(), **options: Any) -> Tensor:
        drawn: Tensor = self.base_dist.rsample(sample_shape, **options)
        return drawn

    @property
    def mean(self) -> Tensor:
        mean: Tensor = self.base_dist.mean
        return mean

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self.base_dist.variance
        return variance

    def pyro_vae_given(self, value: Tensor) -> Distribution:
        """p given what it conditions on in the rows, which is typical where they lack it."""
        if not isinstance(self.base_dist, ConditionsOnData):
            return self
        filled, _ = self.filled(value)
        return self.over(self.base_dist.pyro_vae_given(filled))

    def over(self, base_dist: Any) -> "ObservedCells":
        """The same of another p(x | z)."""
        return ObservedCells(base_dist, self.fill)

    def pyro_vae_representative(self) -> Tensor:
        if isinstance(self.base_dist, HasRepresentative):
            return self.base_dist.pyro_vae_representative()
        return self.mean

    def pyro_vae_probabilities(self) -> dict[int, Tensor]:
        if isinstance(self.base_dist, HasProbabilities):
            return self.base_dist.pyro_vae_probabilities()
        return {}


class OwnLikelihood(nn.Module):
    """A likelihood of the user's own, for rows with missing cells."""

    def __init__(self, own: nn.Module, missing: MissingAtRandom) -> None:
        super().__init__()
        self.own = own
        self.missing = missing

    def forward(self, z: Tensor) -> Distribution:
        return self.missing(self.own(z))

    def extra_repr(self) -> str:
        return self.own.extra_repr() or type(self.own).__name__


def observes_each(p: Any) -> bool:
    """Whether a distribution over rows has a density for any cells of a row.

    Example:
        >>> import pyro.distributions as dist
        >>> observes_each(dist.Normal(torch.zeros(2), 1.0).to_event(1))
        True
        >>> observes_each(dist.MultivariateNormal(torch.zeros(2), torch.eye(2)))
        False
    """
    if isinstance(p, HasObservedDensity):
        return True
    while isinstance(p, Independent | ExpandedDistribution):
        p = p.base_dist
    return not p.event_shape


def observed_log_prob(p: Any, x: Tensor, observed: Tensor) -> Tensor:
    """log p of the observed cells of complete rows.

    Arguments:
        p: a distribution over rows, or over one cell.
        x: rows, (..., *event_shape), with numbers inside the support for the missing cells.
        observed: which cells are observed, shaped as x.

    Returns:
        The density for each row; nan where p is over vectors of which a row has a part.

    Example:
        >>> import pyro.distributions as dist
        >>> p = dist.Normal(torch.zeros(2), 1.0).to_event(1)
        >>> observed_log_prob(p, torch.zeros(2), torch.tensor([True, False]))
        tensor(-0.9189)
    """
    if isinstance(p, HasObservedDensity):
        return p.pyro_vae_observed_log_prob(x, observed)
    if isinstance(p, Independent):
        return independent_log_prob(p, x, observed)
    if isinstance(p, ExpandedDistribution):
        each = observed_log_prob(p.base_dist, x, observed)
        return each.expand(torch.broadcast_shapes(p.batch_shape, each.shape))
    density = p.log_prob(x)
    dims = len(p.event_shape)
    if dims == 0:
        return torch.where(observed, density, 0.0)
    cells = observed.flatten(-dims)
    of_the_rest = torch.where(cells.any(-1), torch.nan, 0.0).to(density.dtype)
    return torch.where(cells.all(-1), density, of_the_rest)


def given_observed(p: Any, x: Tensor, observed: Tensor) -> Distribution:
    """p(x_m | x_o, z): the distribution of the missing cells of rows given the observed ones.

    Where the cells are independent given z it is p itself.

    Arguments:
        p: a distribution over rows.
        x: rows, (..., *event_shape); what stands in missing cells is not read.
        observed: which cells are observed, shaped as x.

    Raises:
        ValueError: a distribution whose cells depend on each other, without the hook
            `pyro_vae_given_observed`.

    Example:
        >>> import pyro.distributions as dist
        >>> p = dist.Normal(torch.zeros(2), 1.0).to_event(1)
        >>> given_observed(p, torch.ones(2), torch.tensor([True, False])).mean
        tensor([0., 0.])
    """
    if isinstance(p, HasConditional):
        return p.pyro_vae_given_observed(x, observed)
    if isinstance(p, ObservedCells):
        return given_observed(p.base_dist, x, observed)
    if isinstance(p, HasObservedDensity) and not isinstance(p, Independent):
        raise ValueError(
            f"likelihood: expected a distribution with the method pyro_vae_given_observed, since "
            f"its cells depend on each other given z, got {type(p).__name__}; see "
            "pyro_vae.hooks.HasConditional"
        )
    distribution: Distribution = p
    return distribution


def independent_log_prob(p: Any, x: Tensor, observed: Tensor) -> Tensor:
    """`observed_log_prob` of `torch.distributions.Independent`: the sum over its cells."""
    each = observed_log_prob(p.base_dist, x, observed)
    total: Tensor = _sum_rightmost(each, p.reinterpreted_batch_ndims)
    return total
