"""Importance weights as they are drawn: running sums of each row, whatever the number of draws."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.pareto import pareto_k, tail_length
from pyro_vae.analysis.mean_weight import log_mean_of_sums


@dataclass
class Weights:
    """Running sums over the weights of some rows, in float64, and the largest of them for k-hat.

    Attributes:
        log_sum: log Σ w, (rows,).
        log_sum_of_squares: log Σ w², (rows,).
        sum_of_logs: Σ log w, (rows,).
        tail: the largest log weights in descending order, (rows, some).
        count: the number of weights, (rows,).
        eps: relative rounding of the numbers that the log weights were computed in.
    """

    log_sum: Tensor
    log_sum_of_squares: Tensor
    sum_of_logs: Tensor
    tail: Tensor
    count: Tensor
    eps: float

    @classmethod
    def empty(
        cls,
        rows: int,
        most: int,
        dtype: torch.dtype = torch.float32,
    ) -> "Weights":
        """No weights yet, of rows that will have at most `most`, from a model of that type."""
        log_zero = torch.full((rows,), -torch.inf, dtype=torch.float64)
        return cls(
            log_sum=log_zero.clone(),
            log_sum_of_squares=log_zero.clone(),
            sum_of_logs=torch.zeros_like(log_zero),
            tail=log_zero[:, None].repeat(1, tail_length(most) + 1),
            count=torch.zeros(rows).long(),
            eps=torch.finfo(dtype).eps,
        )

    def add(
        self,
        log_weights: Tensor,
        rows: Tensor | slice = slice(None),
    ) -> None:
        """Add log weights (draws, some) of `rows`."""
        new = log_weights.double().cpu()
        largest = torch.cat([self.tail[rows], new.T], 1)
        relative, scale = _relative(new)
        _log_add(self.log_sum, rows, scale + relative.sum(0).log())
        squares = relative.square().sum(0)
        _log_add(self.log_sum_of_squares, rows, 2 * scale + squares.log())
        self.sum_of_logs[rows] += new.sum(0)
        self.tail[rows] = largest.topk(self.tail.shape[1], 1).values
        self.count[rows] += len(new)

    def columns(self) -> dict[str, np.ndarray]:
        """The numbers of `Evidence` by name, (rows,) each; every row must have weights."""
        count = self.count.double()
        mean = log_mean_of_sums(self.log_sum, self.log_sum_of_squares, count)
        columns = {
            "log_marginal": mean.value,
            "se": mean.se,
            "elbo": self.sum_of_logs / count,
            "ess": mean.ess,
            "num_particles": self.count,
        }
        arrays = {name: column.numpy().copy() for name, column in columns.items()}
        return {**arrays, "pareto_k": self._pareto_k()}

    def _pareto_k(self) -> np.ndarray:
        counts = self.count.numpy()
        tail = self.tail.numpy()
        k = np.full(len(counts), np.nan)
        # rows with equally many weights have equally long tails
        for count in np.unique(counts):
            rows = counts == count
            length = tail_length(count) + 1
            k[rows] = pareto_k(tail[rows, :length], count, self.eps)
        return k


@dataclass
class Strata:
    """Running sums over the weights of draws from a mixture with fixed shares of its components.

    Var[(1/K) Σ w] = (1/K²) Σⱼ nⱼ Var[w | j]: the differences between components are no error where
    the shares nⱼ are fixed.

    References:
        Sampling Techniques (Cochran, 1977), chapter 5.

    Attributes:
        log_sum: log Σ w of each component, (rows, components), in float64.
        log_sum_of_squares: log Σ w², (rows, components), in float64.
        count: nⱼ, (rows, components).
    """

    log_sum: Tensor
    log_sum_of_squares: Tensor
    count: Tensor

    @classmethod
    def empty(cls, rows: int, components: int) -> "Strata":
        """No weights yet."""
        log_zero = torch.full((rows, components), -torch.inf, dtype=torch.float64)
        return cls(log_zero, log_zero.clone(), torch.zeros_like(log_zero))

    def add(
        self,
        log_weights: Tensor,
        component: Tensor,
        rows: Tensor | slice,
    ) -> None:
        """Add log weights of `rows`, with the number of each draw's component, (draws, some)."""
        relative, scale = _relative(log_weights.double().cpu())
        for number in range(self.count.shape[1]):
            is_own = (component == number).cpu()
            own = torch.where(is_own, relative, 0.0)
            _log_add(self.log_sum[:, number], rows, scale + own.sum(0).log())
            squares = own.square().sum(0)
            log_squares = 2 * scale + squares.log()
            _log_add(self.log_sum_of_squares[:, number], rows, log_squares)
            self.count[rows, number] += is_own.sum(0)

    def se(self) -> np.ndarray:
        """The standard error of the log of the mean weight, by the delta method, (rows,)."""
        # the sums, relative to the largest weights
        largest = (0.5 * self.log_sum_of_squares).amax(1, keepdim=True)
        total = (self.log_sum - largest).exp()
        squares = (self.log_sum_of_squares - 2 * largest).exp()
        count = self.count
        within = (squares - total.square() / count.clamp_min(1)).clamp_min(0)
        unbiased = count / (count - 1).clamp_min(1) * within
        # a component with a single draw shows no variance of its own
        variance = torch.where(count > 1, unbiased, squares)
        return (variance.sum(1).sqrt() / total.sum(1)).numpy()


def _relative(log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weights (draws, rows) relative to the largest of each row, and the log of that."""
    largest = log_weights.amax(0)
    scale = torch.where(largest.isfinite(), largest, 0.0)
    return (log_weights - scale).exp(), scale


def _log_add(log_sums: Tensor, rows: Tensor | slice, log_new: Tensor) -> None:
    """Add numbers, given by their logs, to the sums of some rows."""
    log_sums[rows] = torch.logaddexp(log_sums[rows], log_new)
