"""Whether two tensors have the same numbers."""

import torch
from torch import Tensor


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether all numbers are the same, to the last bit; nan is nan, and -0 is 0.

    Example:
        >>> same_numbers(torch.tensor([0.1]), torch.tensor([0.1]))
        True
        >>> same_numbers(torch.tensor([0.1]), torch.tensor([0.10000001]))
        False
    """
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
