"""Categories, numbered from 0."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.distributions import Distribution, constraints

from pyro_vae.data import Statistics
from pyro_vae.likelihoods.base import LIKELIHOODS, Family
from pyro_vae.likelihoods.categories import Categories, CategoryNumbers
from pyro_vae.likelihoods.mechanisms import Direction
from pyro_vae.likelihoods.mechanisms_of_levels import OfNames
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
        return Categories(CategoryNumbers(logits=logits), len(self.data_shape))

    def pyro_vae_missing_mechanism(self, direction: Direction) -> OfNames:
        return OfNames(self.data_shape, self.num_classes)

    def extra_repr(self) -> str:
        return f"x ~ Categorical(softmax), K = {self.num_classes}"
