"""Categories with an order, such as grades."""

from typing import Annotated, Any

import pyro.distributions as dist
import torch
from pydantic import Field
from pyro.distributions import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.nn.functional import logsigmoid, pad

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.mechanisms import Direction
from pyro_vae.likelihoods.mechanisms_of_levels import OfOrder
from pyro_vae.networks import Shape
from pyro_vae.networks.positive_numbers import factor


@LIKELIHOODS.register("ordinal")
class Ordinal(Family):
    """p(x | z) = ∏ᵢ (σ(c_{xᵢ} - ηᵢ) - σ(c_{xᵢ - 1} - ηᵢ)) for x in {0, ..., K - 1}, η = decoder(z).

    The cumulative logit model: P(xᵢ ≤ k | z) = σ(c_k - ηᵢ) with the cutpoints c_0 < ... < c_{K - 2}
    of the feature, c_{-1} = -∞ and c_{K - 1} = ∞. One number η moves the whole distribution up or
    down the order; `categorical` needs K numbers, and knows no order.

    The cutpoints are learned: c_0, and the positive steps from one to the next. They start where
    η = 0 gives the share of each category, with half a row added to each, in one random batch of
    the training rows.

    References:
        Regression Models for Ordinal Data (McCullagh, 1980).

    Arguments:
        data_shape: shape of one row.
        num_classes: K, for every feature; `mixed` has features with different ones.

    Example:
        >>> row = Ordinal((1,), num_classes=4)(torch.zeros(1))
        >>> row.log_prob(torch.ones(1)).item()  # -log 4
        -1.386...
    """

    remedy = (
        "number the categories from 0 in their order and raise num_classes to their number, or "
        "take likelihood 'categorical' (without an order) or 'normal'"
    )
    first: Tensor
    steps: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        num_classes: Annotated[int, Field(ge=2, examples=[3])],
    ) -> None:
        super().__init__(data_shape, data_shape)
        self.num_classes = num_classes
        self.support = constraints.integer_interval(0, num_classes - 1)
        # of the cutpoints: the shift of the first, and the raw factors of the steps
        self.raw = nn.Parameter(torch.zeros(num_classes - 1, *data_shape))
        self.register_buffer("first", torch.zeros(data_shape))
        self.register_buffer("steps", torch.ones(num_classes - 2, *data_shape))
        self._start_from(torch.zeros(num_classes, *data_shape, dtype=torch.float64))

    def pyro_vae_start(self, data: Statistics) -> None:
        rows = data.sample
        each = [(rows == category).double() for category in range(self.num_classes)]
        self._start_from(torch.stack([is_category.sum(0) for is_category in each]))

    def _start_from(self, counts: Tensor) -> None:
        """The cutpoints c_k = log(rows up to k / rows above k), from the rows of each category."""
        shares = counts + 0.5
        up_to = shares.cumsum(0)[:-1]
        above = shares.flip(0).cumsum(0).flip(0)[1:]
        cutpoints = torch.log(up_to / above)
        self.first.copy_(cutpoints[0])
        self.steps.copy_(cutpoints.diff(dim=0))

    def independent(self) -> Distribution:
        return self._row(torch.zeros_like(self.first), self.first, self.steps)

    def forward(self, raw: Tensor) -> Distribution:
        shift, raw_steps = self.raw.tensor_split((1,))
        first = self.first + shift.squeeze(0)
        return self._row(raw, first, self.steps * factor(raw_steps))

    def _row(self, loc: Tensor, first: Tensor, steps: Tensor) -> Distribution:
        each = CumulativeLogit(loc, first, steps.movedim(0, -1))
        return _OrderedCategories(each, len(self.data_shape))

    def pyro_vae_missing_mechanism(self, direction: Direction) -> OfOrder:
        return OfOrder(self.data_shape, direction, self.num_classes)

    def extra_repr(self) -> str:
        return f"x ~ CumulativeLogit(η), K = {self.num_classes}"


class CumulativeLogit(TorchDistribution):
    """P(x ≤ k) = σ(c_k - loc) for x in {0, ..., K - 1}, with increasing cutpoints c.

    With a = c_x - loc and b = c_{x - 1} - loc, σ(a) - σ(b) = σ(a) σ(-b) (1 - e^(b - a)): nothing
    cancels, wherever loc is. a - b is the step from one cutpoint to the next, which is given:
    a small one would lose its digits in the difference of two cutpoints.

    Arguments:
        loc: η, in the unit of log odds.
        first: the first cutpoint c_0; its shape broadcasts to that of loc.
        steps: c_k - c_{k - 1} for k = 1, ..., K - 2, (*shape of first, K - 2).

    Example:
        >>> grade = CumulativeLogit(torch.tensor(0.0), torch.tensor(-1.0), torch.tensor([2.0]))
        >>> grade.probs  # σ(-1), σ(1) - σ(-1), 1 - σ(1)
        tensor([0.2689, 0.4621, 0.2689])
    """

    arg_constraints = {  # noqa: RUF012
        "loc": constraints.real,
        "first": constraints.real,
        "steps": constraints.independent(constraints.positive, 1),
    }

    def __init__(self, loc: Tensor, first: Tensor, steps: Tensor) -> None:
        self.loc = loc
        self.first = first
        self.steps = steps
        super().__init__(loc.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.integer_interval(0, self.num_classes - 1)

    @property
    def num_classes(self) -> int:
        return self.steps.shape[-1] + 2

    @property
    def cutpoints(self) -> Tensor:
        """c_0, ..., c_{K - 2}, (*shape of first, K - 1)."""
        first = self.first.unsqueeze(-1)
        return torch.cat([first, first + self.steps.cumsum(-1)], -1)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "CumulativeLogit":
        return CumulativeLogit(self.loc.expand(batch_shape), self.first, self.steps)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        infinity = float("inf")
        x = value.long()
        cutpoints = self.cutpoints
        upper = _at(x, pad(cutpoints, (0, 1), value=infinity))
        lower = _at(x, pad(cutpoints, (1, 0), value=-infinity))
        log_widths = torch.log(-torch.expm1(-self.steps))
        log_width = _at(x, pad(log_widths, (1, 1)))
        log_up_to = logsigmoid(upper - self.loc)
        log_above = logsigmoid(self.loc - lower)
        return log_up_to + log_above + log_width

    @property
    def probs(self) -> Tensor:
        """The probability of each category, (*batch_shape, K)."""
        ones = torch.ones_like(self.loc)
        each = [self.log_prob(k * ones) for k in range(self.num_classes)]
        return torch.stack(each, -1).exp()

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
            numbers = torch.finfo(uniform.dtype)
            inside = uniform.clamp(numbers.tiny, 1 - numbers.eps / 2)
            return self._category(self.loc + torch.logit(inside))

    @property
    def mean(self) -> Tensor:
        """E[x] = Σ_k P(x > k)."""
        return torch.sigmoid(self.loc.unsqueeze(-1) - self.cutpoints).sum(-1)

    @property
    def variance(self) -> Tensor:
        numbers = torch.arange(self.num_classes, device=self.loc.device)
        distance = numbers - self.mean.unsqueeze(-1)
        return (self.probs * distance.square()).sum(-1)

    @property
    def median(self) -> Tensor:
        """The smallest k with P(x ≤ k) ≥ ½: that with c_k ≥ loc."""
        return self._category(self.loc)

    def _category(self, y: Tensor) -> Tensor:
        """The number of cutpoints below y, in the dtype of loc."""
        is_below = self.cutpoints < y.unsqueeze(-1)
        return is_below.sum(-1).to(self.loc.dtype)


def _at(x: Tensor, by_category: Tensor) -> Tensor:
    """The entry for each category x of a table (*features, K)."""
    shape = torch.broadcast_shapes(x.shape, by_category.shape[:-1])
    table = by_category.expand(*shape, by_category.shape[-1])
    return table.gather(-1, x.expand(shape).unsqueeze(-1)).squeeze(-1)


class _OrderedCategories(dist.Independent):
    """A row of ordered categories; it is shown by its medians, which rise with η.

    The median has the smallest mean absolute error in categories. The likeliest category may jump
    over others.
    """

    def pyro_vae_representative(self) -> Tensor:
        categories: CumulativeLogit = self.base_dist
        return categories.median

    def pyro_vae_probabilities(self) -> dict[int, Tensor]:
        """For each feature of the flattened row the probabilities of its categories, (..., K)."""
        categories: CumulativeLogit = self.base_dist
        flat = categories.probs.flatten(-1 - self.reinterpreted_batch_ndims, -2)
        return dict(enumerate(flat.unbind(-2)))
