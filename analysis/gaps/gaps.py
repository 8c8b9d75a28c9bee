"""Why the ELBO is below log p(x): what the guide's family can't reach, and what its encoder misses."""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from pyro_vae.analysis.fitted import (
    evaluation,
    posterior_of,
    require_density,
    require_full_precision,
)
from pyro_vae.analysis.gaps.families import Rows, local
from pyro_vae.analysis.gaps.results import Gaps
from pyro_vae.analysis.gaps.search import ascend, best_full_rank, log_weights, mixture_log_weights
from pyro_vae.analysis.marginal_likelihood.pareto import pareto_k, tail_length
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.arguments import public
from pyro_vae.inputs import rows_of
from pyro_vae.rng import row_hash
from pyro_vae.vae import VAE

FITTING, REFITTING, EVALUATING, PROPOSING = range(1, 5)
"""Streams of random numbers."""
MIXTURE = "importance sampling, half from the guide and half from the best full-rank normal of each row, widened"


class Marginal(Protocol):
    """An estimate of log p(x) of each row: `Evidence`, or that of annealed importance sampling."""

    @property
    def log_marginal(self) -> np.ndarray: ...
    @property
    def se(self) -> np.ndarray: ...


@public
def inference_gaps(
    vae: VAE,
    x: Any,
    *,
    steps: int = 200,
    lr: float = 0.1,
    num_particles: int = 1000,
    marginal: Marginal | None = None,
    seed: int = 0,
    batch_size: int = 128,
    progress: bool | None = None,
) -> Gaps:
    """Split log p(x) - ELBO of each row into what the family can't reach and what the encoder
    misses.

    log p(x) - ELBO[q] = (log p(x) - ELBO[q*]) + (ELBO[q*] - ELBO[q]),   q* = argmax ELBO over the
    family, for the row

    The family of a normal guide (`mean_field`, `low_rank`, `full_rank`, `semi_amortized`) is all
    normals of its type; that of another guide is the affine maps of its own q(z | x), which is
    named in the result: then the approximation gap is that of a wider family than the row's q(z |
    x), and a narrower one than all that the guide might express. Adam finds q* from where the guide
    is; `last_gain` tells whether it got there. All rows of a batch move at once, and no row's
    numbers depend on the others. log p(x) is the weakest link: where its k-hat is above
    `khat_limit`, take `marginal` from annealed importance sampling.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li, Duvenaud, 2018).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        steps: of the search for q*.
        lr: length of its first steps, in the guide's standard deviations.
        num_particles: draws from each of guide, q* and proposal.
        marginal: log p(x) of these rows with its standard error, such as `Evidence`; estimated here
            if None.
        seed: of the draws.
        batch_size: rows that are worked on at once.
        progress: whether to show a bar; None shows it on a terminal only.

    Returns:
        `Gaps`, an array for each quantity.

    Raises:
        ValueError: no rows, fewer than 4 steps or 2 draws, log p(x) of other rows, rows that don't
            fit the model, an autoencoder.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> inference_gaps(vae, np.zeros((3, 4)), steps=20, num_particles=20).amortization_gap.shape
        (3,)
    """
    if steps < 4 or num_particles < 2 or batch_size < 1:
        got = f"{steps}, {num_particles}, {batch_size}"
        raise ValueError(f"steps, num_particles, batch_size: expected at least 4, 2, 1, got {got}")
    require_full_precision(vae, "inference_gaps")
    require_density(vae)
    if isinstance(marginal, Evidence):
        _require_rows(marginal, rows_of(vae, x, "x"))
    with evaluation(vae):
        parts = [
            _batch(vae, some, steps, lr, num_particles, seed, marginal is None)
            for batch in rows_of(vae, x, "x", batch_size=batch_size, progress=progress)
            for some in batch.split(batch_size)
        ]
    columns = [
        np.concatenate(column) for column in zip(*(found for _, found in parts), strict=True)
    ]
    elbo, best, full, amortization_se, best_se, last_gain, *own = columns
    log_p, log_p_se, k_hat = own if marginal is None else _given(marginal, len(elbo))
    return Gaps(
        log_marginal=log_p,
        log_marginal_se=log_p_se,
        pareto_k=k_hat,
        elbo=elbo,
        elbo_best=best,
        elbo_full_rank=full,
        approximation_gap=log_p - best,
        approximation_gap_se=np.hypot(log_p_se, best_se),
        amortization_gap=best - elbo,
        amortization_gap_se=amortization_se,
        last_gain=last_gain,
        num_particles=2 * num_particles if marginal is None else _draws(marginal),
        family=parts[0][0],
        estimator=MIXTURE if marginal is None else f"given as {type(marginal).__name__}",
    )


def _batch(
    vae: VAE, x: Tensor, steps: int, lr: float, draws: int, seed: int, estimate: bool
) -> tuple[str, list[np.ndarray]]:
    """The name of the family, and the columns of some rows."""
    prior = vae.prior()

    def log_joint(z: Tensor) -> Tensor:
        density: Tensor = prior.log_prob(z) + vae.likelihood(z).log_prob(x)
        return density

    rows = Rows.of(x, [posterior_of(vae, row) for row in x.split(1)], seed)
    family = local(posterior_of(vae, x), rows)
    before, best = ascend(family, log_joint, steps, lr, FITTING)
    wide, full = best_full_rank(family, best, log_joint, steps, lr, REFITTING)
    noise = family.noise(draws, EVALUATING)
    guide, almost, star = (
        log_weights(family, where, log_joint, noise) for where in (family.start, before, best)
    )
    full_star = (
        star
        if wide is family
        else log_weights(wide, full, log_joint, wide.noise(draws, EVALUATING))
    )
    columns = [
        guide.mean(0),
        star.mean(0),
        full_star.mean(0),
        (star - guide).std(0) / math.sqrt(draws),
        star.std(0) / math.sqrt(draws),
        (star - almost).mean(0),
    ]
    found = [column.cpu().numpy() for column in columns]
    if estimate:
        found += _log_mean(mixture_log_weights(family, wide, full, log_joint, draws, PROPOSING))
    return family.name, found


def _log_mean(log_w: Tensor) -> list[np.ndarray]:
    """From (2, draws, rows) log weights the log of their mean, its standard error by the delta
    method, and k-hat.
    """
    count = 2 * log_w.shape[1]
    largest = log_w.amax((0, 1))
    w = (log_w - largest).exp()
    mean = w.mean((0, 1))
    se = (w.var(1).mean(0) / count).sqrt() / mean
    tail = log_w.flatten(0, 1).topk(tail_length(count) + 1, 0).values
    return [
        (largest + mean.log()).cpu().numpy(),
        se.cpu().numpy(),
        pareto_k(tail.T.cpu().numpy(), count),
    ]


def _require_rows(marginal: Evidence, batches: Iterator[Tensor]) -> None:
    """Raise ValueError where the evidence is about other rows, or about these in another order."""
    hashes = np.array([row_hash(row) for batch in batches for row in batch], np.uint64)
    if (
        len(hashes) == len(marginal.row_hashes)
        and (differ := np.flatnonzero(hashes != marginal.row_hashes)).size
    ):
        raise ValueError(
            "marginal: expected log p(x) of these rows in their order, got another at row "
            f"{differ[0]}"
        )


def _given(marginal: Marginal, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if len(marginal.log_marginal) != rows:
        raise ValueError(
            f"marginal: expected log p(x) of the {rows} rows, got {len(marginal.log_marginal)}; "
            "use one x"
        )
    unknown = np.full(rows, math.nan)
    return marginal.log_marginal, marginal.se, getattr(marginal, "pareto_k", unknown)


def _draws(marginal: Marginal) -> int:
    """The fewest draws behind a number that was given; enough for the largest limit where it isn't
    known.
    """
    return int(np.min(getattr(marginal, "num_particles", 10_000)))
