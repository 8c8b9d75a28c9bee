"""The support of a distribution in words."""

from typing import Any

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
