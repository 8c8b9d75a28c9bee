"""The missing cells of all rows of a table."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pyro_vae.analysis.fitted import evaluation, require_density, warn_of_half
from pyro_vae.analysis.imputation.cells import (
    Cells,
    cells_of,
    joined,
    no_cells,
    probabilities_of,
)
from pyro_vae.analysis.imputation.posterior_draws import (
    PosteriorDraws,
    posterior_draws,
)
from pyro_vae.analysis.marginal_likelihood.chunk_sizes import chunks
from pyro_vae.analysis.marginal_likelihood.job import Job
from pyro_vae.analysis.marginal_likelihood.pareto import FEWEST_DRAWS
from pyro_vae.given import of_rows
from pyro_vae.inputs import placement_of
from pyro_vae.likelihoods import Bernoulli, Mixed
from pyro_vae.progress_bar import progress_bar
from pyro_vae.rng import own_seed
from pyro_vae.vae import VAE


@dataclass(frozen=True)
class Conditional:
    """The missing cells of some rows, and how far their weights are to be trusted.

    Attributes:
        cells: with the positions of their rows and columns.
        pareto_k: of each row; nan where no cell is missing, (n,).
        ess: effective number of draws of each row; nan where no cell is missing, (n,).
        num_particles: draws of each row; 0 where no cell is missing, (n,).
    """

    cells: Cells
    pareto_k: np.ndarray
    ess: np.ndarray
    num_particles: np.ndarray


def require_missing(vae: VAE, what: str, num_particles: int) -> None:
    """Raise ValueError for a model that can't have missing cells, or too few draws.

    Arguments:
        vae: the model.
        what: the name of the function, for messages.
        num_particles: draws of each row.
    """
    if vae.spec.missing == "none":
        raise ValueError(
            f"{what}: expected a model for rows with missing cells, got one with missing='none'; "
            "make it with missing='at_random' and fit it again, rows with missing cells or without"
        )
    require_draws(num_particles)
    require_density(vae)
    warn_of_half(vae, what)


def require_draws(num_particles: int) -> None:
    """Raise ValueError for fewer draws of each row than a k-hat takes."""
    if num_particles < FEWEST_DRAWS:
        raise ValueError(
            f"num_particles: expected at least {FEWEST_DRAWS}, for a k-hat, got {num_particles}"
        )


def conditional_cells(
    vae: VAE,
    rows: Tensor,
    *,
    num_particles: int,
    num_imputations: int,
    seed: int,
    progress: bool | None = False,
) -> Conditional:
    """p(x_m | x_o) of the missing cells of rows.

    Arguments:
        vae: a model for rows with missing cells.
        rows: checked, on the model's device and in its type, (n, *data_shape), nan where missing;
            (x, c) for a model with a context.
        num_particles: draws of z for each row.
        num_imputations: draws of each missing cell.
        seed: of the draws.
        progress: whether to show a bar.
    """
    has_missing = rows.isnan().flatten(1).any(1)
    lacking = has_missing.nonzero().flatten()
    categories = categories_of(vae)
    columns = {name: np.full(len(rows), np.nan) for name in ("pareto_k", "ess")}
    count = np.zeros(len(rows), int)
    parts = []
    with evaluation(vae), own_seed(seed, placement_of(vae).device) as restart:
        _, contexts = vae.model.split(rows)
        job = job_of(vae, len(lacking), num_particles, seed, restart, contexts)
        seen = job.vae
        with progress_bar(
            progress, total=len(lacking), desc="imputing", unit="row"
        ) as bar:
            for where, part in groups_of(job, rows, lacking):
                x = rows[torch.from_numpy(where).to(rows.device)]
                cells = cells_of(seen, x, part, categories, num_imputations)
                parts.append(replace(cells, row=where[cells.row]))
                columns["pareto_k"][where] = part.pareto_k
                columns["ess"][where] = part.ess
                count[where] = len(part.z)
                bar.update(len(where))
    found = no_cells(num_imputations, max(categories.values(), default=1))
    if parts:
        found = joined(parts).in_order()
    return Conditional(found, **columns, num_particles=count)


def job_of(
    vae: VAE,
    rows: int,
    num_particles: int,
    seed: int,
    restart: Any,
    contexts: Tensor | None = None,
) -> Job:
    """What `posterior_draws` is asked for so many rows with these contexts."""
    pairs, compiles = chunks(vae, None, "auto", rows * num_particles)
    seen = of_rows(vae, contexts)
    return Job(seen, seen.prior(), num_particles, None, seed, pairs, restart, compiles)


def groups_of(
    job: Job, rows: Tensor, lacking: Tensor
) -> Iterator[tuple[np.ndarray, PosteriorDraws]]:
    """Draws of z in parts, each with the positions of its rows.

    The draws of a row depend on the row alone, and equal rows have equal ones. What is drawn from
    them afterwards differs: the generator starts anew for each part.
    """
    number = 0
    for group in lacking.split(job.group):
        where = group.cpu().numpy()
        job.restart(_part_seed(job.seed, number))
        for part in posterior_draws(job, rows[group]):
            number += 1
            job.restart(_part_seed(job.seed, number))
            yield where[part.rows], part


def _part_seed(seed: int, number: int) -> int:
    words = np.random.SeedSequence([seed % 2**63, number]).generate_state(2)
    return int(words[0]) * 2**31 + int(words[1]) // 2


def categories_of(vae: VAE) -> dict[int, int]:
    """How many categories each column of categories has; 2 for one of 0 and 1.

    Example:
        >>> categories_of(VAE(data_shape=(2,), latent_dim=1, likelihood="bernoulli"))
        {0: 2, 1: 2}
    """
    placement = placement_of(vae)
    shape = (1, vae.spec.decoder_inputs)
    with evaluation(vae):
        z = torch.zeros(shape, dtype=placement.dtype, device=placement.device)
        named = probabilities_of(vae.likelihood(z))
    counts = dict.fromkeys(_binary(vae), 2)
    counts |= {column: each.shape[-1] for column, each in named.items()}
    return dict(sorted(counts.items()))


def _binary(vae: VAE) -> list[int]:
    """The columns of 0 and 1."""
    likelihood: Any = getattr(vae.likelihood, "_orig_mod", vae.likelihood)
    family = getattr(likelihood, "family", None)
    if isinstance(family, Bernoulli):
        return list(range(int(np.prod(vae.spec.data_shape))))
    if isinstance(family, Mixed):
        pairs = zip(family.columns, family.families, strict=True)
        return [
            one
            for columns, inner in pairs
            if isinstance(inner, Bernoulli)
            for one in columns
        ]
    return []
