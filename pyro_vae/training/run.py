"""The result of `fit`, and the means of an epoch."""

import base64
import html
import io
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pyro_vae.durations import in_seconds
from pyro_vae.training.options import FitOptions
from pyro_vae.vae import VAE

NOISE = 0.1
"""Nats per row: smaller differences of means over validation rows are within their noise."""

REMEDY = (
    "the model predicts a row less well than the distribution of each column by itself; train "
    "longer (epochs=), or take another likelihood, a smaller net or a smaller latent_dim"
)


@dataclass(repr=False)
class Run:
    """The result of `fit`; `print(run.summary())` describes it in a few lines.

    A notebook shows these lines above the training curves.

    The best epoch is the one with the lowest `val_loss`: what is minimised, on the validation rows,
    with the final β. For the plain ELBO that is the highest `val_elbo`. For β ≠ 1, free bits, IWAE
    or Rényi it is what was asked for, and while β grows the epochs stay comparable. Without
    validation it is the last epoch.

    Attributes:
        vae: the model, with the best weights, in evaluation mode.
        history: one row for each epoch: epoch, loss, elbo, rate, distortion, grad_norm, lr,
            seconds, and with validation val_loss, val_elbo, val_rate, val_distortion. All in nats
            per row; the ELBO is the plain one, whatever was minimised.
        best_epoch: the epoch whose weights are kept.
        slept: one row for each epoch of the sleep phase: epoch, loss (of the drawn rows), seconds,
            and with validation val_loss, val_elbo, val_rate, val_distortion.
        interrupted: whether the run was stopped by hand.
        stopped: whether a callback of `fit` stopped it.
        skipped: steps that left the weights alone, with on_nonfinite="skip".
        options: the options of `fit`.
        baseline: mean log p(x) of the validation rows (without them, of the training rows) under
            independent columns, in nats per row: what the model has to beat. None where the
            likelihood has no such form.
        is_importance_weighted: whether the loss is minus a bound tighter than the ELBO, that of
            IWAE, or of Rényi with α below 1.
        best: the weights of the best epoch, until the end of the run; then the model has them.
    """

    vae: VAE
    options: FitOptions
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    slept: list[dict[str, float]] = field(default_factory=list)
    interrupted: bool = False
    stopped: bool = False
    skipped: int = 0
    baseline: float | None = None
    is_importance_weighted: bool = False
    best: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        words = f"best epoch {self.best_epoch} of {len(self.history)}"
        if self.elbo is not None:
            words += f", {self.elbo_of} ELBO {self.elbo:.2f} nats per row"
        return f"Run({words})"

    def _repr_html_(self) -> str:
        """The summary and the training curves, as a notebook shows a run."""
        text = html.escape(self.summary())
        shown = f"<pre>{text}</pre>"
        if self.history:
            shown += f'<img alt="training curves" src="{self._picture()}">'
        return shown

    def _picture(self) -> str:
        """The training curves as a PNG inside a URL."""
        # Loaded here: matplotlib takes a while, and most runs are not shown.
        from pyro_vae.training_curves import learning_curve

        figure = learning_curve(self.history, best_epoch=self.best_epoch or None)
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=72)
        data = base64.b64encode(file.getvalue()).decode()
        return f"data:image/png;base64,{data}"

    @property
    def elbo(self) -> float | None:
        """The ELBO of the best epoch in nats per row, on the rows that `elbo_of` names."""
        return self._of_best("elbo")

    @property
    def bound(self) -> float | None:
        """The tightest lower bound of log p(x) that was measured in the best epoch.

        That is the ELBO, or minus the loss where the objective is an importance weighted bound.
        """
        loss = self._of_best("loss")
        if loss is None or not self.is_importance_weighted:
            return self.elbo
        return -loss

    @property
    def rate(self) -> float | None:
        """KL(q ‖ p) of the best epoch in nats per row, on the rows that `elbo_of` names."""
        return self._of_best("rate")

    def _of_best(self, name: str) -> float | None:
        """A mean of the best epoch, on the rows that `elbo_of` names."""
        if not self.best_epoch:
            return None
        best = self.history[self.best_epoch - 1]
        if "val_loss" not in best:
            return best[name]
        best = min([best, *self.slept], key=lambda row: row["val_loss"])
        return best[f"val_{name}"]

    @property
    def elbo_of(self) -> str:
        """Which rows `elbo` and `baseline` are of: "validation" or "training"."""
        is_validated = bool(self.history) and "val_elbo" in self.history[0]
        return "validation" if is_validated else "training"

    @property
    def warning(self) -> str | None:
        """A sentence where independent columns beat the model by more than 0.1 nats per row."""
        if self.bound is None or self.baseline is None:
            return None
        gap = self.baseline - self.bound
        if gap <= NOISE:
            return None
        name = "importance weighted bound" if self.is_importance_weighted else "ELBO"
        return (
            f"the {self.elbo_of} {name}, {self.bound:.2f} nats per row, is {gap:.2f} "
            f"below independent columns: {REMEDY}"
        )

    @property
    def still_improving(self) -> bool:
        """Whether the last epoch is the best, and 0.1 nats better than the first nine tenths."""
        is_cut_short = self.interrupted or self.stopped
        if is_cut_short or self.best_epoch != len(self.history):
            return False
        early = self.history[: len(self.history) * 9 // 10]
        losses = [row["val_loss"] for row in early if "val_loss" in row]
        return bool(losses) and self.history[-1]["val_loss"] < min(losses) - NOISE

    def summary(self) -> str:
        """Length, best epoch, ELBO and warnings of the run, in a few lines."""
        count = len(self.history)
        epochs = "1 epoch" if count == 1 else f"{count} epochs"
        seconds = sum(row["seconds"] for row in [*self.history, *self.slept])
        lines = [
            f"{epochs} in {in_seconds(seconds)}; the weights are those of epoch {self.best_epoch}",
        ]
        if self.stopped:
            lines.append(f"a callback stopped it after epoch {count}")
        if self.elbo is not None:
            lines.append(f"{self.elbo_of} ELBO {self.elbo:.2f} nats per row")
        if self.is_importance_weighted and self.bound is not None:
            lines[-1] += f", importance weighted bound {self.bound:.2f}"
        if self.elbo is not None and self.baseline is not None:
            lines[-1] += f"; independent columns have {self.baseline:.2f}"
        if self.slept:
            lines.append(
                f"the guide was refitted in {len(self.slept)} epochs on rows that the model drew"
            )
        if self.skipped:
            lines.append(
                f"{self.skipped} steps were left out: their loss or gradient was not finite"
            )
        if self.warning is not None:
            lines.append(self.warning)
        if self.still_improving:
            lines.append(
                f"still improving: the last epoch is the best; epochs={2 * count} may bring more"
            )
        return "\n".join(lines)

    def keep(self, row: dict[str, float]) -> None:
        """Add a row to the history, and keep the weights when it is the best so far."""
        self.history.append(row)
        if self._is_best(row):
            self.best_epoch = int(row["epoch"])
            self.remember()

    def _is_best(self, row: dict[str, float]) -> bool:
        """Whether an epoch is better than the best one before; without validation each is."""
        if not self.best_epoch or "val_loss" not in row:
            return True
        best = self.history[self.best_epoch - 1]
        return row["val_loss"] < best["val_loss"]

    def keep_asleep(self, row: dict[str, float]) -> None:
        """Add a row of the sleep phase, and keep the weights when they are the best so far."""
        candidates = [self.history[self.best_epoch - 1], *self.slept]
        losses = [
            earlier["val_loss"] for earlier in candidates if "val_loss" in earlier
        ]
        self.slept.append(row)
        if not losses or row["val_loss"] < min(losses):
            self.remember()

    def remember(self) -> None:
        """Keep a copy of the current weights."""
        weights = self.vae.state_dict()
        self.best = {name: value.detach().clone() for name, value in weights.items()}

    def exhausted(self) -> bool:
        """Whether none of the last `patience` epochs was the best so far."""
        if self.options.patience is None:
            return False
        return len(self.history) - self.best_epoch >= self.options.patience

    def restore(self) -> None:
        """Put the kept weights back."""
        if self.best:
            self.vae.load_state_dict(self.best)
            self.best = {}  # the memory is free, and a second call changes nothing


class MetricMeans:
    """The means over rows of the metrics of steps.

    Example:
        >>> means = MetricMeans()
        >>> means.add(torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]]), 10)
        >>> means.add(torch.tensor([[4.0, 5.0, 6.0, 7.0]]), 40)
        >>> means.compute()
        [3.0, 4.0, 5.0, 6.0]
    """

    def __init__(self) -> None:
        self.sums: Tensor | float = 0.0
        self.rows = 0

    def add(self, metrics: Tensor, rows: int) -> None:
        """Take in the metrics of some steps, (steps, 4), of `rows` rows each."""
        # On a GPU the sums stay there: reading a number would wait for the step.
        self.sums = self.sums + rows * metrics.sum(0, dtype=torch.float64)
        self.rows += rows * len(metrics)

    def compute(self) -> list[float]:
        """The mean of each metric."""
        means: list[float] = (torch.as_tensor(self.sums) / self.rows).tolist()
        return means
