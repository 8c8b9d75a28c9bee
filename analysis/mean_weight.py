"""The log of a mean of importance weights, its standard error and the effective sample size."""

from typing import NamedTuple

import torch
from torch import Tensor


class LogMean(NamedTuple):
    """log (1/K) Σₖ wₖ of each row.

    Attributes:
        value: the log of the mean, (rows,).
        se: its standard error by the delta method, sd(w) / (√K mean(w)); nan for one weight.
        ess: effective sample size, (Σ w)² / Σ w².
    """

    value: Tensor
    se: Tensor
    ess: Tensor


def log_mean(log_weight: Tensor) -> LogMean:
    """From log weights (draws, rows).

    Example:
        >>> [round(float(value), 4) for value in log_mean(torch.tensor([[1.0], [3.0]]).log())]
        [0.6931, 0.5, 1.6]
    """
    log_sum = log_weight.logsumexp(0)
    log_sum_of_squares = (2 * log_weight).logsumexp(0)
    count = torch.full_like(log_sum, len(log_weight))
    return log_mean_of_sums(log_sum, log_sum_of_squares, count)


def log_mean_of_sums(
    log_sum: Tensor,
    log_sum_of_squares: Tensor,
    count: Tensor,
) -> LogMean:
    """From log Σ w, log Σ w² and the number of weights, each (rows,)."""
    ess = torch.exp(2 * log_sum - log_sum_of_squares)
    # K Var(w) / (Σ w)², unbiased; of one weight 0 / 0 = nan
    relative_variance = (count / ess - 1).clamp_min(0) / (count - 1)
    return LogMean(log_sum - count.log(), relative_variance.sqrt(), ess)
