"""Importance sampling: log p(x) of each row, with its standard error."""

import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import (
    Columns,
    concatenated,
    evaluation,
    label_of,
    require_density,
    warn_of_half,
)
from pyro_vae.analysis.marginal_likelihood.arguments import (
    Compile,
    Method,
    check_arguments,
)
from pyro_vae.analysis.marginal_likelihood.automatic import automatic
from pyro_vae.analysis.marginal_likelihood.chunk_sizes import chunks
from pyro_vae.analysis.marginal_likelihood.job import Job
from pyro_vae.analysis.marginal_likelihood.labels import summed_over_labels
from pyro_vae.analysis.marginal_likelihood.measure import Measure, measure_of
from pyro_vae.analysis.marginal_likelihood.mixture_sampling import GUIDE_DRAWS
from pyro_vae.analysis.marginal_likelihood.observed import (
    between_columns,
    observed_cells,
    without_observed_cells,
)
from pyro_vae.analysis.marginal_likelihood.pareto import FEWEST_DRAWS, khat_limit
from pyro_vae.analysis.marginal_likelihood.proposals import (
    Guide,
    Named,
    Proposal,
    proposal_of,
)
from pyro_vae.analysis.marginal_likelihood.results import Evidence
from pyro_vae.analysis.marginal_likelihood.row_checkpoint import RowCheckpoint
from pyro_vae.analysis.marginal_likelihood.row_draws import Sampling
from pyro_vae.analysis.marginal_likelihood.until import Until
from pyro_vae.arguments import public
from pyro_vae.data.given_rows import CandidateRows
from pyro_vae.data.row_labels import row_labels
from pyro_vae.given import contexts_of_rows, of_rows
from pyro_vae.inputs import model_rows, own_part, placement_of, rows_of
from pyro_vae.rng import own_seed, row_hash
from pyro_vae.vae import VAE


@public
def evidence(
    vae: VAE,
    x: Any,
    *,
    context: Any = None,
    num_particles: int = 1000,
    seed: int = 0,
    method: Method = "auto",
    proposal: Named | None = None,
    until: Until | None = None,
    retry: Named | None = None,
    chunk_size: int | None = None,
    compile: Compile = "auto",
    columns: Sequence[str | int] | None = None,
    given: Sequence[str | int] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> Evidence:
    """Estimate log p(x) of each row by importance sampling, and say where to trust it.

    log p(x) ≈ log (1/K) Σₖ p(x | zₖ) p(zₖ) / r(zₖ) with zₖ ~ r, k = 1, ..., K

    By default r is as elaborate as the row needs, and `Evidence.method` names it for each row:

    - "guide": q(z | x), where fixed points show that it is the posterior: any draw then gives log
      p(x);
    - "refined": 0.8 t(z) + 0.15 q(z | x) + 0.05 p(z), with a Student t about the normal that
      maximises the ELBO of the row; 0.95 t(z) + 0.05 p(z) for an inverse autoregressive guide,
      whose density at any z takes many passes;
    - "defensive": 0.95 q(z | x) + 0.05 p(z), for a guide without mean and standard deviation over
      real vectors;
    - "several starts": "refined" with four t's, one fitted from the guide and three from the draws
      of the prior that the fits before miss the most: where k-hat is too high, where the fit has
      not converged, or where it lies beyond all draws of the prior;
    - "more draws": from that proposal, up to 16 K, or the cap of `until`, while k-hat is too high;
    - "annealed": annealed importance sampling from that proposal with 64 chains, for other rows.

    A row is trusted where k-hat is at most min(1 - 1 / log₁₀ K, 0.7). The estimate of an untrusted
    row is likely too low.

    The mean of K weights is unbiased for p(x) with any proposal that is chosen before the draws are
    seen, and the fits are functions of the row alone. A second estimate is conditional on the first
    draws: a row that looks well by chance keeps its first estimate, which is low on average. For a
    row whose second mode the first draws hardly reach, the mean weight over 2000 replicates was
    0.943 of p(x) with 100 draws, 0.991 with 200 and 0.9995 with 1000, each ± 0.003 or less.

    Of a row with missing cells, for a model with missing="at_random", it is log p of the observed
    cells, and exactly 0 where there are none; with missing="self_masking" it is log p of the
    observed cells and of the mask, which says which these are. With `columns` a and `given` b it is
    log p(x_a | x_b) = log p(x_a, x_b) - log p(x_b), a score of some columns by others, from an
    estimate of each. For a model with a context c it is log p(x | c), of the context of each row;
    for one with a label y it is log p(x, y) where that is known, and log Σ_y p(x, y) elsewhere.

    Running sums in float64 keep the memory from growing with K. The draws of a row depend on `seed`
    and on the row alone: its numbers are the same in any order, batch or chunk, up to rounding, and
    equal rows have equal errors. `proposal="guide"` is importance sampling from the guide, the
    number in most papers' tables.

    References:
        Importance Weighted Autoencoders (Burda, Grosse, Salakhutdinov, 2016).
        Safe and Effective Importance Sampling (Owen, Zhou, 2000), for mixtures as proposals.
        Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao, Gabry, 2024), for k-hat
        and its limit.

    Arguments:
        vae: a model whose guide and prior have densities.
        x: rows shaped (n, *data_shape).
        context: of a model that has one, what is given with each row: an array (n, C), or a
            DataFrame; None finds its columns in the table x.
        num_particles: K; fewer than 21 have no k-hat, and all of them come from the guide. With
            `until` it is the first number of draws, which is doubled as often as needed.
        seed: of the draws.
        method: "auto", as above, or "importance": K draws from `proposal`, by default the guide.
        proposal: r for all rows, instead of the above: "guide", "widened", "defensive", "refined",
            a table {"kind": ..., options}, or a function from (vae, rows) to a distribution over z
            with batch shape (n,), which is called with one row at a time.
        until: draw more for the rows that don't meet these targets.
        retry: the proposal from which rows whose k-hat is too high after K draws start again.
        chunk_size: pairs of a row and a draw that are decoded at once; None: what fits the cache by
            the widest layer.
        compile: whether a chunk's density comes from a compiled graph: "on", "off", or "auto" where
            the draws ahead are worth the time to compile. The numbers are the same up to rounding.
        columns: the columns a whose density is asked for, by name or by position in the flattened
            row; None: all that are not given.
        given: the columns b that it is given; None: no columns.
        checkpoint: a file with the estimates of the rows done, written every ten seconds and at the
            end. Where it exists, the same call goes on from it, with the same numbers; what it has
            of another model or of other options is replaced. Delete it when you have the result.
        progress: whether to show a bar; None shows it on a terminal or in a notebook.

    Returns:
        `Evidence`, an array for each quantity.

    Raises:
        ValueError: no rows or draws, a cap below num_particles, too few draws for a k-hat to retry
            by, rows that don't fit the model, an autoencoder, columns that are given and asked for,
            a checkpoint that is damaged or another file.

    Example:
        >>> vae = VAE(data_shape=(4,), latent_dim=2)
        >>> evidence(vae, torch.zeros(3, 4), num_particles=10).log_marginal.shape
        (3,)
    """
    if columns is not None or given is not None:
        return between_columns(evidence, **locals())
    if label_of(vae) is not None and not isinstance(x, CandidateRows):
        return summed_over_labels(evidence, **locals())
    began = time.perf_counter()
    check_arguments(num_particles, chunk_size, until, retry, compile, method)
    require_density(vae)
    warn_of_half(vae, "evidence")
    if proposal is not None or retry is not None or num_particles < FEWEST_DRAWS:
        method = "importance"
    rows = model_rows(vae, x, context=context)
    pairs, compiles = chunks(vae, chunk_size, compile, len(rows) * num_particles)
    how = (num_particles, until, seed, method, proposal, retry, pairs, compiles)
    kept = RowCheckpoint.of(checkpoint, vae, how)
    hashes: list[int] = []
    counts: list[int] = []
    measure = measure_of(vae)
    with (
        evaluation(vae),
        own_seed(seed, placement_of(vae).device) as restart,
        kept.written_at_the_end(),
    ):
        seen = of_rows(vae, contexts_of_rows(rows))
        job = Job(
            seen, seen.prior(), num_particles, until, seed, pairs, restart, compiles
        )
        batches = rows_of(vae, rows, "x", batch_size=job.group, progress=progress)
        groups = _groups(job, batches, hashes, counts, measure)
        if method == "auto":
            found = automatic(job, groups, kept)
        else:
            found = _importance_sampling(job, groups, kept, proposal, retry)
    if counts and vae.spec.self_masking is None:
        found = without_observed_cells(found, np.array(counts))
    return Evidence(
        **found,
        row_hashes=np.array(hashes, np.uint64),
        data_size=math.prod(vae.spec.data_shape) if measure is None else measure.size,
        measure=measure,
        seconds=time.perf_counter() - began,
        row_labels=row_labels(x, vae.spec.table),
        n_observed=np.array(counts) if counts else None,
    )


def _groups(
    job: Job,
    batches: Iterator[Tensor],
    hashes: list[int],
    counts: list[int],
    measure: Measure | None,
) -> Iterator[Tensor]:
    """Rows whose proposals are made together; the hash of each row is appended to `hashes`.

    For a model of rows with missing cells the number of observed ones is appended to `counts`.
    """
    for batch in batches:
        # a DataLoader has a batch size of its own
        for group in batch.split(job.group):
            hashes += [row_hash(row) for row in group]
            if job.vae.spec.missing != "none":
                counts += observed_cells(own_part(job.vae, group), measure)
            yield group


def _importance_sampling(
    job: Job,
    groups: Iterable[Tensor],
    kept: RowCheckpoint,
    proposal: Named | None,
    retry: Named | None,
) -> Columns:
    """The columns of `Evidence` for groups of rows, from proposals that were asked for."""
    first = proposal_of("guide" if proposal is None else proposal)
    second = None if retry is None else proposal_of(retry, "retry")
    parts = [
        kept.columns("asked", x, partial(_estimate, job, x, first, second))
        for x in groups
    ]
    return concatenated(parts)


def _estimate(
    job: Job,
    x: Tensor,
    first: Proposal,
    second: Proposal | None,
) -> Columns:
    """The columns of `Evidence` for some rows, from a proposal that was asked for."""
    sampling = Sampling(job, x, first)
    every = np.arange(len(x))
    sampling.draw(every, job.num_particles)
    before = sampling.columns()
    is_bad = np.zeros(len(x), bool)
    if second is not None:
        is_bad = ~(before["pareto_k"] <= khat_limit(before["num_particles"]))
    columns = sampling.finish(every[~is_bad])
    if second is not None and is_bad.any():
        again = Sampling(job, x[torch.from_numpy(is_bad).to(x.device)], second, "again")
        all_again = np.arange(is_bad.sum())
        again.draw(all_again, job.num_particles)
        for name, column in again.finish(all_again).items():
            columns[name][is_bad] = column
    proposal_elbo = columns["elbo"]
    if isinstance(first, Guide):
        elbo = np.where(is_bad, before["elbo"], proposal_elbo)
    else:
        elbo = _elbo_of_guide(job, x)
    return {
        **columns,
        "elbo": elbo,
        "proposal_elbo": proposal_elbo,
        "retried": is_bad,
        "method": np.full(len(x), "importance"),
        "upper": np.full(len(x), np.nan),
    }


def _elbo_of_guide(job: Job, x: Tensor) -> np.ndarray:
    """The ELBO of each row's q(z | x), from draws of its own."""
    sampling = Sampling(job, x, Guide(), "elbo of the guide")
    sampling.draw(np.arange(len(x)), min(job.num_particles, GUIDE_DRAWS))
    return sampling.columns()["elbo"]
