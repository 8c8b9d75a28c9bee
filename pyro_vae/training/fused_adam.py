"""The step of torch's fused Adam, without the Python around its kernel."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from pyro_vae.training.adam import is_adam, joined_counts, moments

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
    if not has_kernel(optimizer):
        optimizer.step()
        return
    with torch.no_grad():
        for options in optimizer.param_groups:
            moved = [one for one in options["params"] if one.grad is not None]
            if moved:
                group = _GroupKernel(optimizer, options, moved)
                torch._foreach_add_(group.counts, 1)
                group.step([weight.grad for weight in moved])


def has_kernel(optimizer: Optimizer) -> bool:
    """Whether the whole step of an optimizer is torch's kernel of fused Adam or AdamW.

    Example:
        >>> weights = [torch.nn.Parameter(torch.zeros(2))]
        >>> [has_kernel(torch.optim.Adam(weights, fused=fused)) for fused in (True, False)]
        [True, False]
    """
    groups = optimizer.param_groups
    return is_adam(optimizer) and all(_is_fused(group) for group in groups)


def _is_fused(group: dict[str, Any]) -> bool:
    """Whether torch's fused kernel makes the step of a group, on one device and in one dtype."""
    if not group["fused"]:
        return False
    kinds = {(weight.device, weight.dtype) for weight in group["params"]}
    return len(kinds) <= 1


class AdamKernel:
    """The steps of a fused Adam or AdamW whose weights and moments stay where they are.

    The optimizer's step counts become views of one tensor.

    Arguments:
        optimizer: has the kernel, by `has_kernel`.
        weights: those that move.

    Example:
        >>> weight = torch.nn.Parameter(torch.zeros(2))
        >>> move = AdamKernel(torch.optim.Adam([weight], lr=0.1, fused=True), [weight])
        >>> move([torch.tensor([1.0, -2.0])])
        >>> weight.data
        tensor([-0.1000,  0.1000])
    """

    def __init__(self, optimizer: Optimizer, weights: Sequence[Tensor]) -> None:
        indices = {id(weight): index for index, weight in enumerate(weights)}
        self.groups: list[_GroupKernel] = []
        self.places: list[list[int]] = []
        for options in optimizer.param_groups:
            moved = [one for one in options["params"] if id(one) in indices]
            if moved:
                self.groups.append(_GroupKernel(optimizer, options, moved))
                self.places.append([indices[id(weight)] for weight in moved])
        # one tensor takes less time to add to than many
        self.counts = joined_counts(
            [one for group in self.groups for one in group.states]
        )
        for group in self.groups:
            group.counts = [state["step"] for state in group.states]

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        """One step.

        Arguments:
            gradients: of each weight.
        """
        with torch.no_grad():
            self.counts.add_(1)
            for group, places in zip(self.groups, self.places, strict=True):
                group.step([gradients[place] for place in places])


class _GroupKernel:
    """The step of weights of a group, but for counting it.

    Arguments:
        optimizer: has the kernel.
        options: of the group.
        weights: those that move.
    """

    def __init__(
        self, optimizer: Optimizer, options: dict[str, Any], weights: list[Tensor]
    ) -> None:
        self.options = options
        self.weights = weights
        self.states = [moments(optimizer, weight, options) for weight in weights]
        self.means = [state["exp_avg"] for state in self.states]
        self.squares = [state["exp_avg_sq"] for state in self.states]
        self.counts = [state["step"] for state in self.states]
        is_decoupled = options["decoupled_weight_decay"]
        self.kernel = torch._fused_adamw_ if is_decoupled else torch._fused_adam_

    def step(self, gradients: list[Tensor]) -> None:
        """Move the weights, of which one step more has been counted."""
        options = self.options
        first, second = options["betas"]
        self.kernel(
            self.weights,
            gradients,
            self.means,
            self.squares,
            [],
            self.counts,
            amsgrad=False,
            lr=options["lr"],
            beta1=first,
            beta2=second,
            weight_decay=options["weight_decay"],
            eps=options["eps"],
            maximize=options["maximize"],
            grad_scale=None,
            found_inf=None,
        )
