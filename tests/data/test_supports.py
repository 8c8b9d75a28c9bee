"""The bounds of a support as numbers, where they are one number for all elements."""

import torch
from torch.distributions import constraints

from pyro_vae.data.supports import describe, with_number_bounds


def test_equal_bounds_become_one_number() -> None:
    support = constraints.interval(torch.zeros(3), torch.full((3,), 2.5))
    simple = with_number_bounds(support)
    assert (simple.lower_bound, simple.upper_bound) == (0.0, 2.5)
    assert describe(simple) == "[0, 2.5]"
    assert isinstance(support.lower_bound, torch.Tensor)  # the original is as it was


def test_bounds_that_differ_stay_tensors() -> None:
    upper = torch.tensor([1.0, 2.0])
    simple = with_number_bounds(constraints.interval(torch.zeros(2), upper))
    assert simple.lower_bound == 0.0
    assert simple.upper_bound is upper


def test_whole_bounds_stay_whole() -> None:
    simple = with_number_bounds(constraints.integer_interval(0, torch.tensor([6, 6])))
    assert simple.upper_bound == 6
    assert isinstance(simple.upper_bound, int)
