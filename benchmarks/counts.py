"""Accuracy and speed of log p(x | z) of counts in float32, compared with SciPy and with torch.

    python -m benchmarks.counts

The usual formulas are torch's, with log Γ in float32: the rounding of log x! is the same in each
column with the same count, so it adds up over the columns of a row. Both are timed in turn in one
run, on a decoder of 128 hidden units and its log density, once without gradients for several draws
of each row, and once with the gradient of its weights.
"""

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor, nn
from torch.distributions import Binomial, Multinomial, NegativeBinomial, Poisson
from torch.nn.functional import logsigmoid

from pyro_vae.likelihoods import counts

ROWS, COLUMNS, DRAWS, HIDDEN, REPEATS = 64, 784, 8, 128, 15


def usual_zero_inflated(log_prob: Tensor, gate: Tensor, x: Tensor) -> Tensor:
    counted = logsigmoid(-gate) + log_prob
    return torch.where(x == 0, torch.logaddexp(logsigmoid(gate), counted), counted)


def inflated(log_prob: np.ndarray, gate: np.ndarray, x: np.ndarray) -> np.ndarray:
    zero = np.logaddexp(special.log_expit(gate), special.log_expit(-gate) + log_prob)
    return np.where(x == 0, zero, special.log_expit(-gate) + log_prob)


class Kind(NamedTuple):
    """One distribution of counts.

    Attributes:
        heads: decoder outputs for each column.
        ours, usual: from x and the parameters to log p of the rows.
        exact: the same by SciPy.
        draw: counts of the parameters, at a typical count.
        parameters: from the decoder's outputs, for a typical count.
    """

    heads: int
    ours: Callable[..., Tensor]
    usual: Callable[..., Tensor]
    exact: Callable[..., np.ndarray]
    draw: Callable[..., Tensor]
    parameters: Callable[..., tuple[Tensor, ...]]


def rates(raw: Tensor, typical: float) -> tuple[Tensor, ...]:
    rate, *gate = raw.unbind(1)
    return typical * (0.1 * rate).exp(), *gate


def logits(raw: Tensor, typical: float) -> tuple[Tensor, ...]:
    return torch.tensor(2 * typical), 0.1 * raw[:, 0]


def nbinom(x: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """SciPy's own loses digits of p near 1: log p and log(1 - p) are taken apart."""
    theta = 2.0
    rising = (
        special.gammaln(theta + x) - special.gammaln(theta) - special.gammaln(x + 1)
    )
    return rising - theta * np.log1p(mean / theta) - x * np.log1p(theta / mean)


def multinomial(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """SciPy's own asks that probabilities sum to 1 better than float64 can for so many."""
    orders = special.gammaln(x.sum(-1) + 1) - special.gammaln(x + 1).sum(-1)
    return orders + (x * special.log_softmax(logits, -1)).sum(-1)


def usual_nb(x: Tensor, mean: Tensor) -> Tensor:
    return NegativeBinomial(
        torch.tensor(2.0), logits=(mean / 2).log(), validate_args=False
    ).log_prob(x)


def ours_nb(mean: Tensor) -> Any:
    return counts.NegativeBinomial(mean, torch.tensor(0.5))


KINDS: dict[str, Kind] = {
    "poisson": Kind(
        1,
        lambda x, rate: counts.Poisson(rate).to_event(1).log_prob(x),
        lambda x, rate: Poisson(rate, validate_args=False).log_prob(x).sum(-1),
        lambda x, rate: stats.poisson.logpmf(x, rate).sum(-1),
        lambda rate: torch.poisson(rate),
        rates,
    ),
    "binomial": Kind(
        1,
        lambda x, n, logits: counts.Binomial(n, logits).to_event(1).log_prob(x),
        lambda x, n, logits: (
            Binomial(n, logits=logits, validate_args=False).log_prob(x).sum(-1)
        ),
        lambda x, n, logits: stats.binom.logpmf(x, n, special.expit(logits)).sum(-1),
        lambda n, logits: torch.binomial(n.expand_as(logits), logits.sigmoid()),
        logits,
    ),
    "negative_binomial": Kind(
        1,
        lambda x, mean: ours_nb(mean).to_event(1).log_prob(x),
        lambda x, mean: usual_nb(x, mean).sum(-1),
        lambda x, mean: nbinom(x, mean).sum(-1),
        lambda mean: ours_nb(mean).sample(),
        rates,
    ),
    "multinomial": Kind(
        1,
        lambda x, logits: counts.Multinomial(torch.tensor(1.0), logits).log_prob(x),
        lambda x, logits: Multinomial(1, logits=logits, validate_args=False).log_prob(
            x
        ),
        multinomial,
        lambda logits: torch.poisson(logits.exp()),
        lambda raw, typical: (math.log(typical) + 0.1 * raw[:, 0],),
    ),
    "zero_inflated_poisson": Kind(
        2,
        lambda x, rate, gate: (
            counts.ZeroInflated(counts.Poisson(rate), gate).to_event(1).log_prob(x)
        ),
        lambda x, rate, gate: usual_zero_inflated(
            Poisson(rate, validate_args=False).log_prob(x), gate, x
        ).sum(-1),
        lambda x, rate, gate: inflated(stats.poisson.logpmf(x, rate), gate, x).sum(-1),
        lambda rate, gate: torch.poisson(rate) * torch.bernoulli(torch.sigmoid(-gate)),
        rates,
    ),
    "zero_inflated_negative_binomial": Kind(
        2,
        lambda x, mean, gate: (
            counts.ZeroInflated(ours_nb(mean), gate).to_event(1).log_prob(x)
        ),
        lambda x, mean, gate: usual_zero_inflated(usual_nb(x, mean), gate, x).sum(-1),
        lambda x, mean, gate: inflated(nbinom(x, mean), gate, x).sum(-1),
        lambda mean, gate: (
            ours_nb(mean).sample() * torch.bernoulli(torch.sigmoid(-gate))
        ),
        rates,
    ),
}


def error(kind: Kind, typical: float, columns: int) -> tuple[float, float]:
    """The largest distance from SciPy over four rows in nats, of our formula and the usual one."""
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(4, kind.heads, columns, generator=generator)
    parameters = kind.parameters(raw, typical)
    torch.manual_seed(0)
    x = kind.draw(*parameters)
    exact = kind.exact(
        x.double().numpy(), *(one.double().numpy() for one in parameters)
    )

    def distance(formula: Callable[..., Tensor]) -> float:
        log_prob = formula(x, *parameters).double().numpy()
        return float(np.abs(log_prob - exact).max())

    return distance(kind.ours), distance(kind.usual)


def ratio(kind: Kind, gradient: bool) -> float:
    """Our time divided by the usual formula's: medians of processor time of alternating calls."""
    torch.manual_seed(0)
    decoder = nn.Linear(HIDDEN, kind.heads * COLUMNS)
    nn.init.normal_(decoder.weight, std=0.05)
    shape = (ROWS, HIDDEN) if gradient else (DRAWS, ROWS, HIDDEN)
    hidden = torch.randn(*shape)
    x = kind.draw(*kind.parameters(torch.zeros(ROWS, kind.heads, COLUMNS), 50.0))

    def once(formula: Callable[..., Tensor]) -> float:
        began = time.process_time()
        with torch.set_grad_enabled(gradient):
            raw = decoder(hidden.flatten(0, -2)).unflatten(-1, (kind.heads, COLUMNS))
            parameters = kind.parameters(raw, 50.0)
            shaped = [
                p.unflatten(0, hidden.shape[:-1]) if p.ndim else p for p in parameters
            ]
            log_prob = formula(x, *shaped)
            if gradient:
                decoder.zero_grad()
                log_prob.mean().backward()
        return time.process_time() - began

    seconds = [(once(kind.ours), once(kind.usual)) for _ in range(REPEATS)]
    ours = statistics.median(first for first, _ in seconds)
    usual = statistics.median(second for _, second in seconds)
    return ours / usual


def main() -> None:
    print(
        f"{'nats off SciPy (ours / usual)':>52} {'1e7 x 10000':>22}   time, ours / usual"
    )
    print(f"{'kind':<32} {'1000 x 784':>20} {'1e7 x 10000':>21}   draws  gradient")
    for name, kind in KINDS.items():
        small = error(kind, 1e3, 784)
        large = error(kind, 1e7, 10_000)
        errors = " ".join(
            f"{ours:10.1e} / {usual:8.1e}" for ours, usual in (small, large)
        )
        without_gradient = ratio(kind, gradient=False)
        with_gradient = ratio(kind, gradient=True)
        print(f"{name:<32} {errors}   {without_gradient:5.2f}  {with_gradient:5.2f}")


if __name__ == "__main__":
    main()
