"""Categories, numbered from 0."""

from typing import Annotated, Any

import pyro.distributions as dist
import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.networks import Shape


@LIKELIHOODS.register("categorical")
class Categorical(Family):
    """p(x | z) = ∏ᵢ softmax(lᵢ)[xᵢ] with logits l = offset + decoder(z), for x in {0, ..., K - 1}.

    The offset is the logarithm of each category's share, with half a row added to each, in one
    random batch of the training rows.

    Arguments:
        data_shape: shape of one row.
        num_classes: K, for every feature; `mixed` has features with different ones.

    Example:
        >>> row = Categorical((1,), num_classes=4)(torch.zeros(4, 1))
        >>> float(row.log_prob(torch.ones(1)))  # -log 4
        -1.386...
    """

    remedy = (
        "number the categories from 0 and raise num_classes to their number, or take likelihood "
        "'normal'"
    )
    offset: Tensor

    def __init__(
        self,
        data_shape: Shape,
        *,
        num_classes: Annotated[int, Field(ge=2, examples=[3])],
    ) -> None:
        super().__init__(data_shape, (num_classes, *data_shape))
        self.num_classes = num_classes
        self.support = constraints.integer_interval(0, num_classes - 1)
        self.register_buffer("offset", torch.zeros(self.param_shape))

    def pyro_vae_start(self, data: Statistics) -> None:
        rows = data.sample
        each = [(rows == category).double() for category in range(self.num_classes)]
        counts = torch.stack([is_category.sum(0) for is_category in each])
        total = counts.sum(0)  # of the observed cells
        shares = (counts + 0.5) / (total + 0.5 * self.num_classes)
        self.offset.copy_(torch.log(shares))

    def independent(self) -> Distribution:
        return self(torch.zeros_like(self.offset))

    def forward(self, raw: Tensor) -> Distribution:
        logits = (self.offset + raw).movedim(-len(self.param_shape), -1)
        return _Categories(_Categorical(logits=logits), len(self.data_shape))

    def extra_repr(self) -> str:
        return f"x ~ Categorical(softmax), K = {self.num_classes}"


class _Categorical(dist.Categorical):
    """Categories as numbers in the dtype of the logits, which have a mean and a variance."""

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:
        drawn: Tensor = super().sample(sample_shape)  # type: ignore[no-untyped-call]
        return drawn.to(self.logits.dtype)

    @property
    def mean(self) -> Tensor:
        return self.probs @ self._numbers

    @property
    def variance(self) -> Tensor:
        return self.probs @ self._numbers.square() - self.mean.square()

    @property
    def _numbers(self) -> Tensor:
        logits = self.logits
        return torch.arange(self._num_events, dtype=logits.dtype, device=logits.device)


class _Categories(dist.Independent):
    """A row of categories; it is shown by the likeliest ones, not by the mean of their numbers."""

    def pyro_vae_representative(self) -> Tensor:
        categories: _Categorical = self.base_dist
        return categories.probs.argmax(-1).to(categories.logits.dtype)

    def pyro_vae_probabilities(self) -> dict[int, Tensor]:
        """For each feature of the flattened row the probabilities of its categories, (..., K)."""
        categories: _Categorical = self.base_dist
        flat = categories.probs.flatten(-1 - self.reinterpreted_batch_ndims, -2)
        return dict(enumerate(flat.unbind(-2)))
