"""The support of rows whose groups of columns have supports of their own."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from pyro_vae.data.supports import describe
from pyro_vae.likelihoods.column_ranges import ranges


class ColumnSupports(constraints.Constraint):
    """Each group of columns has its own support; `check` answers for each column."""

    def __init__(self, columns: list[list[int]], supports: list[Any]) -> None:
        self.columns = columns
        self.supports = supports

    def check(self, value: Tensor) -> Tensor:
        inside = torch.ones_like(value, dtype=torch.bool)
        for columns, support in zip(self.columns, self.supports, strict=True):
            inside[..., columns] = support.check(value[..., columns])
        return inside

    def __repr__(self) -> str:
        parts = []
        for columns, support in zip(self.columns, self.supports, strict=True):
            parts.append(f"columns {ranges(columns)}: {describe(support)}")
        return "; ".join(parts)
