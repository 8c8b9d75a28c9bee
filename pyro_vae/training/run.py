"""What a run of `fit` leaves, and the sums of an epoch."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pyro_vae.training.options import FitOptions
from pyro_vae.vae import VAE


@dataclass
class Run:
    """What a run of `fit` leaves.

    The best epoch is the one with the lowest `val_loss`: what is minimised, on the validation rows, with the final β.
    For the plain ELBO that is the highest `val_elbo`. For β ≠ 1, free bits, IWAE or Rényi it is what was asked for, and
    while β grows the epochs stay comparable. Without validation it is the last epoch.

    Attributes:
        vae: the model, with the best weights, in evaluation mode.
        history: one row an epoch: epoch, loss, elbo, rate, distortion, grad_norm, lr, seconds, and with validation
            val_loss, val_elbo, val_rate, val_distortion. All in nats per row; the ELBO is the plain one, whatever was
            minimised.
        best_epoch: the epoch whose weights are kept.
        interrupted: whether the run was stopped by hand.
        options: what was asked for.
        best: while the run goes on, the weights of the best epoch; the model has them when it is over.
    """

    vae: VAE
    options: FitOptions
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    interrupted: bool = False
    best: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def keep(self, row: dict[str, float]) -> None:
        """Add a row to the history, and keep the weights when it is the best so far."""
        self.history.append(row)
        best = self.history[self.best_epoch - 1]
        if not self.best_epoch or "val_loss" not in row or row["val_loss"] < best["val_loss"]:
            self.best_epoch = int(row["epoch"])
            self.remember()

    def remember(self) -> None:
        """Keep the weights of now."""
        self.best = {name: value.detach().clone() for name, value in self.vae.state_dict().items()}

    def exhausted(self) -> bool:
        """Whether the last `patience` epochs brought nothing better."""
        return self.options.patience is not None and len(self.history) - self.best_epoch >= self.options.patience

    def restore(self) -> None:
        """Put the kept weights back."""
        if self.best:
            self.vae.load_state_dict(self.best)
            self.best = {}


class Means:
    """The means over rows of what the steps of an epoch tell.

    Example:
        >>> means = Means()
        >>> means.add(torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]), 10)
        >>> means.add(torch.tensor([[4.0, 5.0, 6.0, 7.0]]), 40)
        >>> means.now()
        [3.0, 4.0, 5.0, 6.0]
    """

    def __init__(self) -> None:
        self.sums: Tensor | float = 0.0
        self.rows = 0

    def add(self, told: Tensor, rows: int) -> None:
        """Take in what steps told (steps, 4), of `rows` rows each."""
        self.sums = self.sums + rows * told.sum(0, dtype=torch.float64)
        self.rows += rows * len(told)

    def now(self) -> list[float]:
        means: list[float] = (torch.as_tensor(self.sums) / self.rows).tolist()
        return means
