"""Adam as a function of tensors: the form in which its update can stand in one graph with the
gradient.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer

Group = Mapping[str, Any]


def is_adam(optimizer: Optimizer) -> bool:
    """Whether `update` makes the steps of this optimizer: Adam or AdamW, with numbers as options
    and no hooks.

    Example:
        >>> weights = [torch.nn.Parameter(torch.zeros(2))]
        >>> is_adam(Adam(weights)), is_adam(Adam(weights, amsgrad=True)), is_adam(torch.optim.SGD(weights))
        (True, False, False)
    """
    hooks = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return (
        type(optimizer) in {Adam, AdamW}
        and not hooks
        and all(_is_plain(group) for group in optimizer.param_groups)
    )


def _is_plain(group: Group) -> bool:
    numbers = all(
        isinstance(number, float | int)
        for number in (group["lr"], group["weight_decay"], *group["betas"])
    )
    return numbers and not (group["amsgrad"] or group["capturable"] or group["differentiable"])


def options(optimizer: Optimizer) -> list[tuple[Any, ...]]:
    """The options of each group that stand in a graph as constants."""
    names = "betas", "eps", "weight_decay", "maximize"
    return [tuple(group[name] for name in names) for group in optimizer.param_groups]


def moments(optimizer: Optimizer, weight: Tensor, group: Group) -> dict[str, Tensor]:
    """What the optimizer keeps for a weight: its step count and two moments; begun as torch begins
    them.
    """
    state: dict[str, Tensor] = optimizer.state[weight]
    if not state:
        device = weight.device if group["fused"] else torch.device("cpu")
        state["step"] = torch.zeros((), dtype=torch.float32, device=device)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(weight), torch.zeros_like(weight)
    return state


def rates(group: Group, lrs: Sequence[float], steps: np.ndarray) -> list[Any]:
    """What changes from step to step: the learning rate, and how far both moments are from their
    start; one each step.

    Example:
        >>> [list(map(float, row)) for row in rates({"betas": (0.5, 0.75)}, [0.1, 0.2], np.array([1, 2]))]
        [[0.1, 0.2], [0.5, 0.75], [0.5, 0.66...]]
    """
    first, second = group["betas"]
    return [lrs, 1 - first**steps, np.sqrt(1 - second**steps)]


def update(
    weight: Tensor, gradient: Tensor, mean: Tensor, square: Tensor, rates: Tensor, group: Group
) -> None:
    """One step of a weight and its moments, in place: θ ← θ - lr m̂ / (√v̂ + ε).

    References:
        Adam: A Method for Stochastic Optimization (Kingma, Ba, 2015).
        Decoupled Weight Decay Regularization (Loshchilov, Hutter, 2019).

    Arguments:
        weight, gradient: θ and the gradient of the loss.
        mean, square: the moments m and v.
        rates: those of this step, shaped (3,).
        group: the options of the optimizer for this weight.
    """
    lr, mean_correction, root_correction = rates.to(weight.dtype).unbind()
    first, second = group["betas"]
    gradient = -gradient if group["maximize"] else gradient
    if group["decoupled_weight_decay"]:
        weight.mul_(1 - lr * group["weight_decay"])
    else:
        gradient = gradient + group["weight_decay"] * weight
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    weight.sub_(lr / mean_correction * mean / (square.sqrt() / root_correction + group["eps"]))
