"""Importance weights while they pass: running sums of each row, so that the memory does not grow
with the draws.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.marginal_likelihood.pareto import pareto_k, tail_length


@dataclass
class Weights:
    """Running sums over the log weights of some rows, in float64, and the largest of them for
    k-hat.

    Attributes:
        log_sum, log_sum_of_squares, sum_of_logs: of the weights, shaped (rows,).
        tail: the largest log weights, falling, (rows, some).
        count: weights so far, (rows,).
        eps: relative rounding of the numbers that the log weights were computed in.
    """

    log_sum: Tensor
    log_sum_of_squares: Tensor
    sum_of_logs: Tensor
    tail: Tensor
    count: Tensor
    eps: float

    @classmethod
    def empty(cls, rows: int, most: int, dtype: torch.dtype = torch.float32) -> "Weights":
        """No weights yet of rows that get `most` at most, which a model of that type gives."""
        nothing = torch.full((rows,), -torch.inf, dtype=torch.float64)
        tail = nothing[:, None].repeat(1, tail_length(most) + 1)
        count, eps = torch.zeros(rows).long(), torch.finfo(dtype).eps
        return cls(nothing.clone(), nothing.clone(), torch.zeros_like(nothing), tail, count, eps)

    def add(self, log_weights: Tensor, rows: Tensor | slice = slice(None)) -> None:
        """Take in new log weights (draws, some) of `rows`."""
        new = log_weights.double().cpu()
        self.log_sum[rows] = torch.logaddexp(self.log_sum[rows], new.logsumexp(0))
        self.log_sum_of_squares[rows] = torch.logaddexp(
            self.log_sum_of_squares[rows], (2 * new).logsumexp(0)
        )
        self.sum_of_logs[rows] += new.sum(0)
        self.tail[rows] = torch.cat([self.tail[rows], new.T], 1).topk(self.tail.shape[1], 1).values
        self.count[rows] += len(new)

    def columns(self) -> dict[str, np.ndarray]:
        """The numbers of `Evidence` by name, one a row; every row has weights."""
        count = self.count.double()
        ess = torch.exp(2 * self.log_sum - self.log_sum_of_squares)
        relative_variance = (count / ess - 1).clamp_min(0) / (count - 1)  # of one draw: 0 / 0 = nan
        columns = {
            "log_marginal": self.log_sum - count.log(),
            "se": relative_variance.sqrt(),
            "elbo": self.sum_of_logs / count,
            "ess": ess,
            "num_particles": self.count,
        }
        return {
            **{name: column.numpy().copy() for name, column in columns.items()},
            "pareto_k": self._pareto_k(),
        }

    def _pareto_k(self) -> np.ndarray:
        k, counts, tail = np.full(len(self.count), np.nan), self.count.numpy(), self.tail.numpy()
        for count in np.unique(counts):
            rows = counts == count
            k[rows] = pareto_k(tail[rows, : tail_length(count) + 1], count, self.eps)
        return k


@dataclass
class Strata:
    """Running sums over the weights of draws from a mixture whose components get fixed shares of
    the draws.

    Var[(1/K) Σ w] = (1/K²) Σⱼ nⱼ Var[w | j]: what differs between components is no error where
    their shares are fixed.

    References:
        Sampling Techniques (Cochran, 1977), chapter 5.

    Attributes:
        log_sum, log_sum_of_squares: of the weights of each component, (rows, components), in
            float64.
        count: their numbers, (rows, components).
    """

    log_sum: Tensor
    log_sum_of_squares: Tensor
    count: Tensor

    @classmethod
    def empty(cls, rows: int, components: int) -> "Strata":
        """No weights yet."""
        nothing = torch.full((rows, components), -torch.inf, dtype=torch.float64)
        return cls(nothing, nothing.clone(), torch.zeros(rows, components, dtype=torch.float64))

    def add(self, log_weights: Tensor, component: Tensor, rows: Tensor) -> None:
        """Take in log weights of `rows` and the number of each draw's component, both (draws,
        some).
        """
        for number in range(self.count.shape[1]):
            own = (component == number).cpu()
            new = torch.where(own, log_weights.double().cpu(), -torch.inf)
            self.log_sum[rows, number] = torch.logaddexp(
                self.log_sum[rows, number], new.logsumexp(0)
            )
            squares = torch.logaddexp(self.log_sum_of_squares[rows, number], (2 * new).logsumexp(0))
            self.log_sum_of_squares[rows, number] = squares
            self.count[rows, number] += own.sum(0)

    def se(self) -> np.ndarray:
        """The standard error of the log of the mean weight, by the delta method, (rows,)."""
        largest = (0.5 * self.log_sum_of_squares).amax(1, keepdim=True)
        total = (self.log_sum - largest).exp()
        squares = (self.log_sum_of_squares - 2 * largest).exp()
        count = self.count
        within = (squares - total.square() / count.clamp_min(1)).clamp_min(0)
        variance = torch.where(count > 1, count / (count - 1).clamp_min(1) * within, squares)
        return (variance.sum(1).sqrt() / total.sum(1)).numpy()
