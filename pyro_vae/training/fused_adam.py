"""The step of torch's fused Adam, without the Python around its kernel."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyro_vae.training.adam import is_adam, moments

DECORATED = ("add_param_group", "state_dict", "load_state_dict")
"""Methods of torch's optimizers before whose first call torch imports its compiler."""
MARK = "__dynamo_disable"
"""Where torch keeps what such a method becomes for its compiler."""


@contextmanager
def without_compiler() -> Iterator[None]:
    """Let torch's optimizers be made and saved without an import of `torch._dynamo`.

    torch 2.13 imports it, with 800 other modules, for one second and 70 MB, when an optimizer is
    made, to keep its compiler out of methods that nothing compiles here. Where the compiler has
    been imported, or torch has other names for all this, nothing changes.
    """
    methods = [getattr(Optimizer, name, None) for name in DECORATED]
    functions = [getattr(method, "__wrapped__", None) for method in methods]
    marked = [one for one in functions if one is not None and not hasattr(one, MARK)]
    for function in marked:
        setattr(function, MARK, function)
    try:
        yield
    finally:
        for function in marked:
            if hasattr(function, MARK):  # another thread may have been here too
                delattr(function, MARK)


def take_step(optimizer: Optimizer) -> None:
    """`optimizer.step()`, which for torch's fused Adam and AdamW is one call of their kernel.

    The kernel and the numbers are torch's; left out is what it does around them: grouping by
    device, the search for hooks, and a record for the profiler. Together they take twelve times as
    long as the kernel for a small net.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> weight.grad = torch.tensor([1.0, -2.0])
        >>> take_step(torch.optim.Adam([weight], lr=0.1, fused=True))
        >>> weight.data
        tensor([-0.1000,  0.1000])
    """
    groups = optimizer.param_groups
    is_wrapped = "step" in vars(optimizer)  # by its user, or by a scheduler of torch
    is_plain = is_adam(optimizer) and not is_wrapped
    if not is_plain or not all(_is_fused(group) for group in groups):
        optimizer.step()
        return
    with torch.no_grad():
        for group in groups:
            _step_of_group(optimizer, group)


def _is_fused(group: dict[str, Any]) -> bool:
    """Whether torch's fused kernel makes the step of a group, on one device and in one dtype."""
    if not group["fused"]:
        return False
    kinds = {(weight.device, weight.dtype) for weight in group["params"]}
    return len(kinds) <= 1


def _step_of_group(optimizer: Optimizer, group: dict[str, Any]) -> None:
    weights = [weight for weight in group["params"] if weight.grad is not None]
    if not weights:
        return
    gradients: list[Tensor] = [weight.grad for weight in weights]
    states = [moments(optimizer, weight, group) for weight in weights]
    counts = [state["step"] for state in states]
    first, second = group["betas"]
    is_decoupled = group["decoupled_weight_decay"]
    kernel = torch._fused_adamw_ if is_decoupled else torch._fused_adam_
    torch._foreach_add_(counts, 1)
    kernel(
        weights,
        gradients,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        counts,
        amsgrad=False,
        lr=group["lr"],
        beta1=first,
        beta2=second,
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=group["maximize"],
        grad_scale=None,
        found_inf=None,
    )
