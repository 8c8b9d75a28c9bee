"""Whether the steps of a run are eager, replayed or compiled, and how many go into one graph."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.optim import Optimizer

from pyro_vae.arguments import warn_caller
from pyro_vae.compiler import products
from pyro_vae.distributed.process_group import world_size
from pyro_vae.rng import Stream
from pyro_vae.training.adam import is_adam
from pyro_vae.training.compiled_step import CompiledStep
from pyro_vae.training.compiling_cost import (
    is_kernel_cheaper,
    replayed_steps_worth_compiling,
    steps_worth_compiling,
)
from pyro_vae.training.data_parallel import ParallelStep, require_same_steps
from pyro_vae.training.epoch import StepsFunction
from pyro_vae.training.options import FitOptions
from pyro_vae.training.replayed_step import ReplayedSteps
from pyro_vae.training.replayed_terms import (
    ReplayedTerms,
    TermsFunction,
    eager_terms,
)
from pyro_vae.training.train_step import State, steps, weights_of

SMALL = 10_000_000
"""Products in a step, below which calling the graph takes a good part of the time."""
SEVERAL = 4
"""Steps in one graph where they are small: a fifth of the time is saved."""
WORTH_SEVERAL = 100_000
"""Steps that pay for the longer compilation of several in one graph."""

HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_backward_pre_hooks",
    "_backward_hooks",
)
"""Where torch keeps the hooks of a module."""


def choose_steps(
    state: State, options: FitOptions, count: int, noise: Stream | None = None
) -> StepsFunction:
    """The function that makes the steps of a run: eager, replayed, compiled, of several processes.

    Arguments:
        state: the state before the first step.
        options: `compile` says which; "auto" compiles where the number of steps is worth it, and
            replays fewer, where no hooks are registered, which would be called only once.
        count: number of steps ahead.
        noise: that of this one of several processes.

    Raises:
        ValueError: the processes have different numbers of steps ahead.
    """
    hooked = next(hooked_modules(state.vae), None)
    if options.compile == "auto" and hooked is not None:
        options = options.model_copy(update={"compile": "off"})
    if noise is None:
        function = stepper(options, state.optimizer, count)
    else:
        require_same_steps(count)
        is_worth = compiles(options, weights_of(state.optimizer), count)
        function = ParallelStep(noise, is_worth).steps
    done = "recorded" if _is_replayed(function) else "compiled"
    if hooked is not None and (is_compiled(function) or _is_replayed(function)):
        warn_caller(
            f"fit: the hooks of {hooked} are called while the step is {done}, and not in each "
            "step; compile='off' calls them in each"
        )
    return function


def stepper(
    options: FitOptions,
    optimizer: Optimizer,
    count: int,
) -> StepsFunction:
    """The steps of one process: eager, replayed or compiled."""
    if options.compile == "off":
        return steps
    if options.compile == "replay":
        return ReplayedSteps(with_foreign_code=True).steps
    weights = weights_of(optimizer)
    on_cpu = all(weight.device.type == "cpu" for weight in weights)
    replayed = replayed_steps_worth_compiling(weights, options.batch_size)
    is_short = count < max(replayed, steps_worth_compiling(weights))
    if options.compile == "auto" and on_cpu and is_short:
        # a step that can't be replayed is eager, and slower, so that compiling it pays sooner
        is_compiled = compiles(options, weights, count)
        otherwise = _compiled(options, optimizer, count) if is_compiled else steps
        return ReplayedSteps(otherwise=otherwise).steps
    if not compiles(options, weights, count):
        return steps
    return _compiled(options, optimizer, count)


def _compiled(options: FitOptions, optimizer: Optimizer, count: int) -> StepsFunction:
    """Compiled steps, with as much in one graph as pays."""
    weights = weights_of(optimizer)
    with_optimizer = options.compile == "step"
    if options.compile == "auto":
        with_optimizer = is_adam(optimizer)
    elements = sum(weight.numel() for weight in weights)
    is_small = options.batch_size * elements < SMALL
    together = 1
    if with_optimizer and is_small and count >= WORTH_SEVERAL:
        together = SEVERAL
    on_cpu = all(weight.device.type == "cpu" for weight in weights)
    by_kernel = together == 1 and on_cpu and is_kernel_cheaper(weights, count)
    return CompiledStep(with_optimizer, together, by_kernel).steps


def choose_terms(
    state: State, options: FitOptions, callbacks: Sequence[Any]
) -> TermsFunction:
    """The function that computes the terms of validation rows: eager or replayed.

    They are eager where a callback may change what they are, and in several processes.
    """
    is_hooked = next(hooked_modules(state.vae), None) is not None
    on_cpu = next(state.vae.parameters()).device.type == "cpu"
    is_alone = on_cpu and world_size() == 1
    if options.compile == "off" or is_hooked or callbacks or not is_alone:
        return eager_terms
    return ReplayedTerms(with_foreign_code=options.compile == "replay")


def compiles(options: FitOptions, weights: Sequence[Tensor], count: int) -> bool:
    """Whether so many steps are compiled rather than eager."""
    is_long = count >= steps_worth_compiling(weights)
    if options.compile in {"step", "loss"} or (options.compile == "auto" and is_long):
        products.library()  # an error in its environment variable comes before the work
        return True
    return False


def with_guard(state: State, options: FitOptions, function: StepsFunction) -> State:
    """The state that looks for numbers that are not finite in each step, where that is free.

    On a GPU it would wait for each step, so that only skipping does so; otherwise the means of an
    epoch are looked at.

    Raises:
        ValueError: several processes are to skip a step, whose batch each has a part of.
    """
    skips = options.on_nonfinite == "skip"
    if skips and world_size() > 1:
        raise ValueError(
            f"on_nonfinite: expected 'stop' in {world_size()} processes, got 'skip'; leave it out"
        )
    on_cpu = next(state.vae.parameters()).device.type == "cpu"
    is_eager = function is steps or _is_replayed(function)
    if not is_eager or not (skips or on_cpu):
        return state
    return replace(state, on_nonfinite=options.on_nonfinite)


def is_compiled(function: StepsFunction) -> bool:
    """Whether a function that makes steps is that of a `CompiledStep`, or compiles in parallel."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, ParallelStep):
        return owner.compiles
    return isinstance(owner, CompiledStep)


def look_again(function: StepsFunction, vae: nn.Module) -> None:
    """Let steps that are replayed find out what a function of the user has changed."""
    owner = getattr(function, "__self__", None)
    if not isinstance(owner, ReplayedSteps):
        return
    owner.look_again()
    is_hooked = next(hooked_modules(vae), None) is not None
    if is_hooked and not owner.with_foreign_code:
        owner.stop()


def _is_replayed(function: StepsFunction) -> bool:
    return isinstance(getattr(function, "__self__", None), ReplayedSteps)


def hooked_modules(vae: nn.Module) -> Iterator[str]:
    """The names of the modules and weights on which the user has registered hooks.

    Those that torch and this library register compute tensors, which a graph does too.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> _ = layer.register_forward_hook(print)
        >>> list(hooked_modules(nn.Sequential(layer)))
        ['vae.0']
    """
    if any(getattr(torch_module, f"_global{name}") for name in HOOKS):
        yield "every module (torch.nn.modules.module.register_module_...)"
    for name, module in vae.named_modules():
        if any(_is_users(hook) for hook in _hooks(module)):
            yield f"vae.{name}".rstrip(".")
    for name, parameter in vae.named_parameters():
        if parameter._backward_hooks or parameter._post_accumulate_grad_hooks:
            yield f"vae.{name}"


def _hooks(module: nn.Module) -> Iterator[Any]:
    """All hooks of a module."""
    for kind in HOOKS:
        yield from getattr(module, kind).values()


def _is_users(hook: Any) -> bool:
    """Whether a hook is defined outside of torch, Pyro and this library."""
    module = getattr(hook, "__module__", None) or ""
    package = module.split(".")[0]
    return package not in {"torch", "pyro", "pyro_vae"}
