"""Adam as a function of tensors, so that its update can be in one graph with the gradient."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim import Adam, AdamW, Optimizer
from torch.optim import optimizer as optimizers

Group = Mapping[str, Any]


def is_adam(optimizer: Optimizer) -> bool:
    """Whether `update` is the step of this optimizer: Adam or AdamW without hooks.

    Example:
        >>> weights = [torch.nn.Parameter(torch.zeros(2))]
        >>> optimizers = Adam(weights), Adam(weights, amsgrad=True), torch.optim.SGD(weights)
        >>> [is_adam(optimizer) for optimizer in optimizers]
        [True, False, False]
    """
    if type(optimizer) not in {Adam, AdamW} or has_step_hooks(optimizer):
        return False
    return all(_is_plain(group) for group in optimizer.param_groups)


def has_step_hooks(optimizer: Optimizer) -> bool:
    """Whether a step calls more than torch's own: hooks, or a step that was put on the optimizer.

    Hooks may be of this optimizer or of every one; its user and torch's schedulers put steps on it.
    """
    hooks = (
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
        optimizers._global_optimizer_pre_hooks,
        optimizers._global_optimizer_post_hooks,
    )
    return any(hooks) or "step" in vars(optimizer)


def _is_plain(group: Group) -> bool:
    """Whether the options of a group are numbers, and none of the variants of Adam is chosen."""
    numbers = (group["lr"], group["weight_decay"], *group["betas"])
    if not all(isinstance(number, float | int) for number in numbers):
        return False
    return not (group["amsgrad"] or group["capturable"] or group["differentiable"])


def options(optimizer: Optimizer) -> list[tuple[Any, ...]]:
    """The options of each group that are constants of a graph, and whether the steps have hooks."""
    names = ("betas", "eps", "weight_decay", "maximize")
    # Hooks may be registered after the graph was made, which would not call them.
    hooked = has_step_hooks(optimizer)
    constants = [[group[name] for name in names] for group in optimizer.param_groups]
    return [(*values, hooked) for values in constants]


def moments(
    optimizer: Optimizer,
    weight: Tensor,
    group: Group,
) -> dict[str, Tensor]:
    """The optimizer's state of a weight: step count and two moments, initialised as torch does."""
    state: dict[str, Tensor] = optimizer.state[weight]
    if not state:
        # torch's fused kernels count steps on the device, and all others on the CPU.
        device = weight.device if group["fused"] else torch.device("cpu")
        state["step"] = torch.zeros((), dtype=torch.float32, device=device)
        state["exp_avg"] = torch.zeros_like(weight)
        state["exp_avg_sq"] = torch.zeros_like(weight)
    return state


def joined_counts(states: Sequence[dict[str, Tensor]]) -> Tensor:
    """Put the step counts of weights into one tensor; those in the states become views of it.

    Example:
        >>> states = [{"step": torch.tensor(3.0)}, {"step": torch.tensor(3.0)}]
        >>> _ = joined_counts(states).add_(1)
        >>> states
        [{'step': tensor(4.)}, {'step': tensor(4.)}]
    """
    counts = torch.stack([state["step"] for state in states])
    for state, count in zip(states, counts.unbind(), strict=True):
        state["step"] = count
    return counts


def rates(group: Group, lrs: Sequence[float], steps: np.ndarray) -> list[Any]:
    """The numbers of Adam that change from step to step.

    Arguments:
        group: the options.
        lrs: the learning rate of each step.
        steps: their numbers t, from 1.

    Returns:
        The learning rates, 1 - β₁ᵗ, and √(1 - β₂ᵗ).

    Example:
        >>> rows = rates({"betas": (0.5, 0.75)}, [0.1, 0.2], np.array([1, 2]))
        >>> [list(map(float, row)) for row in rows]
        [[0.1, 0.2], [0.5, 0.75], [0.5, 0.66...]]
    """
    first, second = group["betas"]
    return [lrs, 1 - first**steps, np.sqrt(1 - second**steps)]


def update(
    weight: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    rates: Tensor,
    group: Group,
) -> None:
    """One step of a weight and its moments, in place: θ ← θ - lr m̂ / (√v̂ + ε).

    References:
        Adam: A Method for Stochastic Optimization (Kingma, Ba, 2015).
        Decoupled Weight Decay Regularization (Loshchilov, Hutter, 2019).

    Arguments:
        weight, gradient: θ and the gradient of the loss.
        mean, square: the moments m and v.
        rates: those of this step by `rates`, (3,).
        group: the options of the optimizer for this weight.
    """
    lr, mean_correction, root_correction = rates.to(weight.dtype).unbind()
    first, second = group["betas"]
    if group["maximize"]:
        gradient = -gradient
    if group["decoupled_weight_decay"]:
        weight.mul_(1 - lr * group["weight_decay"])
    else:
        gradient = gradient + group["weight_decay"] * weight
    mean.lerp_(gradient, 1 - first)
    square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
    root = square.sqrt() / root_correction
    weight.sub_(lr / mean_correction * mean / (root + group["eps"]))
