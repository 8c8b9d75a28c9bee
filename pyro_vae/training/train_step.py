"""One training step: (state, batch) -> (state, info)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from pyro_vae.data import binarized
from pyro_vae.objectives import Objective, Terms
from pyro_vae.vae import VAE


class Info(NamedTuple):
    """What a step reports: means over the rows of its batch in nats, and the norm of the gradient
    before clipping.
    """

    loss: Tensor
    rate: Tensor
    distortion: Tensor
    grad_norm: Tensor


class Average:
    """Exponentially averaged parameters: average ← decay · average + (1 - decay) · parameter, after
    each step.

    Arguments:
        parameters: those of the model.
        decay: weight of the past; an average over about 1 / (1 - decay) steps.
    """

    def __init__(self, parameters: list[nn.Parameter], decay: float) -> None:
        self.parameters, self.decay = parameters, decay
        self.values: list[Tensor] = [p.detach().clone() for p in parameters]
        self._move: Callable[..., None] = get_ema_multi_avg_fn(decay)

    def update(self) -> None:
        self._move(self.values, [p.detach() for p in self.parameters], None)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged parameters inside the block, and its own again after it."""
        own = [p.data for p in self.parameters]
        self._set(self.values)
        try:
            yield
        finally:
            self._set(own)

    def _set(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.data = value


@dataclass(frozen=True)
class State:
    """All that changes in training: the modules in place, the numbers by replacement.

    Attributes:
        vae: the model; its parameters and buffers change in place.
        objective: gives the terms of the loss.
        optimizer: any torch optimizer over the model's parameters; changes in place.
        beta: β, the weight of the rate in the loss (1 is the ELBO).
        clip_norm: largest norm of the gradient.
        average: averaged parameters, where they are kept.
        binarize: whether rows are grey, and new bits are drawn from them in each step.
        steps: steps made.
    """

    vae: VAE
    objective: Objective
    optimizer: Optimizer
    beta: float = 1.0
    clip_norm: float | None = None
    average: Average | None = None
    binarize: bool = False
    steps: int = 0


Step = Callable[[State, Tensor], tuple[State, Info]]


class Pace(NamedTuple):
    """What a schedule changes from step to step: β, and the learning rate of each group of
    parameters.
    """

    beta: float
    lrs: tuple[float, ...]

    @classmethod
    def of(cls, state: State) -> Self:
        """The pace of now."""
        return cls(state.beta, tuple(group["lr"] for group in state.optimizer.param_groups))


def paced(state: State, pace: Pace) -> State:
    """The state at another pace."""
    for group, lr in zip(state.optimizer.param_groups, pace.lrs, strict=True):
        group["lr"] = lr
    return replace(state, beta=pace.beta)


def steps(
    state: State,
    stack: Tensor,
    paces: Sequence[Pace],
    move: "Step | None" = None,
    weights: Tensor | None = None,
) -> tuple[State, Tensor]:
    """A step for each batch of a stack.

    Arguments:
        state: where training is.
        stack: batches of one size, shaped (steps, rows, *data_shape).
        paces: of each step.
        move: the step; `step` by default.
        weights: of each row, (steps, rows), for `step`.

    Returns:
        The state afterwards, and what each step told, the fields of `Info`, (steps, 4).
    """
    told = []
    for index, (batch, pace) in enumerate(zip(stack.unbind(), paces, strict=True)):
        state = paced(state, pace)
        if weights is None:
            state, info = (move or step)(state, batch)
        else:
            state, info = step(state, batch, weights[index])
        told.append(torch.stack(info))
    return state, torch.stack(told)


def step(state: State, batch: Tensor, weights: Tensor | None = None) -> tuple[State, Info]:
    """Move the parameters once down the gradient of the mean loss over the rows of `batch`, or of
    wᵢ lossᵢ.

    Arguments:
        state: where training is.
        batch: rows, (n, *data_shape).
        weights: w, (n,), with mean 1 over all rows: what is told is weighted likewise. None: 1 for
            each row.

    Example:
        >>> import torch
        >>> from pyro_vae.objectives import ELBO
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> state = State(vae, ELBO(), torch.optim.Adam(vae.parameters()))
        >>> state, info = step(state, torch.zeros(10, 4))
        >>> state.steps
        1
    """
    batch = binarized(batch) if state.binarize else batch
    terms: Terms = state.objective(state.vae.model, state.vae.guide, batch, state.beta)
    loss, rate, distortion = (
        _mean(term, weights) for term in (terms.loss, terms.rate, terms.distortion)
    )
    parameters = [
        parameter for group in state.optimizer.param_groups for parameter in group["params"]
    ]
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    grad_norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if state.clip_norm is not None:
        nn.utils.clip_grads_with_norm_(parameters, state.clip_norm, grad_norm)
    state.optimizer.step()
    if state.average is not None:
        state.average.update()
    info = Info(loss.detach(), rate.detach(), distortion.detach(), grad_norm)
    return replace(state, steps=state.steps + 1), info


def _mean(term: Tensor, weights: Tensor | None) -> Tensor:
    return term.mean() if weights is None else (weights * term).mean()
