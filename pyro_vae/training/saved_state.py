"""What a checkpoint holds besides tensors, and the state of an optimizer in both."""

from typing import Any

from pydantic import BaseModel, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor
from torch.optim import Optimizer

from pyro_vae.training.fused_adam import without_compiler

Row = dict[str, int | float]


class Saved(BaseModel):
    """The text of a checkpoint.

    Attributes:
        made_for: what makes two runs the same: model, options, rows.
        versions: of the libraries that wrote it.
        optimizer: the state of the optimizer that isn't in tensors, by the number of the weight.
        history, slept: the rows of the run.
        best_epoch: its number, 0 where there is none.
        steps: number of steps made.
        skipped: number of steps that were left out.
        processes: how many made them.
    """

    made_for: dict[str, Any]
    versions: dict[str, str]
    optimizer: dict[int, dict[str, Any]]
    history: list[Row]
    slept: list[Row] = []
    best_epoch: NonNegativeInt
    steps: NonNegativeInt
    skipped: NonNegativeInt = 0
    processes: PositiveInt = 1

    @model_validator(mode="after")
    def _in_range(self) -> "Saved":
        if self.best_epoch > len(self.history):
            raise ValueError(
                f"best_epoch: expected at most {len(self.history)}, got {self.best_epoch}"
            )
        return self


def optimizer_state(
    optimizer: Optimizer,
) -> tuple[dict[int, dict[str, Any]], dict[str, Tensor]]:
    """The state of an optimizer: numbers by weight and name, and tensors by both in one name."""
    numbers: dict[int, dict[str, Any]] = {}
    tensors: dict[str, Tensor] = {}
    with without_compiler():
        states = optimizer.state_dict()["state"]
    for index, values in states.items():
        numbers[index] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value
            else:
                numbers[index][name] = value
    return numbers, tensors


def restore_optimizer(
    optimizer: Optimizer,
    numbers: dict[int, dict[str, Any]],
    tensors: dict[str, Tensor],
) -> None:
    """The inverse of `optimizer_state`."""
    state = {index: dict(values) for index, values in numbers.items()}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        state[int(index)][name] = tensor
    with without_compiler():
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})
