"""The options of `fit` as data, and the optimizer, schedule and device that they name."""

import inspect
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import (
    AllowInfNan,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)
from torch import nn
from torch.optim import Optimizer

from pyro_vae.described import Described
from pyro_vae.distributed.watch import PATIENCE
from pyro_vae.explain import nearest
from pyro_vae.kind_options import Options
from pyro_vae.networks import MatmulPrecision, Precision
from pyro_vae.objectives import ELBO, KL, OBJECTIVES, Objective
from pyro_vae.registry import Choice
from pyro_vae.training.fused_adam import without_compiler

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
Schedule = Callable[[float], float]

_UNSUITED = {
    "lbfgs": "evaluates the loss several times a step, which random batches and draws don't allow",
    "muon": "moves matrices only, and there are vectors",
    "sparseadam": "takes sparse gradients only, and these are dense",
}
"""Optimizers of torch that `fit` refuses, each with the reason."""


def _optimizers() -> Iterator[tuple[str, Callable[..., Optimizer]]]:
    """The optimizers of torch.optim that suit `fit`, by their names in lower case."""
    for name, item in vars(torch.optim).items():
        is_optimizer = inspect.isclass(item) and issubclass(item, Optimizer)
        if is_optimizer and item is not Optimizer and name.lower() not in _UNSUITED:
            yield name.lower(), item


OPTIMIZERS = dict(_optimizers())


def constant(done: float) -> float:
    """The learning rate stays what it is."""
    return 1.0


def cosine(done: float) -> float:
    """The learning rate falls along half a cosine to 1 % of what it was."""
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine}

EPOCHS = 100
MIN_STEPS = 4000
"""The budget where none is asked for: passes over the rows, and smallest number of steps."""


class FitOptions(Described):
    """The options of `fit` that a file can hold: the table [fit]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: PositiveInt | None = Field(
        default=None,
        description=f"passes over the training rows; by default {EPOCHS}, and for small data as "
        "many as make min_steps",
    )
    batch_size: PositiveInt = Field(default=128, description="rows a step")
    min_steps: PositiveInt = Field(
        default=MIN_STEPS, description="steps at least, where epochs is not given"
    )
    optimizer: str = Field(
        default="adam", description="an optimizer of torch.optim, by its name"
    )
    lr: PositiveFloat = Field(default=2e-3, description="learning rate at the start")
    optimizer_options: dict[str, Any] = Field(
        default={}, description="further options of the optimizer"
    )
    schedule: Literal["constant", "cosine"] = Field(
        default="cosine", description="learning rate over the run"
    )
    clip_norm: PositiveFloat | None = Field(
        default=None, description="largest norm of the gradient"
    )
    objective: Annotated[Options, Choice(OBJECTIVES)] | None = Field(
        default=None,
        description="what is minimised; by default the ELBO with kl and num_particles",
    )
    beta: Annotated[NonNegativeFloat, AllowInfNan(False)] = Field(
        default=1.0, description="final KL weight"
    )
    kl_warmup_epochs: NonNegativeInt = Field(
        default=0,
        description="epochs in which the KL weight grows from 0 to beta (KL annealing)",
    )
    kl_cycles: PositiveInt = Field(
        default=1, description="times that the KL weight grows within those epochs"
    )
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None,
        description="decay of an exponential moving average of the weights, which is validated and "
        "kept instead of the last weights",
    )
    validation: Annotated[NonNegativeFloat, AllowInfNan(False)] | None = Field(
        default=0.1,
        description="share (below 1) or number of rows that only choose the best epoch",
    )
    binarize: Literal["none", "dynamic"] = Field(
        default="none",
        description="new bits of grey rows (in [0, 1], or bytes) in each step; of validation rows, "
        "once",
    )
    patience: PositiveInt | None = Field(
        default=None,
        description="stop after so many epochs without a better one; by default half of them where "
        "epochs is not given",
    )
    on_nonfinite: Literal["stop", "skip"] = Field(
        default="stop",
        description="what a batch does whose loss or gradient is not finite: end the run, or "
        "nothing, which is counted",
    )
    sleep_share: Annotated[NonNegativeFloat, AllowInfNan(False)] = Field(
        default=0.0,
        description="further epochs, as a share of those made, for the guide alone, on rows that "
        "the model draws: a smaller inference gap",
    )
    kl: KL = Field(default="auto", description="closed-form KL or Monte Carlo")
    num_particles: PositiveInt = Field(
        default=1, description="draws of z for each row and step"
    )
    seed: NonNegativeInt = Field(
        default=0, description="of the noise, the order of the rows and the split"
    )
    device: str = Field(default="auto", description="cpu, cuda, cuda:1, or auto")
    compile: Literal["auto", "step", "loss", "replay", "off"] = Field(
        default="auto",
        description="compile the whole step, or the loss and its gradient; make the recorded "
        "operations of a step again; or run its Python each time; auto by the length of the run",
    )
    precision: Precision = Field(
        default="full",
        description="of encoder and decoder in training: the parameters' own, or autocast",
    )
    matmul_precision: MatmulPrecision = Field(
        default="highest",
        description="torch.set_float32_matmul_precision while training: TF32 on a GPU with 'high'",
    )
    timeout: Annotated[PositiveFloat, AllowInfNan(False)] = Field(
        default=PATIENCE,
        description="seconds after which one of several processes that gives no sign of life is "
        "named, and ends the run",
    )


def with_budget(options: FitOptions, steps: int) -> FitOptions:
    """The options with a number of epochs: by default 100, or as many as make `min_steps` steps.

    A run of that length stops early after half of its epochs without a better one.

    Arguments:
        options: those that were given.
        steps: number of steps in one epoch.

    Example:
        >>> [with_budget(FitOptions(), steps).epochs for steps in (1, 10, 30, 500)]
        [4000, 400, 134, 100]
        >>> with_budget(FitOptions(epochs=5), 1).epochs
        5
    """
    if options.epochs is not None:
        return options
    epochs = max(EPOCHS, math.ceil(options.min_steps / steps))
    patience = options.patience or math.ceil(epochs / 2)
    return options.model_copy(update={"epochs": epochs, "patience": patience})


def make_objective(options: FitOptions) -> Objective:
    """The objective that `options` describe.

    Example:
        >>> make_objective(FitOptions(objective={"kind": "iwae", "num_particles": 5})).num_particles
        5
    """
    if options.objective is None:
        return ELBO(kl=options.kl, num_particles=options.num_particles)
    objective: Objective = OBJECTIVES.build(options.objective)
    return objective


def beta_at(options: FitOptions, epochs_done: float) -> float:
    """The KL weight after so many epochs: linear from 0 to `beta` over the warm-up.

    Of several cycles each grows in its first half, and stays at `beta` in the second.

    References:
        Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing (Fu et al., 2019).

    Example:
        >>> options = FitOptions(kl_warmup_epochs=4, kl_cycles=2)
        >>> [beta_at(options, done) for done in (0, 0.5, 1, 2, 2.5, 4)]
        [0.0, 0.5, 1.0, 0.0, 0.5, 1.0]
    """
    if epochs_done >= options.kl_warmup_epochs:
        return options.beta
    done = epochs_done / options.kl_warmup_epochs * options.kl_cycles % 1
    if options.kl_cycles > 1:
        done = min(1.0, 2 * done)
    return options.beta * done


def make_optimizer(
    options: FitOptions,
    parameters: Iterable[nn.Parameter],
    make: MakeOptimizer | None = None,
) -> Optimizer:
    """The optimizer that `make` gives, or the one that the options name.

    The latter has one fused kernel where torch has one.

    Raises:
        ValueError: an unknown name, options that the optimizer doesn't take, or one whose step
            needs a closure.
    """
    optimizer = (
        _named_optimizer(options, parameters) if make is None else make(parameters)
    )
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ValueError(
            f"optimizer: {type(optimizer).__name__} {_UNSUITED['lbfgs']}; take 'adam' or 'sgd'"
        )
    return optimizer


def _named_optimizer(
    options: FitOptions, parameters: Iterable[nn.Parameter]
) -> Optimizer:
    name = options.optimizer.lower()
    if name in _UNSUITED:
        raise ValueError(
            f"optimizer: {options.optimizer} {_UNSUITED[name]}; take 'adam' or 'sgd'"
        )
    if name not in OPTIMIZERS:
        raise ValueError(
            f"optimizer: unknown {options.optimizer!r}; {nearest(name, sorted(OPTIMIZERS))}"
        )
    make = OPTIMIZERS[name]
    chosen = {"lr": options.lr, **options.optimizer_options}
    has_fused = "fused" in inspect.signature(make).parameters
    excludes_fused = "foreach" in chosen or "differentiable" in chosen
    if has_fused and not excludes_fused:
        chosen = {"fused": True, **chosen}
    try:
        with without_compiler():
            return make(parameters, **chosen)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"optimizer_options: {options.optimizer} does not take them: {error}"
        ) from error


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" is the GPU where there is one.

    Raises:
        ValueError: no such device here.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"device: expected cpu, cuda, cuda:N or auto, got {name!r}"
        ) from error
    if device.type not in {"cpu", "cuda"}:
        raise ValueError(f"device: expected cpu, cuda, cuda:N or auto, got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device: got {name!r}, and this machine has {torch.cuda.device_count()} GPUs; take "
            "'auto'"
        )
    return device
