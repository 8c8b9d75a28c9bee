"""The support of a distribution: its bounds as numbers, and a description of it."""

import copy
from typing import Any

from torch import Tensor

SUPPORTS = {
    "_Boolean": "{{0, 1}}",
    "_Real": "of real numbers",
    "_GreaterThan": "of numbers above {lower_bound}",
    "_GreaterThanEq": "of numbers of at least {lower_bound}",
    "_Interval": "[{lower_bound}, {upper_bound}]",
    "_HalfOpenInterval": "[{lower_bound}, {upper_bound})",
    "_IntegerGreaterThan": "of whole numbers of at least {lower_bound}",
    "_IntegerInterval": "{{{lower_bound}, ..., {upper_bound}}}",
}


def describe(support: Any) -> str:
    """The support in words, which follow "the support".

    Example:
        >>> from torch.distributions import constraints
        >>> describe(constraints.boolean), describe(constraints.positive)
        ('{0, 1}', 'of numbers above 0')
        >>> describe(constraints.integer_interval(0, 9))
        '{0, ..., 9}'
    """
    bounds = {
        name: f"{bound:g}"
        for name, bound in vars(support).items()
        if isinstance(bound, int | float)
    }
    words = SUPPORTS.get(type(support).__name__)
    if words is None:
        return str(support)
    try:
        return words.format(**bounds)
    except KeyError:  # its bounds are tensors
        return str(support)


def with_number_bounds(support: Any) -> Any:
    """The same constraint, with a number for each bound that is equal in all its elements.

    Example:
        >>> import torch
        >>> from torch.distributions import constraints
        >>> with_number_bounds(constraints.greater_than(torch.zeros(3)))
        GreaterThan(lower_bound=0.0)
    """
    simple = copy.copy(support)
    for name, bound in vars(support).items():
        if isinstance(bound, Tensor):
            values = bound.unique()
            if len(values) == 1:
                setattr(simple, name, values.item())
    return simple
