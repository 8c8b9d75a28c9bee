"""The gaps between log p(x) and the ELBO: what the family can't reach, what the encoder misses."""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import (
    Columns,
    as_numpy,
    concatenated,
    evaluation,
    label_of,
    posterior_of,
    require_density,
    require_full_precision,
)
from pyro_vae.analysis.gaps.families import local
from pyro_vae.analysis.gaps.local_family import Rows
from pyro_vae.analysis.gaps.results import Gaps
from pyro_vae.analysis.gaps.search import (
    ascend,
    best_full_rank,
    log_weights,
    mixture_log_weights,
)
from pyro_vae.analysis.marginal_likelihood.log_joint import log_joint
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.marginal_likelihood.weights import Strata, Weights
from pyro_vae.arguments import public
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import contexts_of_rows, of_rows, with_context
from pyro_vae.inputs import model_rows, rows_of
from pyro_vae.rng import row_hash
from pyro_vae.vae import VAE

FITTING, REFITTING, EVALUATING, PROPOSING = range(1, 5)
"""Streams of random numbers."""
MIXTURE = (
    "importance sampling, half from the guide and half from the best full-rank normal of each row, "
    "widened"
)
ENOUGH_DRAWS = 10_000
"""With so many the limit of k-hat is the largest, 0.7."""


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
    context: Any = None,
    steps: int = 200,
    lr: float = 0.1,
    num_particles: int = 1000,
    marginal: Marginal | None = None,
    seed: int = 0,
    batch_size: int = 128,
    progress: bool | None = None,
) -> Gaps:
    """Split log p(x) - ELBO of each row into what the family can't reach and the encoder misses.

    log p(x) - ELBO[q] = (log p(x) - ELBO[q*]) + (ELBO[q*] - ELBO[q]),   q* = argmax ELBO over the
    family, for the row

    The family of a normal guide (`mean_field`, `low_rank`, `full_rank`, `semi_amortized`) is all
    normals of its type. That of another guide is the affine maps of its own q(z | x), which is
    named in the result: the approximation gap is then that of a family which is wider than q(z | x)
    of the row, and narrower than all that the guide might express. Adam finds q*, starting from the
    guide; `last_gain` shows whether it has converged. All rows of a batch move at once, and the
    numbers of a row don't depend on the others. log p(x) is the weakest link: where its k-hat is
    above `khat_limit`, pass `marginal` from annealed importance sampling. With a context c it is
    log p(x | c), and with a label y log p(x | y), of the most probable label where it is unknown.

    References:
        Inference Suboptimality in Variational Autoencoders (Cremer, Li, Duvenaud, 2018).

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        steps: of the search for q*.
        lr: length of its first steps, in the guide's standard deviations.
        num_particles: draws from each of guide, q* and proposal.
        marginal: log p(x) of these rows with its standard error, such as `Evidence`; estimated here
            if None.
        seed: of the draws.
        batch_size: rows that are worked on at once.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

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
        raise ValueError(
            f"steps, num_particles, batch_size: expected at least 4, 2, 1, got {got}"
        )
    require_full_precision(vae, "inference_gaps")
    require_density(vae)
    rows = with_context(vae, x, context)
    if marginal is not None:
        _require_same_rows(vae, rows, marginal)
    batches = rows_of(vae, rows, "x", batch_size=batch_size, progress=progress)
    with evaluation(vae):
        seen = of_rows(vae, contexts_of_rows(rows))
        parts = [
            _batch(seen, some, steps, lr, num_particles, seed, marginal is None)
            for batch in batches
            for some in batch.split(batch_size)
        ]
    columns = concatenated([columns for _, columns in parts])
    best_se = columns.pop("elbo_best_se")
    if marginal is not None:
        columns = {**columns, **_given(marginal)}
    return Gaps(
        **columns,
        approximation_gap=columns["log_marginal"] - columns["elbo_best"],
        approximation_gap_se=np.hypot(columns["log_marginal_se"], best_se),
        amortization_gap=columns["elbo_best"] - columns["elbo"],
        num_particles=2 * num_particles
        if marginal is None
        else _num_particles(marginal),
        family=parts[0][0],
        estimator=MIXTURE
        if marginal is None
        else f"given as {type(marginal).__name__}",
        row_labels=row_labels(x, vae.spec.table),
    )


def _batch(
    vae: VAE,
    x: Tensor,
    steps: int,
    lr: float,
    num_draws: int,
    seed: int,
    estimate: bool,
) -> tuple[str, Columns]:
    """The name of the family, and the columns of some rows."""
    prior = vae.prior()

    def log_p(z: Tensor) -> Tensor:
        return log_joint(vae, x, z, prior)

    rows = Rows.of(x, [posterior_of(vae, row) for row in x.split(1)], seed)
    family = local(posterior_of(vae, x), rows)
    before, best = ascend(family, log_p, steps, lr, FITTING)
    wide, wide_best = best_full_rank(family, best, log_p, steps, lr, REFITTING)
    # the same noise for all members of the family, so that their differences have small errors
    noise = family.noise(num_draws, EVALUATING)
    guide = log_weights(family, family.start, log_p, noise)
    almost = log_weights(family, before, log_p, noise)
    star = log_weights(family, best, log_p, noise)
    full_rank = star
    if wide is not family:
        full_rank = log_weights(
            wide, wide_best, log_p, wide.noise(num_draws, EVALUATING)
        )
    tensors = {
        "elbo": guide.mean(0),
        "elbo_best": star.mean(0),
        "elbo_full_rank": full_rank.mean(0),
        "elbo_best_se": star.std(0) / math.sqrt(num_draws),
        "amortization_gap_se": (star - guide).std(0) / math.sqrt(num_draws),
        "last_gain": (star - almost).mean(0),
    }
    columns = {name: as_numpy(tensor) for name, tensor in tensors.items()}
    if estimate:
        halves = mixture_log_weights(
            family, wide, wide_best, log_p, num_draws, PROPOSING
        )
        columns |= _log_marginal(halves)
    return family.name, columns


def _log_marginal(halves: Tensor) -> Columns:
    """log p(x) from log weights (2, draws, rows) of two proposals with equal shares."""
    _, num_draws, num_rows = halves.shape
    log_weights = halves.flatten(0, 1)
    weights = Weights.empty(num_rows, 2 * num_draws)
    weights.add(log_weights)
    component = (
        torch.arange(2).repeat_interleave(num_draws).unsqueeze(1).expand(-1, num_rows)
    )
    strata = Strata.empty(num_rows, 2)
    strata.add(log_weights, component, slice(None))
    columns = weights.columns()
    return {
        "log_marginal": columns["log_marginal"],
        "log_marginal_se": strata.se(),
        "pareto_k": columns["pareto_k"],
    }


def _require_same_rows(vae: VAE, x: Any, marginal: Marginal) -> None:
    """Raise ValueError where log p(x) is that of other rows, or of these in another order."""
    if label_of(vae) is not None:
        raise ValueError(
            "marginal: expected None for a model with a label, whose gaps are of log p(x | y), got "
            f"{type(marginal).__name__}; leave it out"
        )
    expected = len(model_rows(vae, x))
    got = len(marginal.log_marginal)
    if got != expected:
        raise ValueError(
            f"marginal: expected log p(x) of the {expected} rows, got {got}; use one x"
        )
    if not isinstance(marginal, Evidence):
        return
    batches: Iterator[Tensor] = rows_of(vae, x, "x")
    hashes = np.array([row_hash(row) for batch in batches for row in batch], np.uint64)
    differ = np.flatnonzero(hashes != marginal.row_hashes)
    if differ.size:
        raise ValueError(
            "marginal: expected log p(x) of these rows in their order, got another at row "
            f"{differ[0]}"
        )


def _given(marginal: Marginal) -> Columns:
    """The columns of an estimate that was given."""
    unknown = np.full(len(marginal.log_marginal), math.nan)
    return {
        "log_marginal": marginal.log_marginal,
        "log_marginal_se": marginal.se,
        "pareto_k": getattr(marginal, "pareto_k", unknown),
    }


def _num_particles(marginal: Marginal) -> int:
    """The fewest draws behind an estimate that was given; many where that isn't known."""
    return int(np.min(getattr(marginal, "num_particles", ENOUGH_DRAWS)))
