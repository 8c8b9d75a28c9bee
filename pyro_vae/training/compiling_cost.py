"""What compiling a step costs, and what a compiled step saves: a rule, so that a run repeats.

The numbers are processor seconds of one core of an Intel Xeon with torch 2.13, measured by
`benchmarks.speed`; the operations of a model, which they are about, go with its number of weights.
"""

from collections.abc import Sequence

from torch import Tensor

COMPILING = 5.5
"""Seconds for a graph that ends with the gradient, with the import of the compiler."""
COMPILING_A_WEIGHT = 0.1
"""Further seconds for each weight."""
COMPILING_ADAM = 0.2
"""Seconds for each weight that Adam moves inside of the graph."""
SAVED = 0.7e-3
"""Seconds that a compiled step takes less than an eager one."""
SAVED_A_WEIGHT = 0.06e-3
SAVED_REPLAYED = 0.07e-3
"""Seconds that a compiled step takes less than a replayed one."""
SAVED_REPLAYED_A_WEIGHT = 0.015e-3
SAVED_REPLAYED_AN_OUTPUT = 3e-9
"""Further seconds for each number that a layer has for a row of the batch, such as a tanh."""
MARGIN = 1.1
"""How much more has to be saved: a compiler's time varies with the machine."""
KERNEL = 40e-6
"""Seconds that a step takes longer where Adam follows the graph."""
KERNEL_A_WEIGHT = 1.5e-6
KERNEL_AN_ELEMENT = 0.3e-9


def steps_worth_compiling(weights: Sequence[Tensor]) -> int:
    """The number of steps from which compiling for the first time saves time beside eager steps.

    Example:
        >>> import torch
        >>> [steps_worth_compiling([torch.zeros(2)] * count) for count in (8, 12, 60)]
        [5873, 5190, 2942]
    """
    return _steps_worth(weights, SAVED + SAVED_A_WEIGHT * len(weights))


def replayed_steps_worth_compiling(weights: Sequence[Tensor], rows: int) -> int:
    """The number of steps from which compiling for the first time saves time beside replayed ones.

    Arguments:
        weights: of the model; a layer has as many outputs as numbers in its bias.
        rows: of a batch.

    Example:
        >>> import torch
        >>> weights = [torch.zeros(784, 200), torch.zeros(784)] * 6
        >>> [replayed_steps_worth_compiling(weights, rows) for rows in (1, 100)]
        [27905, 4437]
    """
    outputs = rows * sum(len(weight) for weight in weights if weight.ndim == 1)
    saved = SAVED_REPLAYED + SAVED_REPLAYED_A_WEIGHT * len(weights)
    return _steps_worth(weights, saved + SAVED_REPLAYED_AN_OUTPUT * outputs)


def _steps_worth(weights: Sequence[Tensor], saved: float) -> int:
    cost = COMPILING + COMPILING_A_WEIGHT * len(weights)
    return round(MARGIN * cost / saved)


def is_kernel_cheaper(weights: Sequence[Tensor], steps: int) -> bool:
    """Whether a run is shorter where torch's kernel of Adam follows the graph.

    Example:
        >>> import torch
        >>> weights = [torch.zeros(200, 200)] * 12
        >>> [is_kernel_cheaper(weights, steps) for steps in (5_000, 100_000)]
        [True, False]
    """
    elements = sum(weight.numel() for weight in weights)
    longer = KERNEL + KERNEL_A_WEIGHT * len(weights) + KERNEL_AN_ELEMENT * elements
    return steps * longer < COMPILING_ADAM * len(weights)
