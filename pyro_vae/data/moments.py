"""What modules may know of the training rows before the first step."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """What modules may know of the training rows before the first step.

    Attributes:
        rows: their number.
        mean, std: per feature, shaped data_shape, in float64.
        sample: the first rows of one random batch, for parts that start from data.
    """

    rows: int
    mean: Tensor
    std: Tensor
    sample: Tensor


def statistics(batches: Iterable[Tensor]) -> Statistics:
    """Mean and standard deviation per feature in one pass, by Chan's update of the sum of squares.

    All is computed relative to the first row, so that a large offset costs no digits.

    References:
        Algorithms for computing the sample variance (Chan, Golub, LeVeque, 1983).

    Example:
        >>> statistics([torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0]])]).mean
        tensor([2.], dtype=torch.float64)
    """
    rows, mean, squares, sample = 0, torch.tensor(0.0), torch.tensor(0.0), torch.empty(0)
    origin = torch.tensor(0.0)
    for batch in batches:
        origin = origin if rows else batch[0].double()
        wide = batch.to(torch.float64, copy=True).sub_(origin)
        delta = wide.mean(0) - mean
        total = rows + len(batch)
        own = wide.sub_(wide.mean(0)).square_().sum(0)
        squares = squares + own + delta.square() * (rows * len(batch) / total)
        mean = mean + delta * (len(batch) / total)
        rows, sample = total, sample if rows else batch
    return Statistics(rows, origin + mean, (squares / max(rows, 1)).sqrt(), sample)
