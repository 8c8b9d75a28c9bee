"""Distributions over categories, numbered from 0."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor


class CategoryNumbers(dist.Categorical):
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


class Categories(dist.Independent):
    """A row of categories; it is shown by the likeliest ones, not by the mean of their numbers."""

    def pyro_vae_representative(self) -> Tensor:
        categories: CategoryNumbers = self.base_dist
        return categories.probs.argmax(-1).to(categories.logits.dtype)

    def pyro_vae_probabilities(self) -> dict[int, Tensor]:
        """For each feature of the flattened row the probabilities of its categories, (..., K)."""
        categories: CategoryNumbers = self.base_dist
        flat = categories.probs.flatten(-1 - self.reinterpreted_batch_ndims, -2)
        return dict(enumerate(flat.unbind(-2)))
