"""Weights of rows in the loss, for samples that are not drawn evenly."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from pyro_vae.data import ArrayRows, DatasetRows, Placement, Rows, as_rows
from pyro_vae.distributed.process_group import world_size
from pyro_vae.training.options import FitOptions
from pyro_vae.training.validation_split import select_part


def refuse_hidden_weights(x: Any) -> None:
    """Raise ValueError for a TensorDataset with a second tensor of one real number a row.

    They may be weights, and `fit` would ignore them. Integers are labels, which it doesn't use.
    """
    if not isinstance(x, TensorDataset) or len(x.tensors) < 2:
        return
    second = x.tensors[1]
    if second.is_floating_point() and second.numel() == len(second):
        raise ValueError(
            "x: expected rows alone, got a TensorDataset with one real number beside each row; "
            "pass x=dataset.tensors[0], and weights=dataset.tensors[1] where they are weights"
        )


class RowWeights:
    """Weights of the training rows, with mean 1, and of the validation rows.

    Arguments:
        weights: one number for each row of `x`, none below 0.
        rows: the rows of `x`.
        validation: as in `fit`; validation rows of their own have the weight 1.
        seed: of the choice of the validation rows.

    Raises:
        ValueError: more or fewer weights than rows; one that is negative or not finite; none above
            0 among the training rows; rows without an order; several processes.
    """

    def __init__(
        self,
        weights: Any,
        rows: Rows,
        validation: Any,
        placement: Placement,
        seed: int,
    ) -> None:
        if world_size() > 1:
            raise ValueError(
                f"weights: expected one process, got {world_size()}; leave them out"
            )
        if not isinstance(rows, ArrayRows | DatasetRows):
            raise ValueError(
                "weights: expected x as an array or a Dataset, got a DataLoader, whose order is "
                "its own"
            )
        given = _checked(weights, len(rows)).to(placement.dtype)
        train, _ = select_part(
            as_rows(given, (), placement, name="weights"), validation, seed
        )
        # The mean is 1 over the training rows, so that the learning rate means what it did.
        mean = float(torch.cat(list(train.batches(4096))).double().mean())
        if mean == 0:
            raise ValueError(
                "weights: expected some above 0 among the training rows, got zeros only"
            )
        scaled = as_rows(given / mean, (), placement, name="weights")
        self.train, self.valid = select_part(scaled, validation, seed)

    def stacked(
        self,
        train: Rows,
        size: int,
        count: int,
        order: torch.Generator,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The stacks of `train` in the order drawn from `order`, with the weights of their rows."""
        # The rows and their weights are drawn in one order, by two generators of one state.
        same_order = torch.Generator()
        same_order.set_state(order.get_state())
        batches = self.train.batches(size, same_order)
        for stack in train.stacks(size, count, order):
            yield stack, torch.stack([next(batches) for _ in stack])


def with_eager_steps(options: FitOptions, weights: RowWeights | None) -> FitOptions:
    """The options of a run, whose steps are not compiled where it has weights or skips steps."""
    if weights is not None:
        return _eager(options, "weights")
    if options.on_nonfinite == "skip":
        return _eager(options, "on_nonfinite='skip'")
    return options


def _eager(options: FitOptions, why: str) -> FitOptions:
    """The options without a compiler.

    Raises:
        ValueError: a compiled step is asked for.
    """
    if options.compile in {"step", "loss", "replay"}:
        raise ValueError(
            f"compile: expected 'auto' or 'off' with {why}, whose steps are eager, got "
            f"{options.compile!r}"
        )
    return options.model_copy(update={"compile": "off"})


def _checked(weights: Any, rows: int) -> Tensor:
    """The weights as a tensor."""
    try:
        given = torch.as_tensor(weights, dtype=torch.float64, device="cpu")
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"weights: expected one number for each of the {rows} rows, got "
            f"a {type(weights).__name__} that is no array of numbers"
        ) from error
    if given.shape != (rows,):
        raise ValueError(
            f"weights: expected one for each of the {rows} rows, got shape {tuple(given.shape)}"
        )
    bad = ~(torch.isfinite(given) & (given >= 0))
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"weights: expected finite numbers from 0 on, got {float(given[row]):g} in row {row}"
        )
    return given
